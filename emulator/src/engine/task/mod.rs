//! A task and its lifecycle.
//!
//! [`model`] is what a task *is*, in ECS's words; [`spec`] is what its containers are to run, already merged
//! from the task definition and RunTask's overrides.

mod model;
mod spec;

pub use model::{
    Attachment, AttachmentStatus, Connectivity, Container, ContainerStatus, Desired, Health, Status,
    StopCode, Tag, Task,
};
pub use spec::{AwsLogs, Condition, ContainerSpec, Dependency, RestartPolicy, Spec};
