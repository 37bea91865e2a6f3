//! DescribeTasks.

use super::identity::Identity;
use super::view;
use crate::api::ecs::cluster;
use crate::api::model::ecs::{DescribeTasksRequest, DescribeTasksResponse, Failure, TaskField};
use crate::api::{Context, Error, Operation, Rule};

/// Describes up to 100 tasks; a missing one becomes a failure `MISSING`.
#[derive(Debug)]
pub(in crate::api::ecs) struct Describe;

impl Operation for Describe {
    const NAME: &'static str = "DescribeTasks";

    type Input = DescribeTasksRequest;
    type Output = DescribeTasksResponse;

    const RULES: &'static [Rule<DescribeTasksRequest>] = &[Rule {
        source: "API reference, DescribeTasks, tasks: required, up to 100",
        broken: |input| match input.tasks.as_ref().map_or(0, Vec::len) {
            0 => Some(Error::invalid_parameter("Tasks cannot be empty.")),
            1..=100 => None,
            _ => Some(Error::invalid_parameter("Tasks cannot have more than 100 elements.")),
        },
    }];

    async fn handle(context: &Context, input: DescribeTasksRequest) -> Result<DescribeTasksResponse, Error> {
        let DescribeTasksRequest { cluster, include, tasks } = input;
        let (cluster_name, cluster_arn) = cluster::named(context, cluster.as_deref())?;
        let tags = match include.unwrap_or_default().contains(&TaskField::Tags) {
            true => view::Tags::Shown,
            false => view::Tags::Hidden,
        };
        let mut found = Vec::new();
        let mut failures = Vec::new();
        for name in tasks.unwrap_or_default() {
            let Identity { arn } = Identity::read(context, &cluster_name, &name)?;
            match context.engine().task(&arn).filter(|task| task.cluster_arn == cluster_arn) {
                Some(task) => {
                    found.push(view::bound(view::of(&task, tags), &context.engine().bindings(&arn)));
                }
                None => failures.push(Failure {
                    arn: Some(arn),
                    reason: Some("MISSING".to_owned()),
                    detail: None,
                }),
            }
        }
        // A task that exists proves that its cluster does: the call that pollers make all day reads no database.
        if found.is_empty() {
            cluster::find_active(context, Some(&cluster_arn)).await?;
        }
        Ok(DescribeTasksResponse { tasks: Some(found), failures: Some(failures) })
    }
}
