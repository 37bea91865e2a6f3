//! Facts of AWS Fargate, each in one place with its source. Pure, no dependencies: the emulator and the provider, which
//! share no other code, both use them.

pub mod platform;
pub mod size;
pub mod storage;
pub mod timeout;

pub use size::Size;

/// Containers of a task definition at most (Amazon ECS service quotas).
pub const MOST_CONTAINERS: usize = 10;
