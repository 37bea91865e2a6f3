//! What a task is: ECS's fields in ECS's words, plain values that serialise into the store.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{KeptJson, Spec};
use crate::clock::Timestamp;

/// `lastStatus`, in the order in which a task passes through them.
///
/// Source: Amazon ECS developer guide, "Task lifecycle".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

/// `desiredStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Desired {
    Running,
    Stopped,
}

/// `stopCode`: all that ECS's model knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopCode {
    EssentialContainerExited,
    InfrastructureHealth,
    ServiceSchedulerInitiated,
    SpotInterruption,
    TaskFailedToStart,
    TerminationNotice,
    UserInitiated,
}

/// `healthStatus` of a container or a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Health {
    Healthy,
    Unhealthy,
    #[default]
    Unknown,
}

/// `connectivity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Connectivity {
    Connected,
    Disconnected,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub key: String,
    /// Empty if none was given.
    #[serde(default)]
    pub value: String,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub arn: String,
    /// 32 hexadecimal digits: the ARN's last part.
    pub id: String,
    pub region: String,
    pub cluster_arn: String,
    pub task_definition_arn: String,
    pub family: String,
    /// `family:<family>` unless RunTask named another one.
    pub group: String,
    pub started_by: Option<String>,
    /// `FARGATE`, or `None` if a capacity provider was chosen.
    pub launch_type: Option<String>,
    pub capacity_provider_name: Option<String>,
    /// As returned: `1.4.0`, never `LATEST`.
    pub platform_version: String,
    pub platform_family: String,
    /// `X86_64` or `ARM64`.
    pub cpu_architecture: String,
    /// CPU units; 1024 are one vCPU.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// GiB.
    pub ephemeral_storage: u32,
    /// Whether the task definition or the request named the ephemeral storage.
    pub ephemeral_storage_requested: bool,
    pub enable_execute_command: bool,
    /// RunTask's overrides as they came, which DescribeTasks shows; what they change is in `spec` already.
    pub overrides: serde_json::Value,
    pub tags: Vec<Tag>,
    pub availability_zone: String,

    pub last_status: Status,
    pub desired_status: Desired,
    /// 1 at RunTask, one more with each published change.
    pub version: i64,
    pub health: Health,
    pub connectivity: Option<Connectivity>,
    pub stop_code: Option<StopCode>,
    pub stopped_reason: Option<String>,

    pub created_at: Timestamp,
    pub connectivity_at: Option<Timestamp>,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub stopping_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,

    /// The task's shared parts and its log streams exist.
    pub initialized: bool,
    /// ACTIVATING is shown between PENDING and RUNNING.
    pub shows_activating: bool,
    pub attachment: Attachment,
    /// In the order of `spec.containers`.
    pub containers: Vec<Container>,
    pub spec: Spec,
    #[serde(skip)]
    pub json: KeptJson,
}

impl Task {
    /// The index of the container of that name.
    pub fn container(&self, name: &str) -> Option<usize> {
        self.containers.iter().position(|container| container.name == name)
    }

    pub fn is_stopped(&self) -> bool {
        self.last_status == Status::Stopped
    }
}

/// The ENI attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// A UUID.
    pub id: String,
    pub status: AttachmentStatus,
    pub subnet_id: String,
    pub security_groups: Vec<String>,
    /// `assignPublicIp`.
    #[serde(default)]
    pub assign_public_ip: bool,
    /// The rest is known once a sandbox is claimed.
    pub sandbox_id: Option<String>,
    pub network_interface_id: Option<String>,
    pub mac_address: Option<String>,
    pub private_dns_name: Option<String>,
    pub private_ipv4_address: Option<Ipv4Addr>,
    /// Sandboxes that were lost before anything ran in them.
    #[serde(default)]
    pub replaced: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttachmentStatus {
    Precreated,
    Created,
    Attaching,
    Attached,
    Detaching,
    Detached,
    Deleted,
    Failed,
}

/// A container of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub name: String,
    pub arn: String,
    /// `<task id>-<10 digits>`, once it is created.
    pub runtime_id: Option<String>,
    /// The runtime's own id.
    pub container_id: Option<String>,
    pub image_digest: Option<String>,
    pub last_status: ContainerStatus,
    pub started_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    pub exit_code: Option<i64>,
    pub reason: Option<String>,
    pub health: Health,
    /// Restarts by its own restart policy.
    pub restart_count: u32,
}

impl Container {
    /// Whether it runs or has stopped.
    pub fn has_started(&self) -> bool {
        self.last_status >= ContainerStatus::Running
    }

    pub fn is_stopped(&self) -> bool {
        self.last_status == ContainerStatus::Stopped
    }
}

/// `lastStatus` of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContainerStatus {
    Pending,
    Running,
    Stopped,
}
