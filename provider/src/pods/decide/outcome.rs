//! What it means for a pod that RunTask made no task.

use k8s_openapi::api::core::v1::PodStatus;

use super::{events::Event, shape::Facts, status};
use crate::fargate::ecs;

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::pods) enum Outcome {
    /// Nothing: AWS is in trouble, which is not the pod's. The same attempt is tried again.
    Trouble,
    /// AWS refuses this pod: its status and an event say so, and the same attempt is tried again after a pause.
    Refused {
        /// The status that the pod should have.
        status: Box<PodStatus>,
        /// The event.
        event: Event,
    },
}

/// What RunTask's error means for the pod.
pub(in crate::pods) fn of(facts: &Facts<'_>, error: &ecs::Error) -> Outcome {
    match error {
        ecs::Error::Trouble { .. } | ecs::Error::Conflict { .. } => Outcome::Trouble,
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
