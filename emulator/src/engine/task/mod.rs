//! A task and its lifecycle, as functions of values: no I/O, no clock, no await.
//!
//! ```text
//! spec ── what its containers are to run, merged from the task definition and RunTask's overrides
//! model ─ what it is, in ECS's words
//! next ── task × event → task          plan ── task → what should be under way
//! ```

pub mod depends;
mod kept_json;
mod lost;
mod model;
mod next;
mod plan;
pub mod reason;
mod spec;
#[cfg(test)]
mod tests;

pub use kept_json::KeptJson;
pub use lost::lost;
pub use model::{
    Attachment, AttachmentStatus, Connectivity, Container, ContainerStatus, Desired, Health, Status,
    StopCode, Tag, Task,
};
pub use next::{Claim, Event, Illegal, next};
pub use plan::{Action, deadline, plan};
pub use spec::{AwsLogs, Condition, ContainerSpec, Dependency, PortMapping, RestartPolicy, Spec, Transport};
