//! What Fargate accepts in a task definition, and what it refuses.
//!
//! Source: developer guide, "Amazon ECS task definition differences for Fargate"; the wording as users of ECS have
//! reported it.

use fargate_facts::{Size, storage};

use super::size::{cpu_units, known, memory_mib};
use crate::api::model::ecs::{
    Compatibility, ContainerDefinition, LogDriver, NetworkMode, OSFamily, PidMode,
    RegisterTaskDefinitionRequest, ResourceType, Volume,
};
use crate::api::shape::Enumeration as _;
use crate::api::{Error, Rule};

/// The rules of the whole definition.
const DEFINITION: &[Rule<RegisterTaskDefinitionRequest>] = &[
    Rule {
        source: "networkMode: awsvpc",
        broken: |input| {
            let other = input.network_mode != Some(NetworkMode::Awsvpc);
            other.then(|| Error::client("Fargate only supports network mode ‘awsvpc’."))
        },
    },
    Rule { source: "task size: required, of the table", broken: |input| size(input).err() },
    Rule {
        source: "ephemeralStorage: 21 to 200 GiB",
        broken: |input| ephemeral_storage(input.ephemeral_storage.as_ref()?.size_in_gi_b),
    },
    Rule {
        source: "runtimePlatform: Linux",
        broken: |input| {
            let family = input.runtime_platform.as_ref()?.operating_system_family.as_ref()?;
            // Windows runs on AWS's Fargate, but not on a Linux engine.
            (family.is_known() && *family != OSFamily::Linux).then(|| {
                Error::client(format!("neargate runs the operating system family LINUX alone, not {family}."))
            })
        },
    },
    Rule { source: "ipcMode: not supported", broken: |input| refuse(input.ipc_mode.is_some(), "ipcMode") },
    Rule {
        source: "pidMode: task alone",
        broken: |input| {
            let host = input.pid_mode.as_ref().is_some_and(|mode| *mode != PidMode::Task);
            host.then(|| Error::client("Tasks using the Fargate launch type only support 'task' as pidMode."))
        },
    },
    Rule {
        source: "placementConstraints: not supported",
        broken: |input| refuse(some(input.placement_constraints.as_ref()), "constraints"),
    },
    Rule {
        source: "inferenceAccelerators: not supported",
        broken: |input| refuse(some(input.inference_accelerators.as_ref()), "inferenceAccelerators"),
    },
    Rule {
        source: "awslogs, and images of a private registry: an execution role",
        broken: |input| {
            if input.execution_role_arn.is_some() {
                return None;
            }
            let containers = input.container_definitions.as_deref().unwrap_or_default();
            let what = containers.iter().find_map(|container| {
                let awslogs = log_driver(container) == Some(&LogDriver::Awslogs);
                awslogs
                    .then_some("log driver awslogs")
                    .or_else(|| container.image.as_ref()?.contains(".dkr.ecr.").then_some("ECR images"))
            })?;
            Some(Error::client(format!(
                "Fargate requires task definition to have execution role ARN to support {what}."
            )))
        },
    },
];

/// The rules of each container.
const CONTAINER: &[Rule<ContainerDefinition>] = &[
    Rule {
        source: "privileged: not supported",
        broken: |container| {
            let privileged = container.privileged == Some(true);
            privileged.then(|| Error::client("Fargate requires that the 'privileged' setting be 'false'."))
        },
    },
    Rule {
        source: "links: not supported",
        broken: |container| refuse(some(container.links.as_ref()), "links"),
    },
    Rule {
        source: "extraHosts: not supported",
        broken: |container| refuse(some(container.extra_hosts.as_ref()), "extraHosts"),
    },
    Rule {
        source: "dnsServers: not supported",
        broken: |container| refuse(some(container.dns_servers.as_ref()), "dnsServers"),
    },
    Rule {
        source: "dnsSearchDomains: not supported",
        broken: |container| refuse(some(container.dns_search_domains.as_ref()), "dnsSearchDomains"),
    },
    Rule {
        source: "dockerSecurityOptions: not supported",
        broken: |container| refuse(some(container.docker_security_options.as_ref()), "dockerSecurityOptions"),
    },
    Rule {
        source: "disableNetworking: not supported",
        broken: |container| refuse(container.disable_networking == Some(true), "disableNetworking"),
    },
    Rule {
        source: "hostname: not supported in network mode awsvpc",
        broken: |container| {
            container.hostname.as_ref()?;
            Some(Error::client("The 'hostname' setting is not supported when networkMode=awsvpc."))
        },
    },
    Rule {
        source: "resourceRequirements: no GPU",
        broken: |container| {
            let mut wanted = container.resource_requirements.iter().flatten();
            let gpu = wanted.any(|wanted| wanted.r#type == Some(ResourceType::Gpu));
            gpu.then(|| {
                Error::client("Tasks using the Fargate launch type do not support GPU resource requirements.")
            })
        },
    },
    Rule {
        source: "linuxParameters.capabilities: only SYS_PTRACE can be added",
        broken: |container| {
            let add = container.linux_parameters.as_ref()?.capabilities.as_ref()?.add.as_ref()?;
            let refused = add.iter().find(|capability| *capability != "SYS_PTRACE")?;
            Some(Error::client(format!(
                "Fargate compatible task definitions do not support adding the capability {refused}. Only [SYS_PTRACE] can be added."
            )))
        },
    },
    Rule {
        source: "linuxParameters: no devices, sharedMemorySize, tmpfs, maxSwap, swappiness",
        broken: |container| {
            let linux = container.linux_parameters.as_ref()?;
            refuse(some(linux.devices.as_ref()), "devices")
                .or_else(|| refuse(linux.shared_memory_size.is_some(), "sharedMemorySize"))
                .or_else(|| refuse(some(linux.tmpfs.as_ref()), "tmpfs"))
                .or_else(|| refuse(linux.max_swap.is_some(), "maxSwap"))
                .or_else(|| refuse(linux.swappiness.is_some(), "swappiness"))
        },
    },
    Rule {
        source: "logConfiguration.logDriver: awslogs, splunk, awsfirelens",
        broken: |container| {
            let driver = log_driver(container).filter(|driver| driver.is_known())?;
            let known = matches!(driver, LogDriver::Awslogs | LogDriver::Splunk | LogDriver::Awsfirelens);
            (!known).then(|| {
                Error::client(format!(
                    "{driver} is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]"
                ))
            })
        },
    },
    Rule {
        source: "logConfiguration.options: awslogs-stream-prefix is required",
        broken: |container| {
            let log = container.log_configuration.as_ref()?;
            let lacking = log.log_driver == Some(LogDriver::Awslogs)
                && !log.options.as_ref().is_some_and(|options| options.contains_key("awslogs-stream-prefix"));
            lacking.then(|| {
                Error::client(
                    "Log driver awslogs requires options: awslogs-stream-prefix when using launch type FARGATE.",
                )
            })
        },
    },
];

/// The rules of each volume.
const VOLUME: &[Rule<Volume>] = &[
    Rule {
        source: "dockerVolumeConfiguration: not supported",
        broken: |volume| refuse(volume.docker_volume_configuration.is_some(), "dockerVolumeConfiguration"),
    },
    Rule {
        source: "host.sourcePath: not supported",
        broken: |volume| refuse(volume.host.as_ref()?.source_path.is_some(), "sourcePath"),
    },
    Rule {
        source: "fsxWindowsFileServerVolumeConfiguration: not supported",
        broken: |volume| {
            let fsx = volume.fsx_windows_file_server_volume_configuration.is_some();
            refuse(fsx, "fsxWindowsFileServerVolumeConfiguration")
        },
    },
];

/// The error for a definition that declares `FARGATE` and could not run there.
pub(super) fn broken(input: &RegisterTaskDefinitionRequest) -> Option<Error> {
    if is_declared(input) { unfit(input) } else { sizes_alone(input) }
}

/// Whether `requiresCompatibilities` names `FARGATE`.
pub(super) fn is_declared(input: &RegisterTaskDefinitionRequest) -> bool {
    input.requires_compatibilities.iter().flatten().any(|c| *c == Compatibility::Fargate)
}

/// Why the definition could not run on Fargate; `None` if it could.
pub(super) fn unfit(input: &RegisterTaskDefinitionRequest) -> Option<Error> {
    let containers = input.container_definitions.as_deref().unwrap_or_default();
    let volumes = input.volumes.as_deref().unwrap_or_default();
    first(DEFINITION, std::slice::from_ref(input))
        .or_else(|| first(CONTAINER, containers))
        .or_else(|| first(VOLUME, volumes))
}

/// For a definition for EC2: the sizes, if they are given, are numbers.
fn sizes_alone(input: &RegisterTaskDefinitionRequest) -> Option<Error> {
    let cpu = input.cpu.as_deref().is_some_and(|cpu| cpu_units(cpu).is_none());
    let memory = input.memory.as_deref().is_some_and(|memory| memory_mib(memory).is_none());
    cpu.then(|| Error::client("Invalid 'cpu' setting for task."))
        .or_else(|| memory.then(|| Error::client("Invalid 'memory' setting for task.")))
}

fn first<T>(rules: &[Rule<T>], values: &[T]) -> Option<Error> {
    values.iter().find_map(|value| rules.iter().find_map(|rule| (rule.broken)(value)))
}

/// The size that the definition names.
fn size(input: &RegisterTaskDefinitionRequest) -> Result<Size, Error> {
    let required =
        |what| Error::client(format!("Fargate requires that '{what}' be defined at the task level."));
    let cpu = input.cpu.as_deref().ok_or_else(|| required("cpu"))?;
    let memory = input.memory.as_deref().ok_or_else(|| required("memory"))?;
    let cpu = cpu_units(cpu).ok_or_else(|| Error::client("Invalid 'cpu' setting for task."))?;
    let memory = memory_mib(memory).ok_or_else(|| Error::client("Invalid 'memory' setting for task."))?;
    known(cpu, memory)
}

/// The error for a size that ephemeral storage can't have.
pub(in crate::api::ecs) fn ephemeral_storage(gib: Option<i32>) -> Option<Error> {
    let (least, most) = (storage::REQUESTABLE.start(), storage::REQUESTABLE.end());
    let fits =
        gib.and_then(|gib| u32::try_from(gib).ok()).is_some_and(|gib| storage::REQUESTABLE.contains(&gib));
    (!fits).then(|| {
        Error::client(format!(
            "Invalid setting for ephemeral storage. Size must be between {least} GiB and {most} GiB."
        ))
    })
}

fn refuse(present: bool, what: &str) -> Option<Error> {
    present.then(|| Error::client(format!("Fargate compatible task definitions do not support {what}.")))
}

fn some<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

fn log_driver(container: &ContainerDefinition) -> Option<&LogDriver> {
    container.log_configuration.as_ref()?.log_driver.as_ref()
}
