//! The task definition: RegisterTaskDefinition's input, in ECS's own words and JSON.
//!
//! Plain values that serialise as the wire has them: the golden files show them, the family is their hash.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Settings, env::Environment, health, init, size::Plan};

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
    /// The pod's containers, all essential; before them the one that writes a kubelet's files, where there is one.
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
    /// What must have happened before it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// CPU units asked for; shares of the task's, 0 where none were asked for.
    pub cpu: i32,
    /// The memory limit in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<i32>,
    /// The memory asked for in MiB.
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
    /// Where its output goes.
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

impl LogConfiguration {
    /// Into the log group, where there is one.
    #[must_use]
    pub fn of(settings: &Settings) -> Option<Self> {
        let options = LogOptions {
            group: settings.log_group.clone()?,
            region: settings.region.clone(),
            stream_prefix: LOG_STREAM_PREFIX,
        };
        Some(Self { log_driver: "awslogs", options })
    }
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

/// The first part of every log stream's name.
pub const LOG_STREAM_PREFIX: &str = "pods";

/// The log stream of a container of a task: `pods/<container>/<task id>`.
#[must_use]
pub fn log_stream(container: &str, task_id: &str) -> String {
    format!("{LOG_STREAM_PREFIX}/{container}/{task_id}")
}

/// ECS's bounds of `stopTimeout` on Fargate, in seconds.
const STOP_TIMEOUT: std::ops::RangeInclusive<i64> = 2..=120;

/// The least `memory` and `memoryReservation` that ECS takes, in MiB.
const LEAST_MEMORY: u64 = 6;

/// The pod's grace period as a `stopTimeout`, and whether it had to be clamped.
#[must_use]
pub fn stop_timeout(spec: &PodSpec) -> (i32, bool) {
    let wanted = spec.termination_grace_period_seconds.unwrap_or(30);
    let clamped = wanted.clamp(*STOP_TIMEOUT.start(), *STOP_TIMEOUT.end());
    // Between 2 and 120 it always fits.
    (i32::try_from(clamped).unwrap_or(30), clamped != wanted)
}

/// What the pod's own environment makes of one container's words; see [`super::run`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// What the definition carries as `entryPoint`.
    pub entry_point: Vec<String>,
    /// What the definition carries as `command`; empty where the override carries it.
    pub command: Vec<String>,
    /// What RunTask's override carries as `command`, where a word of it is the pod's own.
    pub own_command: Option<Vec<String>>,
}

/// Splits a container's `command` and `args` into what replicas share and what RunTask overrides.
///
/// RunTask can override a `command`, not an `entryPoint`: but what runs is the one followed by the other, so the border is moved
/// to before the first own word. An own first word stays in the definition, which is then the pod's own.
#[must_use]
pub fn words(container: &Container, environment: &Environment) -> Words {
    let expand = |list: &Option<Vec<String>>| -> Vec<_> {
        list.iter().flatten().map(|word| environment.expand(word)).collect()
    };
    let (entry, args) = (expand(&container.command), expand(&container.args));
    let text =
        |values: &[super::env::Value]| values.iter().map(|value| value.text.clone()).collect::<Vec<_>>();
    let border = entry.iter().position(|word| word.own).map_or(entry.len(), |at| at.max(1));
    let (entry_point, moved) = entry.split_at(border);
    let command = [text(moved), text(&args)].concat();
    if moved.iter().chain(&args).any(|word| word.own) {
        Words { entry_point: text(entry_point), command: Vec::new(), own_command: Some(command) }
    } else {
        Words { entry_point: text(entry_point), command, own_command: None }
    }
}

/// The definition of a pod that [`super::support`] has nothing against; `first` goes before the pod's own containers.
#[must_use]
pub fn definition(
    spec: &PodSpec,
    plan: &Plan,
    environments: &[Environment],
    first: Option<ContainerDefinition>,
    settings: &Settings,
) -> Definition {
    let depends_on: Vec<_> =
        first.iter().map(|_| Dependency { container_name: init::NAME, condition: "SUCCESS" }).collect();
    let containers = spec.containers.iter().zip(&plan.shares).zip(environments);
    let mut definition = Definition {
        family: String::new(),
        network_mode: "awsvpc",
        requires_compatibilities: ["FARGATE"],
        cpu: plan.size.cpu.to_string(),
        memory: plan.size.memory.to_string(),
        execution_role_arn: settings.execution_role_arn.clone(),
        task_role_arn: settings.task_role_arn.clone(),
        runtime_platform: RuntimePlatform {
            cpu_architecture: settings.architecture.ecs(),
            operating_system_family: "LINUX",
        },
        ephemeral_storage: plan
            .storage
            .and_then(|gib| i32::try_from(gib).ok())
            .map(|size_in_gib| EphemeralStorage { size_in_gib }),
        container_definitions: first
            .into_iter()
            .chain(containers.map(|((container, share), environment)| {
                let words = words(container, environment);
                let security = Security::of(spec, container);
                let limit = share
                    .limit
                    .map(|limit| limit.max(LEAST_MEMORY))
                    .filter(|&limit| limit <= plan.size.memory);
                let reservation = Some(share.request.memory)
                    .filter(|&asked| asked > 0)
                    .map(|asked| asked.max(LEAST_MEMORY))
                    .filter(|&asked| limit.is_none_or(|limit| asked < limit));
                ContainerDefinition {
                    name: container.name.clone(),
                    image: container.image.clone().unwrap_or_default(),
                    essential: true,
                    depends_on: depends_on.clone(),
                    cpu: i32::try_from(share.request.cpu).unwrap_or(i32::MAX),
                    memory: limit.and_then(|limit| i32::try_from(limit).ok()),
                    memory_reservation: reservation.and_then(|asked| i32::try_from(asked).ok()),
                    entry_point: words.entry_point,
                    command: words.command,
                    environment: environment
                        .iter()
                        .filter(|(_, value)| !value.own)
                        .map(|(name, value)| Pair { name: name.to_owned(), value: value.text.clone() })
                        .collect(),
                    port_mappings: ports(container),
                    working_directory: container.working_dir.clone(),
                    user: security.user,
                    readonly_root_filesystem: security.read_only,
                    interactive: container.stdin.filter(|&stdin| stdin),
                    pseudo_terminal: container.tty.filter(|&tty| tty),
                    linux_parameters: security
                        .capabilities
                        .map(|capabilities| LinuxParameters { capabilities }),
                    health_check: health::check(container).ok().flatten(),
                    stop_timeout: stop_timeout(spec).0,
                    log_configuration: LogConfiguration::of(settings),
                }
            }))
            .collect(),
    };
    definition.family = family(&definition);
    definition
}

/// `neargate-` and the first 20 bytes of the SHA-256 of the definition without its family.
fn family(definition: &Definition) -> String {
    // Serialising plain structs of strings and numbers cannot fail.
    let json = serde_json::to_vec(definition).unwrap_or_default();
    let digest = Sha256::digest(json);
    let hex: String = digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
    format!("neargate-{hex}")
}

fn ports(container: &Container) -> Vec<PortMapping> {
    let mut mappings: Vec<PortMapping> = Vec::new();
    for port in container.ports.iter().flatten() {
        let protocol = match port.protocol.as_deref() {
            Some("UDP") => "udp",
            _ => "tcp",
        };
        let mapping = PortMapping { container_port: port.container_port, protocol };
        // Two names for one port are one mapping to ECS, which refuses doubles.
        if !mappings.contains(&mapping) {
            mappings.push(mapping);
        }
    }
    mappings
}

/// What ECS carries of the security contexts; the container's word over the pod's.
struct Security {
    user: Option<String>,
    read_only: Option<bool>,
    capabilities: Option<Capabilities>,
}

impl Security {
    fn of(spec: &PodSpec, container: &Container) -> Self {
        let own = container.security_context.as_ref();
        let pod = spec.security_context.as_ref();
        let user = own.and_then(|own| own.run_as_user).or_else(|| pod.and_then(|pod| pod.run_as_user));
        let group = own.and_then(|own| own.run_as_group).or_else(|| pod.and_then(|pod| pod.run_as_group));
        let capabilities = own.and_then(|own| own.capabilities.as_ref()).map(|capabilities| Capabilities {
            add: capabilities.add.iter().flatten().map(|name| bare(name)).collect(),
            drop: capabilities.drop.iter().flatten().map(|name| bare(name)).collect(),
        });
        Self {
            user: user.map(|user| group.map_or_else(|| user.to_string(), |group| format!("{user}:{group}"))),
            read_only: own.and_then(|own| own.read_only_root_filesystem).filter(|&read_only| read_only),
            capabilities: capabilities.filter(|capabilities| *capabilities != Capabilities::default()),
        }
    }
}

/// A capability's name as ECS writes it: upper case, without `CAP_`.
pub(super) fn bare(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}
