//! What a task is to run: the task definition with RunTask's overrides merged in, defaults filled.
//!
//! The API makes it out of the wire types; from there on nobody looks at a task definition again, so a
//! running task is independent of its definition's fate, as on ECS.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::runtime::{HealthCheck, Mount, Ulimit};

/// Everything that starts a task's containers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// In the order of the task definition.
    pub containers: Vec<ContainerSpec>,
    /// Names of the bind-mount volumes.
    pub volumes: Vec<String>,
    /// `pidMode: task`.
    pub shared_pid: bool,
}

/// One container to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    /// `None`: the image's own.
    pub entry_point: Option<Vec<String>>,
    /// `None`: the image's own.
    pub command: Option<Vec<String>>,
    /// In order; a later one of the same name wins.
    pub environment: Vec<(String, String)>,
    pub user: Option<String>,
    pub working_directory: Option<String>,
    pub readonly_root_filesystem: bool,
    pub interactive: bool,
    pub pseudo_terminal: bool,
    pub init_process: bool,
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub ulimits: Vec<Ulimit>,
    pub sysctls: BTreeMap<String, String>,
    pub docker_labels: BTreeMap<String, String>,
    pub health_check: Option<HealthCheck>,
    pub mounts: Vec<Mount>,
    /// Name of a container of this task, and whether read-only.
    pub volumes_from: Vec<(String, bool)>,
    pub essential: bool,
    pub depends_on: Vec<Dependency>,
    /// Seconds that a dependency may take to reach its condition, counted from its start.
    pub start_timeout: Option<u32>,
    /// Seconds between SIGTERM and SIGKILL.
    pub stop_timeout: u32,
    pub restart_policy: Option<RestartPolicy>,
    /// CPU units reserved; 0 where unset.
    pub cpu: u32,
    /// MiB.
    pub memory: Option<u32>,
    /// MiB.
    pub memory_reservation: Option<u32>,
    /// Where the output goes; `None`: nowhere.
    pub log: Option<AwsLogs>,
    /// Those that name one port.
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
}

/// A port that a container listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    pub container_port: u16,
    pub protocol: Protocol,
}

/// `protocol` of a port mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// `dependsOn` of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub container: String,
    pub condition: Condition,
}

/// When a dependency is satisfied (amazon-ecs-agent `agent/engine/dependencygraph`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Running, or stopped already.
    Start,
    /// Stopped, whatever its exit code.
    Complete,
    /// Stopped with exit code 0.
    Success,
    /// Its health check passed.
    Healthy,
}

/// A container's own restart policy, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    pub ignored_exit_codes: Vec<i64>,
    pub restart_attempt_period: u32,
}

/// The `awslogs` log driver's options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsLogs {
    pub group: String,
    pub region: String,
    pub stream_prefix: String,
    pub create_group: bool,
    /// Already translated from `awslogs-datetime-format`, or `awslogs-multiline-pattern` as given: a line that
    /// matches begins a new event.
    pub multiline_pattern: Option<String>,
}
