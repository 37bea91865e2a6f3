//! A revision as the engine keeps it, and as the wire shows it.

use serde_json::{Map, Value};

use crate::api::ecs::reference;
use crate::api::model::ecs::{TaskDefinition, TaskDefinitionStatus};
use crate::api::{Context, Error};
use crate::engine::definition::Definition;

/// The document that is stored for a registered definition: all that its registration does not add.
pub(super) fn document(definition: &TaskDefinition) -> Result<Map<String, Value>, Error> {
    match serde_json::to_value(definition).map_err(Error::failure)? {
        Value::Object(document) => Ok(document),
        _ => Err(Error::failure("a task definition is not a JSON object")),
    }
}

/// The wire's task definition.
///
/// # Errors
/// The stored document does not have ECS's shape.
pub(in crate::api::ecs) fn shown(definition: &Definition) -> Result<TaskDefinition, Error> {
    let document: TaskDefinition =
        serde_json::from_value(Value::Object(definition.document.clone())).map_err(Error::failure)?;
    Ok(TaskDefinition {
        task_definition_arn: Some(definition.arn.clone()),
        family: Some(definition.family.clone()),
        revision: i32::try_from(definition.revision).ok(),
        status: Some(TaskDefinitionStatus::from(definition.status.as_str().to_owned())),
        registered_at: definition.registered_at.map(Into::into),
        registered_by: definition.registered_by.clone(),
        deregistered_at: definition.deregistered_at.map(Into::into),
        delete_requested_at: definition.delete_requested_at.map(Into::into),
        ..document
    })
}

/// Finds a task definition by `family` (its latest ACTIVE revision), `family:revision` or ARN.
pub(in crate::api::ecs) async fn find(context: &Context, text: &str) -> Result<Option<Definition>, Error> {
    let name = reference::resource(context, "task-definition", text)?.unwrap_or(text);
    let definitions = context.engine().definitions();
    Ok(match name.split_once(':') {
        Some((family, revision)) => {
            let Ok(revision) = revision.parse::<u32>() else {
                return Err(Error::client(format!("Invalid revision number. Number: {revision}")));
            };
            let arn = context.arn("ecs", format_args!("task-definition/{family}:{revision}"));
            definitions.get(&arn).await?
        }
        None => definitions.latest_active(context.account(), &context.region, name).await?,
    })
}
