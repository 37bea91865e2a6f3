//! The task definition: what all replicas of a pod share.

use fargate_facts::timeout;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use sha2::{Digest, Sha256};

use super::{
    Settings,
    ecs::{
        ContainerDefinition, Definition, Dependency, EphemeralStorage, LinuxParameters, Pair, PortMapping,
        RuntimePlatform,
    },
    env::{Environment, Value},
    health, init, logs,
    security::Security,
    size::Plan,
};

/// The least `memory` and `memoryReservation` that ECS accepts, in MiB.
const LEAST_MEMORY: u64 = 6;

/// The pod's grace period as a `stopTimeout`, and whether it had to be clamped.
#[must_use]
pub fn stop_timeout(spec: &PodSpec) -> (i32, bool) {
    let wanted = spec.termination_grace_period_seconds.unwrap_or(30);
    let clamped = wanted.clamp(i64::from(*timeout::RANGE.start()), i64::from(*timeout::RANGE.end()));
    // Fargate's bounds are small: it always fits.
    (i32::try_from(clamped).unwrap_or(30), clamped != wanted)
}

/// The command of one container, with the pod's own environment expanded; see [`super::run`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// The definition's `entryPoint`.
    pub entry_point: Vec<String>,
    /// The definition's `command`; empty if the override has it.
    pub command: Vec<String>,
    /// The `command` of RunTask's override, if a word of it is the pod's own.
    pub own_command: Option<Vec<String>>,
}

/// Splits a container's `command` and `args` into what replicas share and what RunTask overrides.
///
/// RunTask can override a `command`, not an `entryPoint`: but what runs is the one followed by the other, so the border is moved
/// to before the first own word. If the first word is the pod's own, it stays in the definition, which is then the pod's own.
#[must_use]
pub fn words(container: &Container, environment: &Environment) -> Words {
    let expand = |list: &Option<Vec<String>>| -> Vec<_> {
        list.iter().flatten().map(|word| environment.expand(word)).collect()
    };
    let (entry, args) = (expand(&container.command), expand(&container.args));
    let text = |values: &[Value]| values.iter().map(|value| value.text.clone()).collect::<Vec<_>>();
    let border = entry.iter().position(|word| word.own).map_or(entry.len(), |at| at.max(1));
    let (entry_point, moved) = entry.split_at(border);
    let command = [text(moved), text(&args)].concat();
    if moved.iter().chain(&args).any(|word| word.own) {
        Words { entry_point: text(entry_point), command: Vec::new(), own_command: Some(command) }
    } else {
        Words { entry_point: text(entry_point), command, own_command: None }
    }
}

/// The definition of a pod that [`super::support`] accepts; `first` goes before the pod's own containers.
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
        execution_role_arn: settings.fargate.execution_role_arn.clone(),
        task_role_arn: settings.fargate.task_role_arn.clone(),
        runtime_platform: RuntimePlatform {
            cpu_architecture: settings.fargate.architecture.ecs(),
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
                    log_configuration: logs::configuration(settings),
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
        // Two names for one port are one mapping to ECS, which refuses duplicates.
        if !mappings.contains(&mapping) {
            mappings.push(mapping);
        }
    }
    mappings
}
