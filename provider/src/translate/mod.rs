//! Pod to task definition and RunTask. Pure: values in, values out, shown by `tests/golden`.
//!
//! ```text
//! Pod -- support::reasons --> Unsupported: every reason at once
//!  |---- size::plan --------> task size, shares
//!  |---- env::environment --> variables; which of them are the pod's own
//!  |---- init --------------> the container that writes a kubelet's files
//!  |---- definition --------> RegisterTaskDefinition: what replicas share; its hash is the family
//!  '---- run ---------------> RunTask: its pod, and the pod's own values in overrides
//! ```
//!
//! The values of `ecs` go to ECS; a `Note` becomes an event.

pub mod definition;
pub mod ecs;
pub mod env;
pub mod health;
pub mod init;
pub mod logs;
mod note;
pub mod run;
pub mod security;
mod settings;
pub mod size;
pub mod support;

use k8s_openapi::api::core::v1::Pod;

use self::{
    ecs::{Definition, Run},
    size::Size,
};
pub use self::{note::Note, settings::Settings};

/// Most bytes of a task definition (ECS quotas).
const MOST_DEFINITION: usize = 65_536;

/// A pod that cannot run as a Fargate task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Pod not supported on Fargate: {}", reasons.join(", "))]
pub struct Unsupported {
    /// Every reason.
    pub reasons: Vec<String>,
}

/// A pod as a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// What to register, if it is absent.
    pub definition: Definition,
    /// What to run.
    pub run: Run,
    /// The size, as in the annotation `CapacityProvisioned`.
    pub size: Size,
    /// Notes that become events.
    pub notes: Vec<Note>,
}

/// Translates the pod's attempt, or returns every reason why it cannot run.
pub fn translate(pod: &Pod, attempt: u32, settings: &Settings) -> Result<Translation, Unsupported> {
    let init = settings.fargate.init.as_ref();
    let mut reasons = support::reasons(pod, init.is_some());
    let (Some(spec), true) = (&pod.spec, reasons.is_empty()) else {
        return Err(Unsupported { reasons });
    };
    let plan = size::plan(spec).map_err(|reasons| Unsupported { reasons })?;
    let hostname = init.map(|_| init::hostname(pod));
    let environments: Vec<_> = spec
        .containers
        .iter()
        .map(|container| env::environment(pod, container, plan.size, hostname.as_ref(), &settings.node))
        .collect();
    let mut notes = Vec::new();
    let (first, own) = match init.zip(hostname.as_ref()) {
        None => (None, None),
        Some((init, hostname)) => {
            let files = init::files(pod, init, settings.cluster_dns.get());
            notes.extend(files.notes);
            (Some(init::container(init, &files.plan, hostname, settings)), init::own(hostname))
        }
    };
    let definition = definition::definition(spec, &plan, &environments, first, settings);
    let overrides = run::overrides(spec, &environments, own);

    let own = overrides.len();
    if own > run::MOST_OVERRIDES {
        let most = run::MOST_OVERRIDES;
        reasons
            .push(format!("the pod's own environment is {own} characters, RunTask's overrides hold {most}"));
    }
    // Serialising plain structs of strings and numbers cannot fail.
    let bytes = serde_json::to_vec(&definition).map_or(0, |json| json.len());
    if bytes > MOST_DEFINITION {
        reasons.push(format!("its task definition is {bytes} bytes, ECS takes {MOST_DEFINITION}"));
    }
    if !reasons.is_empty() {
        return Err(Unsupported { reasons });
    }

    let (run, left_out) = run::run(pod, attempt, overrides, settings);
    if let (given, true) = definition::stop_timeout(spec) {
        let asked = spec.termination_grace_period_seconds.unwrap_or_default();
        notes.push(Note::GracePeriodClamped { asked, given });
    }
    if !left_out.is_empty() {
        notes.push(Note::LabelsLeftOut { keys: left_out });
    }
    let not_enforced = security::not_enforced(spec);
    if !not_enforced.is_empty() {
        notes.push(Note::NotEnforced { fields: not_enforced });
    }
    Ok(Translation { definition, run, size: plan.size, notes })
}
