//! Timeouts of containers, in seconds.
//!
//! Source: API reference, ContainerDefinition, `startTimeout`, `stopTimeout`; ContainerRestartPolicy.

use std::ops::RangeInclusive;

/// `startTimeout` and `stopTimeout` of a container on Fargate.
pub const RANGE: RangeInclusive<u32> = 2..=120;

/// Between SIGTERM and SIGKILL if the definition gives no value.
pub const STOP: u32 = 30;

/// `restartAttemptPeriod` of a restart policy.
pub const RESTART_ATTEMPT_RANGE: RangeInclusive<u32> = 60..=1800;

/// `restartAttemptPeriod` if the policy gives no value.
pub const RESTART_ATTEMPT: u32 = 300;
