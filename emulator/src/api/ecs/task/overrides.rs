//! RunTask's overrides, merged into the task definition. Pure.

use fargate_facts::Size;

use crate::api::Error;
use crate::api::ecs::task_definition::{cpu_units, ephemeral_storage, known, memory_mib};
use crate::api::model::ecs::{
    ContainerDefinition, ContainerOverride, EphemeralStorage, TaskDefinition, TaskOverride,
};

/// Characters of the container overrides at most (API reference, RunTask, `overrides`).
const LONGEST: usize = 8192;

/// A task definition with overrides merged in.
#[derive(Clone, Debug)]
pub(super) struct Merged {
    pub(super) definition: TaskDefinition,
    pub(super) size: Size,
    /// GiB, if the definition or the request named it.
    pub(super) ephemeral_storage: Option<u32>,
    /// As DescribeTasks shows them: every container by name, whether or not it is overridden.
    pub(super) shown: TaskOverride,
}

/// Merges `overrides` into `definition`.
///
/// # Errors
/// A container that the definition does not have; a size that Fargate does not have.
pub(super) fn merge(mut definition: TaskDefinition, overrides: TaskOverride) -> Result<Merged, Error> {
    let given = overrides.container_overrides.unwrap_or_default();
    let length = serde_json::to_string(&given).map_err(Error::failure)?.chars().count();
    if length > LONGEST {
        let message = format!("Container Overrides length must be at most {LONGEST}");
        return Err(Error::invalid_parameter(message));
    }
    let size = size(&definition, overrides.cpu.as_deref(), overrides.memory.as_deref())?;
    let containers = definition.container_definitions.get_or_insert_default();
    for overridden in &given {
        let name = overridden.name.as_deref().unwrap_or_default();
        let Some(container) = containers.iter_mut().find(|found| found.name.as_deref() == Some(name)) else {
            return Err(Error::invalid_parameter(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        };
        apply(container, overridden.clone());
    }
    within(size, containers)?;

    let storage = overrides.ephemeral_storage.as_ref().or(definition.ephemeral_storage.as_ref());
    let gib = storage.map(|storage: &EphemeralStorage| storage.size_in_gi_b);
    if let Some(error) = gib.and_then(ephemeral_storage) {
        return Err(error);
    }
    let names = containers.iter().map(|container| container.name.clone());
    let every = names.map(|name| {
        let found = given.iter().find(|overridden| overridden.name == name);
        found.cloned().unwrap_or_else(|| ContainerOverride { name, ..ContainerOverride::default() })
    });
    let shown = TaskOverride {
        container_overrides: Some(every.collect()),
        inference_accelerator_overrides: Some(Vec::new()),
        cpu: overrides.cpu.map(|_| size.cpu.to_string()),
        memory: overrides.memory.map(|_| size.memory.to_string()),
        ..overrides
    };
    let ephemeral_storage = gib.flatten().and_then(|gib| u32::try_from(gib).ok());
    Ok(Merged { definition, size, ephemeral_storage, shown })
}

/// The task's size: the override's if it has one, else the definition's.
fn size(definition: &TaskDefinition, cpu: Option<&str>, memory: Option<&str>) -> Result<Size, Error> {
    let invalid = |what| Error::invalid_parameter(format!("Invalid '{what}' setting for task."));
    let cpu = cpu.or(definition.cpu.as_deref()).and_then(cpu_units).ok_or_else(|| invalid("cpu"))?;
    let memory =
        memory.or(definition.memory.as_deref()).and_then(memory_mib).ok_or_else(|| invalid("memory"))?;
    known(cpu, memory)
        .map_err(|_| Error::invalid_parameter("No Fargate configuration exists for given values."))
}

/// The containers fit into the task, overrides and all.
fn within(size: Size, containers: &[ContainerDefinition]) -> Result<(), Error> {
    let mut cpu = 0;
    for container in containers {
        let name = container.name.as_deref().unwrap_or_default();
        if container.memory.is_some_and(|memory| i64::from(memory) > i64::from(size.memory)) {
            let message =
                format!("The 'memory' setting for container '{name}' is greater than for the task.");
            return Err(Error::invalid_parameter(message));
        }
        if container.memory.zip(container.memory_reservation).is_some_and(|(most, least)| least > most) {
            return Err(Error::invalid_parameter(format!(
                "Invalid setting for container '{name}'. 'memoryReservation' must be less than or equal to 'memory'."
            )));
        }
        cpu += i64::from(container.cpu.unwrap_or_default());
    }
    if cpu > i64::from(size.cpu) {
        return Err(Error::invalid_parameter(
            "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
        ));
    }
    Ok(())
}

/// An environment variable of the override replaces the definition's of its name; every other field is replaced
/// as a whole.
fn apply(container: &mut ContainerDefinition, overridden: ContainerOverride) {
    let ContainerOverride {
        command,
        cpu,
        environment,
        environment_files,
        memory,
        memory_reservation,
        name: _,
        resource_requirements,
    } = overridden;
    container.command = command.or_else(|| container.command.take());
    container.cpu = cpu.or(container.cpu);
    container.environment_files = environment_files.or_else(|| container.environment_files.take());
    container.memory = memory.or(container.memory);
    container.memory_reservation = memory_reservation.or(container.memory_reservation);
    container.resource_requirements =
        resource_requirements.or_else(|| container.resource_requirements.take());
    let variables = container.environment.get_or_insert_default();
    for variable in environment.unwrap_or_default() {
        match variables.iter_mut().find(|found| found.name == variable.name) {
            Some(found) => *found = variable,
            None => variables.push(variable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::ecs::KeyValuePair;

    fn definition() -> TaskDefinition {
        serde_json::from_value(serde_json::json!({
            "cpu": "256", "memory": "512",
            "containerDefinitions": [
                {"name": "app", "image": "app", "command": ["serve"], "cpu": 128, "memory": 256,
                 "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                {"name": "side", "image": "side"},
            ],
        }))
        .unwrap()
    }

    fn merged(overrides: serde_json::Value) -> Result<Merged, String> {
        merge(definition(), serde_json::from_value(overrides).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_override_replaces_what_it_names_and_nothing_else() {
        let merged = merged(serde_json::json!({
            "cpu": "1 vCPU", "memory": "2GB", "ephemeralStorage": {"sizeInGiB": 30},
            "containerOverrides": [{
                "name": "app", "command": ["once"], "memory": 1024,
                "environment": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
            }],
        }))
        .unwrap();
        assert_eq!(merged.size, Size { cpu: 1024, memory: 2048 });
        assert_eq!(merged.ephemeral_storage, Some(30));
        let app = &merged.definition.container_definitions.as_ref().unwrap()[0];
        assert_eq!(app.command.as_deref(), Some(&["once".to_owned()][..]));
        assert_eq!((app.memory, app.cpu), (Some(1024), Some(128)));
        let pair =
            |name: &str, value: &str| KeyValuePair { name: Some(name.into()), value: Some(value.into()) };
        assert_eq!(app.environment, Some(vec![pair("A", "1"), pair("B", "3"), pair("C", "4")]));
        let shown = merged.shown.container_overrides.unwrap();
        assert_eq!(shown.iter().filter_map(|c| c.name.as_deref()).collect::<Vec<_>>(), ["app", "side"]);
        assert_eq!(merged.shown.cpu.as_deref(), Some("1024"));
    }

    #[test]
    fn what_no_task_could_be_is_refused() {
        let long = "x".repeat(8193);
        for (overrides, message) in [
            (
                serde_json::json!({"containerOverrides": [{"name": "nope"}]}),
                "Override for container named nope is not a container in the TaskDefinition.",
            ),
            (
                serde_json::json!({"cpu": "512", "memory": "512"}),
                "No Fargate configuration exists for given values.",
            ),
            (serde_json::json!({"cpu": "fast"}), "Invalid 'cpu' setting for task."),
            (serde_json::json!({"memory": "much"}), "Invalid 'memory' setting for task."),
            (
                serde_json::json!({"containerOverrides": [{"name": "app", "memory": 1024}]}),
                "The 'memory' setting for container 'app' is greater than for the task.",
            ),
            (
                serde_json::json!({"containerOverrides": [{"name": "app", "cpu": 512}]}),
                "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
            ),
            (
                serde_json::json!({"containerOverrides": [{"name": "app", "memoryReservation": 300}]}),
                "Invalid setting for container 'app'. 'memoryReservation' must be less than or equal to 'memory'.",
            ),
            (
                serde_json::json!({"containerOverrides": [{"name": "app", "command": [long]}]}),
                "Container Overrides length must be at most 8192",
            ),
        ] {
            let error = merged(overrides).map(|merged| merged.size);
            assert_eq!(error, Err(format!("InvalidParameterException: {message}")));
        }
        for gib in [20, 201] {
            let error = merged(serde_json::json!({"ephemeralStorage": {"sizeInGiB": gib}}));
            assert!(error.is_err_and(|error| error.contains("between 21 GiB and 200 GiB")));
        }
    }
}
