//! What AWS runs and this emulator does not yet.
//!
//! A feature whose absence would change what a task does is refused at RunTask by name, so that no task runs
//! differently from its request. One whose absence the task itself does not notice is accepted and named in the log.

use super::overrides::Merged;
use crate::api::Error;
use crate::api::model::ecs::{ContainerDefinition, LogDriver, RunTaskRequest, TaskDefinition, Volume};

/// The error for what a task would need that is not built.
pub(super) fn missing(request: &RunTaskRequest, definition: &TaskDefinition) -> Option<Error> {
    let containers = definition.container_definitions.iter().flatten();
    let volumes = definition.volumes.iter().flatten();
    let of_containers = containers
        .filter_map(|container| Some((of_container(container)?, container.name.as_deref()?)))
        .map(|(what, name)| format!("{what} (container '{name}')"));
    let of_volumes = volumes
        .filter_map(|volume| Some((of_volume(volume)?, volume.name.as_deref()?)))
        .map(|(what, name)| format!("{what} (volume '{name}')"));
    let configured = request.volume_configurations.as_ref().is_some_and(|volumes| !volumes.is_empty());
    let of_task = [
        configured.then(|| "volumeConfigurations".to_owned()),
        definition.proxy_configuration.as_ref().map(|_| "proxyConfiguration".to_owned()),
    ];
    let all: Vec<String> = of_task.into_iter().flatten().chain(of_containers).chain(of_volumes).collect();
    (!all.is_empty())
        .then(|| Error::client(format!("neargate does not run tasks with {} yet.", all.join(", "))))
}

/// What is requested, accepted and without effect.
pub(super) fn ignored(request: &RunTaskRequest, merged: &Merged) -> Vec<&'static str> {
    let definition = &merged.definition;
    let mappings =
        definition.container_definitions.iter().flatten().flat_map(|c| c.port_mappings.iter().flatten());
    let role = merged.shown.task_role_arn.as_ref().or(definition.task_role_arn.as_ref());
    [
        (merged.ephemeral_storage.is_some(), "ephemeralStorage (a task may use the engine's whole disk)"),
        (
            request.enable_execute_command == Some(true),
            "enableExecuteCommand (ExecuteCommand is not built yet)",
        ),
        (role.is_some(), "taskRoleArn (tasks get no credentials yet)"),
        (
            mappings.into_iter().any(|mapping| mapping.container_port_range.is_some()),
            "containerPortRange (such ports are not published on this machine)",
        ),
    ]
    .into_iter()
    .filter_map(|(present, what)| present.then_some(what))
    .collect()
}

fn of_container(container: &ContainerDefinition) -> Option<&'static str> {
    fn some<T>(list: Option<&Vec<T>>) -> bool {
        list.is_some_and(|list| !list.is_empty())
    }
    let log = container.log_configuration.as_ref();
    let driver = log.and_then(|log| log.log_driver.as_ref());
    [
        (some(container.secrets.as_ref()), "secrets"),
        (some(container.environment_files.as_ref()), "environmentFiles"),
        (container.repository_credentials.is_some(), "repositoryCredentials"),
        (container.firelens_configuration.is_some(), "firelensConfiguration"),
        (some(container.credential_specs.as_ref()), "credentialSpecs"),
        (log.is_some_and(|log| some(log.secret_options.as_ref())), "logConfiguration.secretOptions"),
        (driver == Some(&LogDriver::Splunk), "the log driver splunk"),
        (driver == Some(&LogDriver::Awsfirelens), "the log driver awsfirelens"),
    ]
    .into_iter()
    .find_map(|(present, what)| present.then_some(what))
}

fn of_volume(volume: &Volume) -> Option<&'static str> {
    [
        (volume.efs_volume_configuration.is_some(), "efsVolumeConfiguration"),
        (volume.s3files_volume_configuration.is_some(), "s3filesVolumeConfiguration"),
        (volume.configured_at_launch == Some(true), "configuredAtLaunch"),
    ]
    .into_iter()
    .find_map(|(present, what)| present.then_some(what))
}
