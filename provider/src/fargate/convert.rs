//! The translation's plain values as the SDK's requests.

use aws_sdk_ecs::{
    Client,
    operation::{
        register_task_definition::builders::RegisterTaskDefinitionFluentBuilder,
        run_task::builders::RunTaskFluentBuilder,
    },
    types::{
        AssignPublicIp, AwsVpcConfiguration, Compatibility, ContainerCondition, ContainerDefinition,
        ContainerDependency, ContainerOverride, CpuArchitecture, EphemeralStorage, HealthCheck,
        KernelCapabilities, KeyValuePair, LaunchType, LinuxParameters, LogConfiguration, LogDriver,
        NetworkConfiguration, NetworkMode, OsFamily, PortMapping, RuntimePlatform, Tag, TaskOverride,
        TransportProtocol,
    },
};
use aws_smithy_types::error::operation::BuildError;

use crate::translate::ecs;

/// RegisterTaskDefinition of `definition`.
pub(super) fn register(client: &Client, definition: &ecs::Definition) -> RegisterTaskDefinitionFluentBuilder {
    let ecs::Definition {
        family,
        network_mode,
        requires_compatibilities,
        cpu,
        memory,
        execution_role_arn,
        task_role_arn,
        runtime_platform,
        ephemeral_storage,
        container_definitions,
    } = definition;
    let platform = RuntimePlatform::builder()
        .cpu_architecture(CpuArchitecture::from(runtime_platform.cpu_architecture))
        .operating_system_family(OsFamily::from(runtime_platform.operating_system_family));
    client
        .register_task_definition()
        .family(family)
        .network_mode(NetworkMode::from(*network_mode))
        .set_requires_compatibilities(Some(
            requires_compatibilities.iter().copied().map(Compatibility::from).collect(),
        ))
        .cpu(cpu)
        .memory(memory)
        .set_execution_role_arn(execution_role_arn.clone())
        .set_task_role_arn(task_role_arn.clone())
        .runtime_platform(platform.build())
        .set_ephemeral_storage(
            ephemeral_storage
                .as_ref()
                .map(|storage| EphemeralStorage::builder().size_in_gib(storage.size_in_gib).build()),
        )
        .set_container_definitions(Some(container_definitions.iter().map(container).collect()))
}

fn container(container: &ecs::ContainerDefinition) -> ContainerDefinition {
    let ecs::ContainerDefinition {
        name,
        image,
        essential,
        depends_on,
        cpu,
        memory,
        memory_reservation,
        entry_point,
        command,
        environment,
        port_mappings,
        working_directory,
        user,
        readonly_root_filesystem,
        interactive,
        pseudo_terminal,
        linux_parameters,
        health_check,
        stop_timeout,
        log_configuration,
    } = container;
    ContainerDefinition::builder()
        .name(name)
        .image(image)
        .essential(*essential)
        .set_depends_on(
            some(depends_on).map(|all| all.iter().filter_map(|one| known(dependency(one))).collect()),
        )
        .cpu(*cpu)
        .set_memory(*memory)
        .set_memory_reservation(*memory_reservation)
        .set_entry_point(some(entry_point))
        .set_command(some(command))
        .set_environment(some(environment).map(|pairs| pairs.iter().map(pair).collect()))
        .set_port_mappings(some(port_mappings).map(|mappings| {
            let mapping = |mapping: &ecs::PortMapping| {
                PortMapping::builder()
                    .container_port(mapping.container_port)
                    .protocol(TransportProtocol::from(mapping.protocol))
                    .build()
            };
            mappings.iter().map(mapping).collect()
        }))
        .set_working_directory(working_directory.clone())
        .set_user(user.clone())
        .set_readonly_root_filesystem(*readonly_root_filesystem)
        .set_interactive(*interactive)
        .set_pseudo_terminal(*pseudo_terminal)
        .set_linux_parameters(linux_parameters.as_ref().map(|parameters| {
            let capabilities = KernelCapabilities::builder()
                .set_add(some(&parameters.capabilities.add))
                .set_drop(some(&parameters.capabilities.drop));
            LinuxParameters::builder().capabilities(capabilities.build()).build()
        }))
        .set_health_check(health_check.as_ref().and_then(|check| known(health(check))))
        .stop_timeout(*stop_timeout)
        .set_log_configuration(log_configuration.as_ref().and_then(|configuration| known(log(configuration))))
        .build()
}

fn dependency(dependency: &ecs::Dependency) -> Result<ContainerDependency, BuildError> {
    ContainerDependency::builder()
        .container_name(dependency.container_name)
        .condition(ContainerCondition::from(dependency.condition))
        .build()
}

fn health(check: &ecs::HealthCheck) -> Result<HealthCheck, BuildError> {
    let seconds = |value: u32| i32::try_from(value).ok();
    HealthCheck::builder()
        .set_command(Some(check.command.clone()))
        .set_interval(seconds(check.interval))
        .set_timeout(seconds(check.timeout))
        .set_retries(seconds(check.retries))
        .set_start_period(seconds(check.start_period))
        .build()
}

fn log(configuration: &ecs::LogConfiguration) -> Result<LogConfiguration, BuildError> {
    let ecs::LogOptions { group, region, stream_prefix } = &configuration.options;
    LogConfiguration::builder()
        .log_driver(LogDriver::from(configuration.log_driver))
        .options("awslogs-group", group)
        .options("awslogs-region", region)
        .options("awslogs-stream-prefix", *stream_prefix)
        .build()
}

/// RunTask of `run` with the revision `definition_arn`.
pub(super) fn run(client: &Client, definition_arn: &str, run: &ecs::Run) -> RunTaskFluentBuilder {
    let ecs::Run {
        cluster,
        count,
        launch_type,
        platform_version,
        network_configuration,
        started_by,
        client_token,
        overrides,
        tags,
    } = run;
    let vpc = &network_configuration.awsvpc_configuration;
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(vpc.subnets.clone()))
        .set_security_groups(some(&vpc.security_groups))
        .assign_public_ip(AssignPublicIp::from(vpc.assign_public_ip));
    let overridden = |own: &ecs::ContainerOverride| {
        ContainerOverride::builder()
            .name(&own.name)
            .set_command(some(&own.command))
            .set_environment(some(&own.environment).map(|pairs| pairs.iter().map(pair).collect()))
            .build()
    };
    client
        .run_task()
        .cluster(cluster)
        .task_definition(definition_arn)
        .count(*count)
        .launch_type(LaunchType::from(*launch_type))
        .platform_version(platform_version)
        .network_configuration(
            NetworkConfiguration::builder().set_awsvpc_configuration(known(vpc.build())).build(),
        )
        .started_by(started_by)
        .client_token(client_token)
        .set_overrides(some(&overrides.container_overrides).map(|own| {
            TaskOverride::builder()
                .set_container_overrides(Some(own.iter().map(overridden).collect()))
                .build()
        }))
        .set_tags(Some(
            tags.iter().map(|tag| Tag::builder().key(&tag.key).value(&tag.value).build()).collect(),
        ))
}

fn pair(pair: &ecs::Pair) -> KeyValuePair {
    KeyValuePair::builder().name(&pair.name).value(&pair.value).build()
}

/// A list that is not empty; ECS takes an empty list as a request to clear the image's value.
fn some<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty()).map(<[T]>::to_vec)
}

/// The SDK's builders fail only on a missing required member, and every such member is set above.
fn known<T>(built: Result<T, BuildError>) -> Option<T> {
    built
        .inspect_err(
            |error| tracing::error!(%error, "a part lacks a required member; sending the request without it"),
        )
        .ok()
}
