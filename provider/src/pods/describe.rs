//! DescribeTasks of any number of tasks, so that an id that ECS refuses is refused alone.

use aws_sdk_ecs::types::Task;

use crate::fargate::ecs::{Described, Ecs, Error, MOST_IDS};

/// What ECS says of the tasks that it was asked for.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Those that are there.
    pub(super) tasks: Vec<Task>,
    /// ARNs that ECS calls MISSING.
    pub(super) missing: Vec<String>,
    /// ARNs for which ECS refuses the request.
    pub(super) refused: Vec<String>,
}

/// Asks for the tasks in packs of [`MOST_IDS`]. A pack that ECS refuses is halved until the culprits are alone: one costs about
/// fourteen requests, once. So is one that it denies, since a policy may deny it some tasks alone; those are left out.
///
/// # Errors
/// ECS is in trouble, or denies every task.
pub(super) async fn tasks(ecs: &dyn Ecs, arns: &[String]) -> Result<Answer, Error> {
    let mut answer = Answer::default();
    let (mut answers, mut denied) = (false, None);
    let mut packs: Vec<&[String]> = arns.chunks(MOST_IDS).rev().collect();
    while let Some(pack) = packs.pop() {
        match (ecs.describe_tasks(pack).await, pack) {
            (Ok(Described { tasks, missing }), _) => {
                answer.tasks.extend(tasks);
                answer.missing.extend(missing);
                answers = true;
            }
            (Err(error @ Error::Refused { .. }), [arn]) => {
                tracing::warn!(%error, task = arn, "ECS refuses to describe a task; going on without it");
                answer.refused.push(arn.clone());
                answers = true;
            }
            (Err(error @ Error::Denied { .. }), [arn]) => {
                tracing::warn!(%error, task = arn, "ECS denies a task to this provider; going on without it");
                denied = Some(error);
            }
            (Err(Error::Refused { .. } | Error::Denied { .. }), pack) => {
                let (first, second) = pack.split_at(pack.len() / 2);
                packs.extend([second, first]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    match denied {
        Some(error) if !answers => Err(error),
        _ => Ok(answer),
    }
}
