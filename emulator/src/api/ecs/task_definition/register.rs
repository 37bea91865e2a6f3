//! RegisterTaskDefinition.

use super::record::{document, shown};
use super::{containers, fargate, normal};
use crate::api::ecs::{reference, tag};
use crate::api::model::ecs::{RegisterTaskDefinitionRequest, RegisterTaskDefinitionResponse};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::definition::New;

/// Bytes of a task definition at most (service quotas, "Task definition size").
const LARGEST: usize = 64 << 10;

/// Registers the next revision of a family.
#[derive(Debug)]
pub(in crate::api::ecs) struct Register;

impl Operation for Register {
    const NAME: &'static str = "RegisterTaskDefinition";

    type Input = RegisterTaskDefinitionRequest;
    type Output = RegisterTaskDefinitionResponse;

    const RULES: &'static [Rule<RegisterTaskDefinitionRequest>] = &[
        Rule {
            source: "API reference, RegisterTaskDefinition, family: required",
            broken: |input| {
                let blank = input.family.as_deref().is_none_or(str::is_empty);
                blank.then(|| Error::client("Family can not be blank."))
            },
        },
        Rule {
            source: "API reference, RegisterTaskDefinition, family: up to 255 letters, numbers, underscores and hyphens",
            broken: |input| {
                let bad = input.family.as_deref().is_some_and(|family| !reference::is_name(family));
                bad.then(|| Error::client("Family contains invalid characters when it should only contain numbers, letters, hyphens and underscores."))
            },
        },
        Rule { source: "API reference, Tag", broken: |input| tag::broken(input.tags.as_deref()) },
        Rule { source: "API reference, ContainerDefinition", broken: containers::broken },
        Rule { source: "developer guide, Fargate task definition differences", broken: fargate::broken },
    ];

    async fn handle(
        context: &Context,
        input: RegisterTaskDefinitionRequest,
    ) -> Result<RegisterTaskDefinitionResponse, Error> {
        let tags = input.tags.clone();
        let family = input.family.clone().unwrap_or_default();
        let definition = normal::form(context.account(), input);
        let length = serde_json::to_vec(&definition).map_err(Error::failure)?.len();
        if length > LARGEST {
            let message = format!("Actual length: '{length}'. Max allowed length is '{LARGEST}' bytes.");
            return Err(Error::client(message));
        }
        let new = New {
            account: context.account().to_owned(),
            region: context.region.clone(),
            family,
            registered_at: context.clock().now(),
            registered_by: format!("arn:aws:iam::{}:root", context.account()),
            tags: tags.clone().unwrap_or_default().into_iter().map(Into::into).collect(),
            document: document(&definition)?,
        };
        let registered = context.engine().definitions().register(new).await?;
        Ok(RegisterTaskDefinitionResponse { task_definition: Some(shown(&registered)?), tags })
    }
}
