//! DeregisterTaskDefinition.

use super::record::find;
use crate::api::model::ecs::{
    DeregisterTaskDefinitionRequest, DeregisterTaskDefinitionResponse, TaskDefinitionStatus,
};
use crate::api::{Context, Error, Operation, Rule};

/// Makes a revision INACTIVE: what runs of it goes on, new tasks of it are refused.
#[derive(Debug)]
pub(in crate::api::ecs) struct Deregister;

impl Operation for Deregister {
    const NAME: &'static str = "DeregisterTaskDefinition";

    type Input = DeregisterTaskDefinitionRequest;
    type Output = DeregisterTaskDefinitionResponse;

    const RULES: &'static [Rule<DeregisterTaskDefinitionRequest>] = &[
        Rule {
            source: "API reference, DeregisterTaskDefinition, taskDefinition: required",
            broken: |input| {
                let blank = input.task_definition.as_deref().is_none_or(str::is_empty);
                blank.then(|| Error::client("Task definition can not be blank."))
            },
        },
        Rule {
            source: "API reference, DeregisterTaskDefinition, taskDefinition: you must specify a revision",
            broken: |input| {
                let name = input.task_definition.as_deref()?;
                let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
                (!name.contains(':')).then(|| Error::client("Revision is missing."))
            },
        },
    ];

    async fn handle(
        context: &Context,
        input: DeregisterTaskDefinitionRequest,
    ) -> Result<DeregisterTaskDefinitionResponse, Error> {
        let found = find(context, &input.task_definition.unwrap_or_default()).await?;
        let mut record =
            found.ok_or_else(|| Error::client("The specified task definition does not exist."))?;
        if record.is_active() {
            record.definition.status = Some(TaskDefinitionStatus::Inactive);
            record.definition.deregistered_at = Some(context.clock().now().into());
            record.put(context).await?;
        }
        Ok(DeregisterTaskDefinitionResponse { task_definition: Some(record.definition) })
    }
}
