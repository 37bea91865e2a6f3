//! DeleteTaskDefinitions.

use super::record::{find, shown};
use crate::api::model::ecs::{DeleteTaskDefinitionsRequest, DeleteTaskDefinitionsResponse, Failure};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::definition::StillActive;
use crate::engine::update;

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
            let failure = |reason: &str, detail: &str| Failure {
                arn: Some(name.clone()),
                reason: Some(reason.to_owned()),
                detail: Some(detail.to_owned()),
            };
            if !has_revision(&name) {
                failures.push(failure("INVALID_REVISION", "A revision must be specified."));
                continue;
            }
            let missing = || failure("MISSING", "The specified task definition does not exist.");
            let Some(found) = find(context, &name).await? else {
                failures.push(missing());
                continue;
            };
            match context.engine().definitions().delete(&found.arn, context.clock().now()).await {
                Ok(definition) => deleted.push(shown(&definition)?),
                Err(update::Error::NotFound) => failures.push(missing()),
                Err(update::Error::Refused(StillActive)) => failures.push(failure(
                    "TASK_DEFINITION_ACTIVE",
                    "The specified task definition is still in ACTIVE status. Please deregister the task definition and try again.",
                )),
                Err(update::Error::Store(source)) => return Err(source.into()),
                Err(update::Error::Unanswered(source)) => return Err(Error::failure(source)),
            }
        }
        Ok(DeleteTaskDefinitionsResponse { task_definitions: Some(deleted), failures: Some(failures) })
    }
}

fn has_revision(name: &str) -> bool {
    name.rsplit_once('/').map_or(name, |(_, name)| name).contains(':')
}
