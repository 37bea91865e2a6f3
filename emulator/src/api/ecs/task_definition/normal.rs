//! The form in which a task definition is stored and returned: with the defaults that ECS fills in.

use super::fargate;
use super::size::{cpu_units, memory_mib};
use crate::api::model::ecs::{
    Attribute, Compatibility, ContainerDefinition, NetworkMode, RegisterTaskDefinitionRequest,
    TaskDefinition, TransportProtocol,
};

/// The task definition of a request, without what its registration adds.
///
/// Source: API reference, RegisterTaskDefinition, sample responses: sizes as numbers, `cpu` 0, `essential` true,
/// empty lists for what is not given, host ports in awsvpc mode the container's.
pub(super) fn form(account: &str, input: RegisterTaskDefinitionRequest) -> TaskDefinition {
    let compatibilities = compatibilities(&input);
    let requires_attributes = attributes(&input);
    let RegisterTaskDefinitionRequest {
        container_definitions,
        cpu,
        enable_fault_injection,
        ephemeral_storage,
        execution_role_arn,
        family: _,
        inference_accelerators,
        ipc_mode,
        memory,
        network_mode,
        pid_mode,
        placement_constraints,
        proxy_configuration,
        requires_compatibilities,
        runtime_platform,
        tags: _,
        task_role_arn,
        volumes,
    } = input;
    let awsvpc = network_mode == Some(NetworkMode::Awsvpc);
    let containers = container_definitions.unwrap_or_default();
    TaskDefinition {
        container_definitions: Some(containers.into_iter().map(|c| container(c, awsvpc)).collect()),
        cpu: cpu.map(|cpu| cpu_units(&cpu).map_or(cpu, |units| units.to_string())),
        memory: memory.map(|memory| memory_mib(&memory).map_or(memory, |mib| mib.to_string())),
        volumes: Some(volumes.unwrap_or_default()),
        placement_constraints: Some(placement_constraints.unwrap_or_default()),
        compatibilities: Some(compatibilities),
        requires_attributes: Some(requires_attributes),
        enable_fault_injection,
        ephemeral_storage,
        execution_role_arn: execution_role_arn.map(|role| role_arn(account, &role)),
        inference_accelerators,
        ipc_mode,
        network_mode,
        pid_mode,
        proxy_configuration,
        requires_compatibilities,
        runtime_platform,
        task_role_arn: task_role_arn.map(|role| role_arn(account, &role)),
        ..TaskDefinition::default()
    }
}

/// The ARN of a role that is named by it or by its short name, which may have a path in front.
///
/// Source: API reference, RegisterTaskDefinition, `taskRoleArn`: "The short name or full Amazon Resource Name (ARN)".
pub(in crate::api::ecs) fn role_arn(account: &str, role: &str) -> String {
    if role.is_empty() || role.starts_with("arn:") {
        return role.to_owned();
    }
    format!("arn:aws:iam::{account}:role/{}", role.trim_start_matches('/'))
}

fn container(mut container: ContainerDefinition, awsvpc: bool) -> ContainerDefinition {
    container.cpu.get_or_insert(0);
    container.essential.get_or_insert(true);
    container.environment.get_or_insert_default();
    container.mount_points.get_or_insert_default();
    container.volumes_from.get_or_insert_default();
    container.system_controls.get_or_insert_default();
    for mapping in container.port_mappings.get_or_insert_default() {
        mapping.protocol.get_or_insert(TransportProtocol::Tcp);
        if mapping.container_port_range.is_none() {
            let port = if awsvpc { mapping.container_port } else { Some(0) };
            mapping.host_port = mapping.host_port.or(port);
        }
    }
    if let Some(check) = &mut container.health_check {
        check.interval.get_or_insert(30);
        check.timeout.get_or_insert(5);
        check.retries.get_or_insert(3);
    }
    container
}

/// Where the definition could run: EC2 always, Fargate if it satisfies all of its rules.
fn compatibilities(input: &RegisterTaskDefinitionRequest) -> Vec<Compatibility> {
    let mut found = vec![Compatibility::Ec2];
    if fargate::unfit(input).is_none() {
        found.push(Compatibility::Fargate);
    }
    let bound_to_instance = input.network_mode == Some(NetworkMode::Awsvpc);
    if !bound_to_instance {
        found.push(Compatibility::External);
    }
    found
}

/// What a container agent would need to run it, as ECS derives it from the definition.
fn attributes(input: &RegisterTaskDefinitionRequest) -> Vec<Attribute> {
    let containers = input.container_definitions.as_deref().unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    for container in containers {
        if let Some(driver) = container.log_configuration.as_ref().and_then(|log| log.log_driver.as_ref()) {
            add(format!("com.amazonaws.ecs.capability.logging-driver.{driver}"));
            if input.execution_role_arn.is_some() && driver.to_string() == "awslogs" {
                add("ecs.capability.execution-role-awslogs".to_owned());
            }
            add("com.amazonaws.ecs.capability.docker-remote-api.1.19".to_owned());
        }
        if container.image.as_ref().is_some_and(|image| image.contains(".dkr.ecr.")) {
            add("com.amazonaws.ecs.capability.ecr-auth".to_owned());
            if input.execution_role_arn.is_some() {
                add("ecs.capability.execution-role-ecr-pull".to_owned());
            }
        }
        if container.health_check.is_some() {
            add("ecs.capability.container-health-check".to_owned());
            add("com.amazonaws.ecs.capability.docker-remote-api.1.24".to_owned());
        }
        if container.depends_on.as_ref().is_some_and(|on| !on.is_empty()) {
            add("ecs.capability.container-ordering".to_owned());
        }
    }
    if input.task_role_arn.is_some() {
        add("com.amazonaws.ecs.capability.task-iam-role".to_owned());
    }
    add("com.amazonaws.ecs.capability.docker-remote-api.1.18".to_owned());
    if input.network_mode == Some(NetworkMode::Awsvpc) {
        add("ecs.capability.task-eni".to_owned());
    }
    names.into_iter().map(|name| Attribute { name: Some(name), ..Attribute::default() }).collect()
}
