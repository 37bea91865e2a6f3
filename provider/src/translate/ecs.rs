//! What goes to ECS, as values: RegisterTaskDefinition's and RunTask's input in ECS's own words and JSON.
//!
//! Plain values that serialize in the form of the wire: the golden files show them, a task definition's family is its
//! hash. The other files of this folder translate a pod to them.

use serde::Serialize;

/// A name and a value, as ECS writes environment variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// RegisterTaskDefinition's input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// `neargate-` and the hash of all the rest.
    pub family: String,
    /// Always `awsvpc`.
    pub network_mode: &'static str,
    /// Always `FARGATE`.
    pub requires_compatibilities: [&'static str; 1],
    /// CPU units, in digits.
    pub cpu: String,
    /// MiB, in digits.
    pub memory: String,
    /// The role that pulls images and writes logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// The role of the containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<String>,
    /// Operating system and processor.
    pub runtime_platform: RuntimePlatform,
    /// More storage than every task has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// The pod's containers, all essential; before them the one that writes a kubelet's files, if there is one.
    pub container_definitions: Vec<ContainerDefinition>,
}

/// `runtimePlatform`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimePlatform {
    /// `X86_64` or `ARM64`.
    pub cpu_architecture: &'static str,
    /// Always `LINUX`.
    pub operating_system_family: &'static str,
}

/// `ephemeralStorage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EphemeralStorage {
    /// GiB, 21 to 200.
    #[serde(rename = "sizeInGiB")]
    pub size_in_gib: i32,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerDefinition {
    /// The container's name in the pod.
    pub name: String,
    /// The image, as the pod names it.
    pub image: String,
    /// True for the pod's own: one exit ends the task.
    pub essential: bool,
    /// What it waits for before it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// CPU units requested; shares of the task's, 0 if none are requested.
    pub cpu: i32,
    /// The memory limit in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<i32>,
    /// The memory requested, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<i32>,
    /// The pod's `command`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entry_point: Vec<String>,
    /// The pod's `args`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The variables that all replicas share.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<Pair>,
    /// Ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub port_mappings: Vec<PortMapping>,
    /// `workingDir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// `runAsUser`, with `:runAsGroup`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `readOnlyRootFilesystem`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readonly_root_filesystem: Option<bool>,
    /// `stdin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interactive: Option<bool>,
    /// `tty`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pseudo_terminal: Option<bool>,
    /// Capabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux_parameters: Option<LinuxParameters>,
    /// The `exec` probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// The grace period in seconds, 2 to 120.
    pub stop_timeout: i32,
    /// The destination of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_configuration: Option<LogConfiguration>,
}

/// `dependsOn`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The container that goes before.
    pub container_name: &'static str,
    /// Always `SUCCESS`: it has exited with 0.
    pub condition: &'static str,
}

/// `portMappings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port.
    pub container_port: i32,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
}

/// `linuxParameters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinuxParameters {
    /// What is added to and dropped from the default capabilities.
    pub capabilities: Capabilities,
}

/// `linuxParameters.capabilities`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// At most `SYS_PTRACE` on Fargate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Any, or `ALL`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
}

/// `healthCheck`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// `CMD` and the words.
    pub command: Vec<String>,
    /// Seconds, 5 to 300.
    pub interval: u32,
    /// Seconds, 2 to 60.
    pub timeout: u32,
    /// Failures, 1 to 10.
    pub retries: u32,
    /// Seconds, 0 to 300.
    pub start_period: u32,
}

/// `logConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogConfiguration {
    /// Always `awslogs`.
    pub log_driver: &'static str,
    /// Its options.
    pub options: LogOptions,
}

/// The options of `awslogs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogOptions {
    /// The log group.
    #[serde(rename = "awslogs-group")]
    pub group: String,
    /// Its region.
    #[serde(rename = "awslogs-region")]
    pub region: String,
    /// The stream is prefix, container and task id, with slashes.
    #[serde(rename = "awslogs-stream-prefix")]
    pub stream_prefix: &'static str,
}

/// RunTask's input, except the task definition's revision, which is known after registering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The cluster.
    pub cluster: String,
    /// Always 1.
    pub count: i32,
    /// Always `FARGATE`.
    pub launch_type: &'static str,
    /// `LATEST` or a version.
    pub platform_version: String,
    /// Subnets and security groups.
    pub network_configuration: NetworkConfiguration,
    /// The provider that started it: cluster and node, hashed.
    pub started_by: String,
    /// The pod's UID and the attempt.
    pub client_token: String,
    /// What differs between replicas.
    pub overrides: Overrides,
    /// The pod that it belongs to, and the pod's labels.
    pub tags: Vec<Tag>,
}

/// `networkConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfiguration {
    /// The only kind that Fargate has.
    pub awsvpc_configuration: AwsVpcConfiguration,
}

/// `awsvpcConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AwsVpcConfiguration {
    /// Subnets, 1 to 16.
    pub subnets: Vec<String>,
    /// Security groups, up to 5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// `ENABLED` or `DISABLED`.
    pub assign_public_ip: &'static str,
}

/// `overrides`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// One per container that has its own values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_overrides: Vec<ContainerOverride>,
}

/// `containerOverrides`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ContainerOverride {
    /// The container.
    pub name: String,
    /// Its command, if one of the words is the pod's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Its own variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<Pair>,
}

/// `tags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// 1 to 128 characters.
    pub key: String,
    /// Up to 256 characters.
    pub value: String,
}

impl Overrides {
    /// How many characters they are on the wire.
    #[must_use]
    pub fn len(&self) -> usize {
        // Serialising plain structs of strings cannot fail.
        serde_json::to_string(self).map_or(0, |json| json.chars().count())
    }

    /// Whether they override nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.container_overrides.is_empty()
    }
}
