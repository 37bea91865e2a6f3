//! What every container definition must be, on Fargate or not, alone and beside its siblings.
//!
//! Source: API reference, ContainerDefinition, ContainerDependency, HealthCheck, PortMapping, MountPoint; the
//! wording as users of ECS have reported it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use fargate_facts::{MOST_CONTAINERS, timeout};

use super::fargate;
use super::size::{cpu_units, memory_mib};
use crate::api::Error;
use crate::api::ecs::reference;
use crate::api::model::ecs::{
    ContainerCondition, ContainerDefinition, HealthCheck, LogConfiguration, LogDriver, NetworkMode,
    RegisterTaskDefinitionRequest,
};
use crate::engine::task::depends;

/// MiB per container at least (API reference, ContainerDefinition, `memory`).
const LEAST_MEMORY: i32 = 6;

/// The error for containers that no task definition may have.
pub(super) fn broken(input: &RegisterTaskDefinitionRequest) -> Option<Error> {
    let containers = input.container_definitions.as_deref().unwrap_or_default();
    check(input, containers).err().map(Error::client)
}

fn check(input: &RegisterTaskDefinitionRequest, containers: &[ContainerDefinition]) -> Result<(), String> {
    if containers.is_empty() {
        return Err("Container list cannot be empty.".to_owned());
    }
    if containers.len() > MOST_CONTAINERS {
        return Err("Too many containers.".to_owned());
    }
    let mut names = BTreeSet::new();
    for container in containers {
        let name = identity(container)?;
        if !names.insert(name) {
            return Err(format!("Container names must be unique. '{name}' is used more than once."));
        }
    }
    if containers.iter().all(|container| container.essential == Some(false)) {
        return Err("At least one container must be marked as essential.".to_owned());
    }
    resources(input, containers)?;
    for container in containers {
        let name = container.name.as_deref().unwrap_or_default();
        ports(input, container)?;
        mounts(input, container, containers)?;
        dependencies(name, container, containers)?;
        secrets(input, container)?;
        logs(container)?;
        timeouts(name, container)?;
        if let Some(check) = &container.health_check {
            health_check(name, check)?;
        }
        for ulimit in container.ulimits.iter().flatten() {
            if let (Some(limit), true) = (&ulimit.name, ulimit.soft_limit > ulimit.hard_limit) {
                return Err(format!("Soft limit exceeds hard limit for ulimit {limit}"));
            }
        }
    }
    cycle(containers)
}

fn identity(container: &ContainerDefinition) -> Result<&str, String> {
    let name = container.name.as_deref().filter(|name| !name.is_empty());
    let name = name.ok_or("Container.name should not be null or empty.")?;
    if !reference::is_name(name) {
        return Err("Container.name contains invalid characters when it should only contain numbers, letters, hyphens and underscores.".to_owned());
    }
    match container.image.as_deref() {
        None | Some("") => Err("Container.image should not be null or empty.".to_owned()),
        Some(image) if image.len() > 255 || image.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            Err("Container.image contains invalid characters.".to_owned())
        }
        Some(_) => Ok(name),
    }
}

fn resources(
    input: &RegisterTaskDefinitionRequest,
    containers: &[ContainerDefinition],
) -> Result<(), String> {
    let task_cpu = input.cpu.as_deref().and_then(cpu_units).map(i64::from);
    let task_memory = input.memory.as_deref().and_then(memory_mib).map(i64::from);
    let mut cpu = 0;
    let mut reserved = 0;
    for container in containers {
        let name = container.name.as_deref().unwrap_or_default();
        let (memory, reservation) = (container.memory, container.memory_reservation);
        if container.cpu.is_some_and(i32::is_negative) {
            return Err(format!("Invalid setting for container '{name}'. 'cpu' must not be negative."));
        }
        if [memory, reservation].into_iter().flatten().any(|mib| mib < LEAST_MEMORY) {
            return Err(format!(
                "Invalid setting for container '{name}'. 'memory' and 'memoryReservation' must be at least {LEAST_MEMORY} MiB."
            ));
        }
        if memory.zip(reservation).is_some_and(|(memory, reservation)| reservation > memory) {
            return Err(format!(
                "Invalid setting for container '{name}'. 'memoryReservation' must be less than or equal to 'memory'."
            ));
        }
        // Memory of a Fargate task belongs to the task, and if it is missing, that is reported for the task.
        if input.memory.is_none() && !fargate::is_declared(input) && memory.or(reservation).is_none() {
            return Err(format!(
                "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be specified."
            ));
        }
        if task_memory.is_some_and(|task| memory.is_some_and(|memory| i64::from(memory) > task)) {
            return Err(format!("The 'memory' setting for container '{name}' is greater than for the task."));
        }
        cpu += i64::from(container.cpu.unwrap_or_default());
        reserved += i64::from(reservation.or(memory).unwrap_or_default());
    }
    if task_cpu.is_some_and(|task| cpu > task) {
        return Err(
            "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'."
                .to_owned(),
        );
    }
    if task_memory.is_some_and(|task| reserved > task) {
        return Err(
            "The sum of all container 'memoryReservation' values cannot be greater than the value of the task 'memory'."
                .to_owned(),
        );
    }
    Ok(())
}

fn ports(input: &RegisterTaskDefinitionRequest, container: &ContainerDefinition) -> Result<(), String> {
    for mapping in container.port_mappings.iter().flatten() {
        if mapping.container_port.is_none() && mapping.container_port_range.is_none() {
            let name = container.name.as_deref().unwrap_or_default();
            return Err(format!("Invalid 'containerPort' setting for container '{name}'."));
        }
        for port in [mapping.container_port, mapping.host_port].into_iter().flatten() {
            if !(0..=65535).contains(&port) {
                return Err(format!("Invalid port number {port}. Ports must be between 0 and 65535."));
            }
        }
        let awsvpc = input.network_mode == Some(NetworkMode::Awsvpc);
        let differ = mapping.host_port.is_some_and(|host| host != 0 && Some(host) != mapping.container_port);
        if awsvpc && differ {
            return Err(
                "When networkMode=awsvpc, the host ports and container ports in port mappings must match."
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// A secret becomes an environment variable of the container: only one may have its name, and a role must be able to read
/// it.
fn secrets(input: &RegisterTaskDefinitionRequest, container: &ContainerDefinition) -> Result<(), String> {
    let names = || container.secrets.iter().flatten().filter_map(|secret| secret.name.as_deref());
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> = names().filter(|name| !seen.insert(*name)).collect();
    if !twice.is_empty() {
        let twice = twice.into_iter().collect::<Vec<_>>().join(", ");
        return Err(format!("Duplicate secret names found: {twice}. Each secret name must be unique."));
    }
    let is_variable = |name: &&str| {
        container.environment.iter().flatten().any(|variable| variable.name.as_deref() == Some(*name))
    };
    if let Some(shared) = names().find(is_variable) {
        return Err(format!(
            "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '{shared}'."
        ));
    }
    if names().next().is_some() && input.execution_role_arn.as_ref().is_none_or(String::is_empty) {
        return Err(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
                .to_owned(),
        );
    }
    Ok(())
}

fn mounts(
    input: &RegisterTaskDefinitionRequest,
    container: &ContainerDefinition,
    containers: &[ContainerDefinition],
) -> Result<(), String> {
    let volumes = input.volumes.as_deref().unwrap_or_default();
    for mount in container.mount_points.iter().flatten() {
        let source = mount.source_volume.as_deref().unwrap_or_default();
        if !volumes.iter().any(|volume| volume.name.as_deref() == Some(source)) {
            return Err(format!("Unknown volume '{source}'."));
        }
        if !mount.container_path.as_deref().is_some_and(|path| path.starts_with('/')) {
            return Err(
                "Invalid 'containerPath' setting for mount point: it must be an absolute path.".to_owned()
            );
        }
    }
    for from in container.volumes_from.iter().flatten() {
        let source = from.source_container.as_deref().unwrap_or_default();
        if source == container.name.as_deref().unwrap_or_default() || !has(containers, source) {
            return Err(format!("Unknown container '{source}' in volumesFrom."));
        }
    }
    Ok(())
}

fn dependencies(
    name: &str,
    container: &ContainerDefinition,
    containers: &[ContainerDefinition],
) -> Result<(), String> {
    for dependency in container.depends_on.iter().flatten() {
        let on = dependency.container_name.as_deref().unwrap_or_default();
        if on == name {
            return Err(format!("Container '{name}' cannot depend on itself."));
        }
        let Some(target) = containers.iter().find(|other| other.name.as_deref() == Some(on)) else {
            return Err(format!("Container '{name}' depends on container '{on}' which does not exist."));
        };
        match dependency.condition {
            Some(ContainerCondition::Success | ContainerCondition::Complete)
                if target.essential != Some(false) =>
            {
                return Err(
                    "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container"
                        .to_owned(),
                );
            }
            Some(ContainerCondition::Healthy) if target.health_check.is_none() => {
                return Err(
                    "A dependency container with HEALTHY condition must have health check configured"
                        .to_owned(),
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// Containers that wait for each other would never start: by `dependsOn`, and by `volumesFrom`, whose source must exist
/// first.
fn cycle(containers: &[ContainerDefinition]) -> Result<(), String> {
    let edges = containers.iter().map(|container| {
        let depends_on = container.depends_on.iter().flatten().map(|on| &on.container_name);
        let volumes_from = container.volumes_from.iter().flatten().map(|from| &from.source_container);
        let waits_for = depends_on.chain(volumes_from).filter_map(|name| name.as_deref());
        (container.name.as_deref().unwrap_or_default(), waits_for.collect())
    });
    match depends::order(edges) {
        Some(_) => Ok(()),
        None => Err("There is a cycle in the dependencies of the containers.".to_owned()),
    }
}

fn logs(container: &ContainerDefinition) -> Result<(), String> {
    let Some(log) = &container.log_configuration else { return Ok(()) };
    if log.log_driver != Some(LogDriver::Awslogs) {
        return Ok(());
    }
    let has = |option: &&str| log.options.as_ref().is_some_and(|options| options.contains_key(*option));
    let lacking: Vec<&str> =
        ["awslogs-region", "awslogs-group"].into_iter().filter(|option| !has(option)).collect();
    if !lacking.is_empty() {
        return Err(format!("Log driver awslogs requires options: {}", lacking.join(", ")));
    }
    // A name that CloudWatch would not accept could be created and never be deleted.
    name(log, "awslogs-group", is_group, "1 to 512 letters, numbers and the characters _-/.#")?;
    name(log, "awslogs-region", is_region, "lower-case letters, numbers and hyphens")?;
    name(log, "awslogs-stream-prefix", is_stream_prefix, "1 to 223 characters, none of them : or *")
}

fn name(log: &LogConfiguration, option: &str, fits: impl Fn(&str) -> bool, form: &str) -> Result<(), String> {
    match log.options.as_ref().and_then(|options| options.get(option)) {
        Some(value) if !fits(value) => {
            Err(format!("Log driver awslogs option {option} '{value}' is invalid: it must be {form}."))
        }
        _ => Ok(()),
    }
}

/// Source: CloudWatch Logs API reference, CreateLogGroup, `logGroupName`.
fn is_group(name: &str) -> bool {
    (1..=512).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-/.#".contains(&b))
        && !name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws/"))
}

fn is_region(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The stream is the prefix, the container's name of up to 255 characters and the task's id of 32 after it, each after a
/// slash, and at most 512 characters.
///
/// Source: CloudWatch Logs API reference, CreateLogStream, `logStreamName`.
fn is_stream_prefix(prefix: &str) -> bool {
    (1..=512 - 255 - 32 - 2).contains(&prefix.chars().count())
        && !prefix.chars().any(|c| c == ':' || c == '*' || c.is_control())
}

fn timeouts(name: &str, container: &ContainerDefinition) -> Result<(), String> {
    let is_in = |range: &RangeInclusive<u32>, seconds: i32| {
        u32::try_from(seconds).is_ok_and(|seconds| range.contains(&seconds))
    };
    let (least, most) = (timeout::RANGE.start(), timeout::RANGE.end());
    let within = |what: &str, value: Option<i32>| match value {
        Some(seconds) if !is_in(&timeout::RANGE, seconds) => Err(format!(
            "Invalid setting for container '{name}'. '{what}' must be between {least} and {most} seconds."
        )),
        _ => Ok(()),
    };
    within("startTimeout", container.start_timeout)?;
    within("stopTimeout", container.stop_timeout)?;
    let Some(policy) = &container.restart_policy else { return Ok(()) };
    if policy.ignored_exit_codes.as_ref().is_some_and(|codes| codes.len() > 50) {
        return Err("ignoredExitCodes can have at most 50 items.".to_owned());
    }
    let range = timeout::RESTART_ATTEMPT_RANGE;
    if policy.restart_attempt_period.is_some_and(|seconds| !is_in(&range, seconds)) {
        let (least, most) = (range.start(), range.end());
        return Err(format!("restartAttemptPeriod must be between {least} and {most} seconds."));
    }
    Ok(())
}

fn health_check(name: &str, check: &HealthCheck) -> Result<(), String> {
    let HealthCheck { command, interval, timeout, retries, start_period } = check;
    let command = command.as_deref().unwrap_or_default();
    let fits = match command.first().map(String::as_str) {
        None => false,
        Some("NONE") => command.len() == 1,
        Some("CMD" | "CMD-SHELL") => command.len() > 1,
        // ECS accepts it as it is, and runs it as with CMD: AWS's own collector's template has `["/healthcheck"]`.
        Some(_) => true,
    };
    if !fits {
        return Err(format!(
            "Container '{name}' has an invalid health check command. It must begin with CMD or CMD-SHELL."
        ));
    }
    for (what, value, least, most) in [
        ("interval", interval, 5, 300),
        ("timeout", timeout, 2, 60),
        ("retries", retries, 1, 10),
        ("startPeriod", start_period, 0, 300),
    ] {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            return Err(format!(
                "Container '{name}' has an invalid health check. '{what}' must be between {least} and {most}."
            ));
        }
    }
    Ok(())
}

fn has(containers: &[ContainerDefinition], name: &str) -> bool {
    containers.iter().any(|container| container.name.as_deref() == Some(name))
}
