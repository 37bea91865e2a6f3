//! DescribeTaskDefinition.

use super::record::{find, shown};
use crate::api::model::ecs::{
    DescribeTaskDefinitionRequest, DescribeTaskDefinitionResponse, TaskDefinitionField,
};
use crate::api::{Context, Error, Operation, Rule};

/// Describes a revision, or a family's latest ACTIVE one.
#[derive(Debug)]
pub(in crate::api::ecs) struct Describe;

impl Operation for Describe {
    const NAME: &'static str = "DescribeTaskDefinition";

    type Input = DescribeTaskDefinitionRequest;
    type Output = DescribeTaskDefinitionResponse;

    const RULES: &'static [Rule<DescribeTaskDefinitionRequest>] = &[Rule {
        source: "API reference, DescribeTaskDefinition, taskDefinition: required",
        broken: |input| {
            let blank = input.task_definition.as_deref().is_none_or(str::is_empty);
            blank.then(|| Error::client("Task definition can not be blank."))
        },
    }];

    async fn handle(
        context: &Context,
        input: DescribeTaskDefinitionRequest,
    ) -> Result<DescribeTaskDefinitionResponse, Error> {
        let DescribeTaskDefinitionRequest { task_definition, include } = input;
        let found = find(context, &task_definition.unwrap_or_default()).await?;
        let definition = found.ok_or_else(|| Error::client("Unable to describe task definition."))?;
        let with_tags = include.unwrap_or_default().contains(&TaskDefinitionField::Tags);
        Ok(DescribeTaskDefinitionResponse {
            task_definition: Some(shown(&definition)?),
            tags: with_tags.then(|| definition.tags.into_iter().map(Into::into).collect()),
        })
    }
}
