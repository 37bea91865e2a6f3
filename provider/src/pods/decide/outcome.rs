//! What it means for a pod that RunTask created no task.

use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;

use super::{events::Event, seen::Seen, shape::Facts, status};
use crate::fargate::ecs;

/// What follows from it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::pods) enum Outcome {
    /// Nothing: AWS fails, which is not the pod's fault, or does not know yet what it has done. The same attempt is retried.
    Trouble,
    /// The attempt is over: its task has run and is gone. The same follows as for a task that ECS calls MISSING.
    Spent,
    /// AWS refuses this pod: its status and an event report it, and the same attempt is retried after a pause.
    Refused {
        /// The status that the pod should have.
        status: Box<PodStatus>,
        /// The event.
        event: Event,
    },
}

/// How long ECS may report that the task of a client token is gone although it has only just created it (it is eventually
/// consistent).
const GRACE: Duration = Duration::from_secs(60);

/// What the error of the attempt's RunTask means for the pod.
pub(in crate::pods) fn of(facts: &Facts<'_>, attempt: u32, error: &ecs::Error, seen: &mut Seen) -> Outcome {
    match error {
        ecs::Error::Trouble { .. } | ecs::Error::Denied { .. } => Outcome::Trouble,
        // A token that was used with another request: the task was looked for, and it is gone or another's.
        ecs::Error::Spent | ecs::Error::Conflict { .. } => {
            let since = seen.spent(attempt, facts.now);
            let waited = Duration::try_from(facts.now.duration_since(since)).unwrap_or_default();
            if waited < GRACE { Outcome::Trouble } else { Outcome::Spent }
        }
        ecs::Error::NoCapacity { reason } => {
            let message = format!("Fargate capacity is not available: {reason}");
            Outcome::Refused {
                status: Box::new(status::without_task(facts, "ContainerCreating", &message)),
                event: Event::warning("FailedScheduling", "RunTask", message),
            }
        }
        ecs::Error::Refused { .. } => {
            let message = error.to_string();
            Outcome::Refused {
                status: Box::new(status::without_task(facts, "CreateContainerError", &message)),
                event: Event::warning("FailedRunTask", "RunTask", message),
            }
        }
    }
}
