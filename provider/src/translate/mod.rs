//! Pod to task definition and RunTask. Pure: values in, values out, shown by `tests/golden`.
//!
//! ```text
//! Pod -- support::reasons --> Unsupported: every reason at once
//!  |---- size::plan --------> task size, shares
//!  |---- env::environment --> variables; which of them are the pod's own
//!  |---- init --------------> the container that writes a kubelet's files
//!  |---- definition --------> RegisterTaskDefinition: what replicas share; its hash is the family
//!  '---- run ---------------> RunTask: whose it is, and the pod's own in overrides
//! ```

pub mod definition;
pub mod env;
pub mod health;
pub mod init;
pub mod quantity;
pub mod run;
pub mod size;
pub mod support;

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

use self::{definition::Definition, init::Init, run::Run, size::Size};
use crate::options::{self, Architecture};

/// Most bytes of a task definition (ECS quotas).
const MOST_DEFINITION: usize = 65_536;

/// What every pod of this node has in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// ECS cluster.
    pub cluster: String,
    /// The region of the log group.
    pub region: String,
    /// Subnets.
    pub subnets: Vec<String>,
    /// Security groups.
    pub security_groups: Vec<String>,
    /// Whether tasks get a public address.
    pub assign_public_ip: bool,
    /// Role that pulls images and writes logs.
    pub execution_role_arn: Option<String>,
    /// Role of the containers.
    pub task_role_arn: Option<String>,
    /// Log group.
    pub log_group: Option<String>,
    /// Platform version.
    pub platform_version: String,
    /// Processors.
    pub architecture: Architecture,
    /// The node's name.
    pub node_name: String,
    /// The node's InternalIP.
    pub node_ip: IpAddr,
    /// Which provider starts the tasks; see [`run::started_by`].
    pub started_by: String,
    /// What deleting a pod costs where it does not say so itself; nothing is said where absent.
    pub deletion_cost: Option<i32>,
    /// What writes a kubelet's files into a task; nothing does where absent.
    pub init: Option<Init>,
}

impl Settings {
    /// The settings of the provider with these options, on the cluster whose `kube-system` has this UID.
    #[must_use]
    pub fn new(fargate: &options::Fargate, node: &options::Node, region: &str, cluster_uid: &str) -> Self {
        Self {
            cluster: fargate.cluster.clone(),
            region: region.to_owned(),
            subnets: fargate.subnets.clone(),
            security_groups: fargate.security_groups.clone(),
            assign_public_ip: fargate.assign_public_ip,
            execution_role_arn: fargate.execution_role_arn.clone(),
            task_role_arn: fargate.task_role_arn.clone(),
            log_group: fargate.log_group.clone(),
            platform_version: fargate.platform_version.clone(),
            architecture: fargate.architecture,
            node_name: node.name.clone(),
            node_ip: node.ip,
            started_by: run::started_by(cluster_uid, &node.name),
            deletion_cost: fargate.deletion_cost,
            init: fargate.init.as_ref().map(Init::new),
        }
    }
}

/// A pod that cannot run as a Fargate task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Pod not supported on Fargate: {}", reasons.join(", "))]
pub struct Unsupported {
    /// Every reason.
    pub reasons: Vec<String>,
}

/// What is worth saying of a pod that runs all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The grace period was brought into ECS's bounds.
    GracePeriodClamped {
        /// Seconds asked for.
        asked: i64,
        /// Seconds given.
        given: i32,
    },
    /// Labels that are no tags.
    LabelsLeftOut {
        /// Their keys.
        keys: Vec<String>,
    },
    /// The pod asks for the cluster's DNS, whose address nobody knows.
    MissingClusterDns,
    /// Of the pod's DNS something is past the limits.
    DnsLimits {
        /// What was left out, in the kubelet's words.
        message: String,
    },
}

/// A pod as a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// What to register, where it is absent.
    pub definition: Definition,
    /// What to run.
    pub run: Run,
    /// The size, as the annotation `CapacityProvisioned` says it.
    pub size: Size,
    /// What is worth saying.
    pub notes: Vec<Note>,
}

/// Translates the pod's attempt, or says every reason why it cannot run.
pub fn translate(pod: &Pod, attempt: u32, settings: &Settings) -> Result<Translation, Unsupported> {
    let mut reasons = support::reasons(pod, settings.init.is_some());
    let (Some(spec), true) = (&pod.spec, reasons.is_empty()) else {
        return Err(Unsupported { reasons });
    };
    let plan = size::plan(spec).map_err(|reasons| Unsupported { reasons })?;
    let environments: Vec<_> = spec
        .containers
        .iter()
        .map(|container| env::environment(pod, container, plan.size, settings))
        .collect();
    let mut notes = Vec::new();
    let (first, own) = match &settings.init {
        None => (None, None),
        Some(init) => {
            let files = init::files(pod, init);
            notes.extend(files.notes);
            let hostname = init::hostname(pod);
            (Some(init::container(init, &files.plan, &hostname, settings)), init::own(&hostname))
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
    Ok(Translation { definition, run, size: plan.size, notes })
}
