//! DeleteTaskDefinitions.

use super::record::{Record, find};
use crate::api::model::ecs::{
    DeleteTaskDefinitionsRequest, DeleteTaskDefinitionsResponse, Failure, TaskDefinition,
    TaskDefinitionStatus,
};
use crate::api::{Context, Error, Operation, Rule};
use crate::store::task_definitions as table;

/// Deletes up to 10 INACTIVE revisions; the others become failures.
#[derive(Debug)]
pub(in crate::api::ecs) struct Delete;

impl Operation for Delete {
    const NAME: &'static str = "DeleteTaskDefinitions";

    type Input = DeleteTaskDefinitionsRequest;
    type Output = DeleteTaskDefinitionsResponse;

    const RULES: &'static [Rule<DeleteTaskDefinitionsRequest>] = &[Rule {
        source: "API reference, DeleteTaskDefinitions, taskDefinitions: required, up to 10",
        broken: |input| match input.task_definitions.as_ref().map_or(0, Vec::len) {
            0 => Some(Error::invalid_parameter("TaskDefinitions cannot be empty.")),
            1..=10 => None,
            _ => Some(Error::invalid_parameter("TaskDefinitions cannot have more than 10 elements.")),
        },
    }];

    async fn handle(
        context: &Context,
        input: DeleteTaskDefinitionsRequest,
    ) -> Result<DeleteTaskDefinitionsResponse, Error> {
        let mut deleted = Vec::new();
        let mut failures = Vec::new();
        for name in input.task_definitions.unwrap_or_default() {
            let found = if has_revision(&name) { find(context, &name).await? } else { None };
            let failure = |reason: &str, detail: &str| Failure {
                arn: Some(name.clone()),
                reason: Some(reason.to_owned()),
                detail: Some(detail.to_owned()),
            };
            match found {
                None if !has_revision(&name) => {
                    failures.push(failure("INVALID_REVISION", "A revision must be specified."));
                }
                None => failures.push(failure("MISSING", "The specified task definition does not exist.")),
                Some(record) if record.is_active() => failures.push(failure(
                    "TASK_DEFINITION_ACTIVE",
                    "The specified task definition is still in ACTIVE status. Please deregister the task definition and try again.",
                )),
                Some(record) => deleted.push(delete(context, record).await?),
            }
        }
        Ok(DeleteTaskDefinitionsResponse { task_definitions: Some(deleted), failures: Some(failures) })
    }
}

/// No task or service needs a definition once it runs, so the deletion is done when it is asked for; it is answered
/// as AWS does, in progress.
async fn delete(context: &Context, record: Record) -> Result<TaskDefinition, Error> {
    let arn = record.arn().to_owned();
    context
        .store()
        .write(move |connection| Box::pin(async move { table::delete(connection, &arn).await }))
        .await?;
    Ok(TaskDefinition {
        status: Some(TaskDefinitionStatus::DeleteInProgress),
        delete_requested_at: Some(context.clock().now().into()),
        ..record.definition
    })
}

fn has_revision(name: &str) -> bool {
    name.rsplit_once('/').map_or(name, |(_, name)| name).contains(':')
}
