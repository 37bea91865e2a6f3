//! DescribeTasks for any number of tasks, so that an id that ECS refuses does not affect others.

use aws_sdk_ecs::types::Task;

use crate::fargate::ecs::{Described, Ecs, Error, MOST_IDS};

/// What ECS returned for the requested tasks.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Those that exist.
    pub(super) tasks: Vec<Task>,
    /// ARNs that ECS calls MISSING.
    pub(super) missing: Vec<String>,
    /// ARNs for which ECS refuses the request.
    pub(super) refused: Vec<String>,
}

/// Requests the tasks in batches of [`MOST_IDS`]. A batch that ECS refuses is halved until the refused ids are alone: one costs
/// about fourteen requests, once. The same for a batch that it denies, because a policy may deny only some tasks; those are
/// left out.
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
                tracing::warn!(%error, task = arn, "ECS refuses to describe a task; continuing without it");
                answer.refused.push(arn.clone());
                answers = true;
            }
            (Err(error @ Error::Denied { .. }), [arn]) => {
                tracing::warn!(%error, task = arn, "ECS denies this provider access to a task; continuing without it");
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
