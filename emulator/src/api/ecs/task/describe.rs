//! DescribeTasks.

use std::sync::Arc;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::to_raw_value;

use super::identity::Identity;
use super::view;
use crate::api::ecs::cluster;
use crate::api::model::ecs::{DescribeTasksRequest, Failure, Task, TaskField};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::task as model;

/// Describes up to 100 tasks; a missing one becomes a failure `MISSING`.
#[derive(Debug)]
pub(in crate::api::ecs) struct Describe;

impl Operation for Describe {
    const NAME: &'static str = "DescribeTasks";

    type Input = DescribeTasksRequest;
    type Output = Response;

    const RULES: &'static [Rule<DescribeTasksRequest>] = &[Rule {
        source: "API reference, DescribeTasks, tasks: required, up to 100",
        broken: |input| match input.tasks.as_ref().map_or(0, Vec::len) {
            0 => Some(Error::invalid_parameter("Tasks cannot be empty.")),
            1..=100 => None,
            _ => Some(Error::invalid_parameter("Tasks cannot have more than 100 elements.")),
        },
    }];

    async fn handle(context: &Context, input: DescribeTasksRequest) -> Result<Response, Error> {
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
                    let bindings = context.engine().bindings(&arn);
                    found.push(if bindings.is_empty() && tags == view::Tags::Hidden {
                        Described::Kept(task)
                    } else {
                        Described::Made(Box::new(view::bound(view::of(&task, tags), &bindings)))
                    });
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
        Ok(Response { tasks: found, failures })
    }
}

/// `DescribeTasksResponse`.
#[derive(Debug, Serialize)]
pub(in crate::api::ecs) struct Response {
    tasks: Vec<Described>,
    failures: Vec<Failure>,
}

/// A task of the response.
#[derive(Debug)]
enum Described {
    /// As nearly every client asks for it: what [`view::of`] makes of it is kept with it, and written as it is.
    Kept(Arc<model::Task>),
    Made(Box<Task>),
}

impl Serialize for Described {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Kept(task) => {
                let json = task.json.get_or_render(|| to_raw_value(&view::of(task, view::Tags::Hidden)));
                json.map_err(S::Error::custom)?.serialize(serializer)
            }
            Self::Made(task) => task.serialize(serializer),
        }
    }
}
