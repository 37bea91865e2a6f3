//! ListTasks.

use super::super::page;
use crate::api::ecs::cluster;
use crate::api::model::ecs::{DesiredStatus, LaunchType, ListTasksRequest, ListTasksResponse, error};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::task::{Desired, Task};

/// Lists the ARNs of a cluster's tasks in the order of their creation.
#[derive(Debug)]
pub(in crate::api::ecs) struct List;

impl Operation for List {
    const NAME: &'static str = "ListTasks";

    type Input = ListTasksRequest;
    type Output = ListTasksResponse;

    const RULES: &'static [Rule<ListTasksRequest>] = &[Rule {
        // ECS itself accepts desiredStatus beside it, and clients rely on that.
        source: "API reference, ListTasks, startedBy: it must be the only filter that you use",
        broken: |input| {
            input.started_by.as_ref()?;
            let others = [
                input.family.is_some(),
                input.service_name.is_some(),
                input.container_instance.is_some(),
                input.launch_type.is_some(),
                input.daemon_name.is_some(),
            ];
            others.contains(&true).then(|| {
                Error::invalid_parameter(
                    "When you specify startedBy as the filter, it must be the only filter that you use.",
                )
            })
        },
    }];

    async fn handle(context: &Context, input: ListTasksRequest) -> Result<ListTasksResponse, Error> {
        let size = page::Size::new(input.max_results)?;
        let cluster = cluster::find_active(context, input.cluster.as_deref()).await?;
        if input.service_name.is_some() {
            return Err(Error::new(error::SERVICE_NOT_FOUND, "Service not found."));
        }
        let filter = Filter::of(&input);
        let scope = format_args!("{} {} {filter:?}", Self::NAME, cluster.arn);
        let after: Option<(i64, String)> = page::position(scope, input.next_token.as_deref())?;

        let tasks = context.engine().tasks(&cluster.arn);
        let start = after.map_or(0, |(created_at, arn)| {
            let last = tasks.iter().position(|task| task.arn == arn);
            // It may have expired since: then tasks that were created at its time or later have not been shown.
            last.map(|at| at + 1)
                .unwrap_or_else(|| tasks.partition_point(|t| t.created_at.millis() < created_at))
        });
        let rest = tasks.iter().skip(start).filter(|task| filter.takes(task));
        let asked = usize::try_from(size.asked()).unwrap_or(usize::MAX);
        let mut found: Vec<_> = rest.take(asked).collect();
        let next_token = size.cut(&mut found, scope, |task| (task.created_at.millis(), task.arn.clone()));
        let arns = found.into_iter().map(|task| task.arn.clone()).collect();
        Ok(ListTasksResponse { task_arns: Some(arns), next_token })
    }
}

/// What ListTasks asks for, beside the cluster.
#[derive(Debug)]
struct Filter<'i> {
    desired: &'i DesiredStatus,
    family: Option<&'i str>,
    started_by: Option<&'i str>,
    launch_type: Option<&'i LaunchType>,
    /// Tasks of container instances and daemons: there are none.
    elsewhere: bool,
}

impl<'i> Filter<'i> {
    fn of(input: &'i ListTasksRequest) -> Self {
        Self {
            desired: input.desired_status.as_ref().unwrap_or(&DesiredStatus::Running),
            family: input.family.as_deref(),
            started_by: input.started_by.as_deref(),
            launch_type: input.launch_type.as_ref(),
            elsewhere: input.container_instance.is_some() || input.daemon_name.is_some(),
        }
    }

    /// A desired status of PENDING is never set, so it finds nothing (API reference, ListTasks).
    fn takes(&self, task: &Task) -> bool {
        let desired = match task.desired_status {
            Desired::Running => DesiredStatus::Running,
            Desired::Stopped => DesiredStatus::Stopped,
        };
        !self.elsewhere
            && *self.desired == desired
            && self.family.is_none_or(|family| family == task.family)
            && self.started_by.is_none_or(|started_by| task.started_by.as_deref() == Some(started_by))
            && self.launch_type.is_none_or(|launch_type| *launch_type == LaunchType::Fargate)
    }
}
