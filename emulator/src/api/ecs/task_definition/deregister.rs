//! DeregisterTaskDefinition.

use std::convert::Infallible;

use super::record::{find, shown};
use crate::api::model::ecs::{DeregisterTaskDefinitionRequest, DeregisterTaskDefinitionResponse};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::definition::Status;
use crate::engine::update;

/// Makes a revision INACTIVE: its running tasks continue, new tasks of it are refused.
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
        let not_found = || Error::client("The specified task definition does not exist.");
        let found = find(context, &input.task_definition.unwrap_or_default()).await?.ok_or_else(not_found)?;
        let now = context.clock().now();
        let definitions = context.engine().definitions();
        let deregistered = definitions.update(&found.arn, move |definition| {
            if definition.is_active() {
                definition.status = Status::Inactive;
                definition.deregistered_at = Some(now);
            }
            Ok::<_, Infallible>(definition.clone())
        });
        let definition = deregistered.await.map_err(|error| match error {
            update::Error::NotFound => not_found(),
            update::Error::Refused(never) => match never {},
            update::Error::Store(source) => source.into(),
            update::Error::Unanswered(source) => Error::failure(source),
        })?;
        Ok(DeregisterTaskDefinitionResponse { task_definition: Some(shown(&definition)?) })
    }
}
