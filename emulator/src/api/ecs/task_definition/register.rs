//! RegisterTaskDefinition.

use super::record::Record;
use super::{containers, fargate, normal};
use crate::api::ecs::{reference, tag};
use crate::api::model::ecs::{
    RegisterTaskDefinitionRequest, RegisterTaskDefinitionResponse, TaskDefinition, TaskDefinitionStatus,
};
use crate::api::{Context, Error, Operation, Rule};
use crate::store::task_definitions as table;

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
        let definition = TaskDefinition {
            status: Some(TaskDefinitionStatus::Active),
            registered_at: Some(context.clock().now().into()),
            registered_by: Some(format!("arn:aws:iam::{}:root", context.account())),
            ..normal::form(input)
        };
        let length = serde_json::to_vec(&definition).map_err(Error::failure)?.len();
        if length > LARGEST {
            let message = format!("Actual length: '{length}'. Max allowed length is '{LARGEST}' bytes.");
            return Err(Error::client(message));
        }
        let mut record = Record { definition, tags: tags.clone().unwrap_or_default() };
        let context_of_write = context.clone();
        let record = context
            .store()
            .write(move |connection| {
                Box::pin(async move {
                    let context = context_of_write;
                    let (account, family) = (context.account(), record.family().to_owned());
                    let revision =
                        table::next_revision(connection, account, &context.region, &family).await?;
                    let arn = context.arn("ecs", format_args!("task-definition/{family}:{revision}"));
                    record.definition.task_definition_arn = Some(arn);
                    record.definition.revision = i32::try_from(revision).ok();
                    match record.row(&context) {
                        Ok(row) => table::put(connection, &row).await.map(|()| Ok(record)),
                        Err(error) => Ok(Err(error)),
                    }
                })
            })
            .await??;
        Ok(RegisterTaskDefinitionResponse { task_definition: Some(record.definition), tags })
    }
}
