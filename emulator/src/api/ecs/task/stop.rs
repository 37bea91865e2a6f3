//! StopTask.

use super::identity::Identity;
use super::view;
use crate::api::ecs::cluster;
use crate::api::model::ecs::{StopTaskRequest, StopTaskResponse};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::task::StopCode;

/// Stops a task; one that has stopped is returned as it is.
#[derive(Debug)]
pub(in crate::api::ecs) struct Stop;

impl Operation for Stop {
    const NAME: &'static str = "StopTask";

    type Input = StopTaskRequest;
    type Output = StopTaskResponse;

    const RULES: &'static [Rule<StopTaskRequest>] = &[
        Rule {
            source: "API reference, StopTask, task: required",
            broken: |input| {
                let blank = input.task.as_deref().is_none_or(str::is_empty);
                blank.then(|| Error::invalid_parameter("Task can not be blank."))
            },
        },
        Rule {
            source: "API reference, StopTask, reason: up to 1024 characters",
            broken: |input| {
                let long = input.reason.as_ref().is_some_and(|reason| reason.chars().count() > 1024);
                long.then(|| Error::invalid_parameter("Reason can be at most 1024 characters."))
            },
        },
    ];

    async fn handle(context: &Context, input: StopTaskRequest) -> Result<StopTaskResponse, Error> {
        let StopTaskRequest { cluster, reason, task } = input;
        let cluster = cluster::find_active(context, cluster.as_deref()).await?;
        let Identity { arn } = Identity::read(context, &cluster.name, &task.unwrap_or_default())?;
        let not_found = || Error::invalid_parameter("The referenced task was not found.");
        let known = context.engine().task(&arn).filter(|task| task.cluster_arn == cluster.arn);
        known.ok_or_else(not_found)?;
        let reason =
            reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| "Task stopped by user".to_owned());
        let stopped = context.engine().stop(&arn, StopCode::UserInitiated, reason).await;
        let task = stopped.map_err(Error::failure)?.ok_or_else(not_found)?;
        Ok(StopTaskResponse { task: Some(view::of(&task, view::Tags::Shown)) })
    }
}
