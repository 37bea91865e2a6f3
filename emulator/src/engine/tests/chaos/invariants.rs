//! The invariants of a world. Each check returns its violations as text.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::world::{Accepted, World};
use crate::clock::Timestamp;
use crate::engine::task::{ContainerStatus, Desired, Status, StopCode, Task};
use crate::runtime::{Runtime as _, State, simulated};
use crate::store::{logs, sandboxes};

/// After the faults: each task is STOPPED, or RUNNING as on the runtime. A task that a client stopped is STOPPED.
pub(super) async fn unsettled(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let there = world.runtime.inventory().await.expect("the inventory of the simulated runtime");
    for (accepted, task) in world.tasks() {
        let Some(task) = task else {
            wrong.push("a task that was acknowledged is not known".to_owned());
            continue;
        };
        if task.is_stopped() {
            continue;
        }
        let shown = format!("{} {:?}, desired {:?}", task.id, task.last_status, task.desired_status);
        if accepted.stopped {
            wrong.push(format!("a task that a client stopped is {shown}"));
        } else if task.last_status != Status::Running || task.desired_status != Desired::Running {
            wrong.push(format!("a task is {shown}: {}", containers(&task)));
        } else {
            for container in &task.containers {
                let seen = there
                    .containers
                    .iter()
                    .find(|observed| Some(&observed.container_id) == container.container_id.as_ref());
                let running = seen.is_some_and(|seen| matches!(seen.state, State::Running { .. }));
                if running != (container.last_status == ContainerStatus::Running) {
                    let (name, status) = (&container.name, container.last_status);
                    wrong
                        .push(format!("{name} of the task {} is shown {status:?}, and is {seen:?}", task.id));
                }
            }
            let sandbox = task.attachment.sandbox_id.as_ref();
            if !there.sandboxes.iter().any(|seen| Some(&seen.sandbox_id) == sandbox && seen.running) {
                wrong.push(format!("the sandbox of the task {} does not run", task.id));
            }
        }
    }
    wrong
}

/// After all were stopped: each task is STOPPED.
pub(super) async fn not_stopped(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    for task in world.engine.all_tasks() {
        if !task.is_stopped() {
            wrong.push(format!("{} is {:?}: {}", task.id, task.last_status, containers(&task)));
        }
        if !world.accepted.contains_key(&task.arn) {
            wrong.push(format!("{} was never acknowledged", task.id));
        }
    }
    wrong
}

/// Of tasks that were stopped without faults: nothing was left to a later pass.
pub(super) async fn not_released(world: &World, tasks: &[Arc<Task>]) -> Vec<String> {
    let there = world.runtime.inventory().await.expect("the inventory of the simulated runtime");
    let mut wrong = Vec::new();
    for task in tasks {
        let sandbox = task.attachment.sandbox_id.as_ref();
        if there.containers.iter().any(|container| container.task_id == task.id)
            || there.tasks.contains(&task.id)
            || there.sandboxes.iter().any(|seen| Some(&seen.sandbox_id) == sandbox)
        {
            wrong.push(format!("something of the stopped task {} is on the runtime: {there:?}", task.id));
        }
    }
    wrong
}

/// At the end: nothing is on the runtime, in the tables or in memory but the idle sandboxes.
pub(super) async fn left_over(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let there = world.runtime.inventory().await.expect("the inventory of the simulated runtime");
    let readers = world.engine.store().readers();
    let mut left = |what: &str, count: usize| {
        if count > 0 {
            wrong.push(format!("{count} {what} left"));
        }
    };
    left("containers", there.containers.len());
    left("tasks' shared parts", there.tasks.len());
    left("supervisors", world.engine.0.context.supervisors.lock().len());
    left("routes", world.engine.0.context.routes.lock().len());
    left("log cursors", rows(world, "SELECT count(*) FROM log_cursors").await);
    let rows = sandboxes::load_all(readers).await.expect("the table of sandboxes exists");
    left("rows of claimed sandboxes", rows.iter().filter(|row| row.state != sandboxes::State::Idle).count());
    let known: HashSet<&str> = rows.iter().map(|row| row.sandbox_id.as_str()).collect();
    let held: HashSet<&str> = there
        .sandboxes
        .iter()
        .filter(|sandbox| sandbox.running)
        .map(|sandbox| sandbox.sandbox_id.as_str())
        .collect();
    left(
        "sandboxes without a row",
        there.sandboxes.iter().filter(|s| !known.contains(&*s.sandbox_id)).count(),
    );
    left("rows without a sandbox that runs", known.difference(&held).count());
    match world.engine.vpc().await {
        Ok((vpc, free)) => {
            for (subnet, free) in vpc.subnets.iter().zip(free) {
                let all = crate::engine::vpc::Addresses::new(subnet.cidr).capacity();
                if free != all {
                    wrong.push(format!("{free} of {all} addresses are free in {}", subnet.subnet_id));
                }
            }
        }
        Err(error) => wrong.push(format!("the engine is not ready: {error}")),
    }
    wrong
}

async fn rows(world: &World, count: &'static str) -> usize {
    let count: i64 =
        sqlx::query_scalar(count).fetch_one(world.engine.store().readers()).await.expect("the table exists");
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// When all has been forgotten: no task and no token is in memory or in the tables.
pub(super) async fn remembered(world: &World) -> Vec<String> {
    let mut wrong = left_over(world).await;
    let tasks = rows(world, "SELECT count(*) FROM tasks").await;
    let tokens = rows(world, "SELECT count(*) FROM client_tokens").await;
    let shown = world.engine.all_tasks().len();
    if (tasks, tokens, shown) != (0, 0, 0) {
        wrong.push(format!("{tasks} rows of tasks, {tokens} client tokens and {shown} tasks are remembered"));
    }
    wrong
}

/// After a shutdown: nothing at all is on the runtime.
pub(super) async fn on_the_runtime(world: &World) -> Vec<String> {
    let there = world.runtime.inventory().await.expect("the inventory of the simulated runtime");
    let nothing = there.containers.is_empty() && there.sandboxes.is_empty() && there.tasks.is_empty();
    if nothing { Vec::new() } else { vec![format!("after the shutdown: {there:?}")] }
}

/// Of tasks that have ended: codes, reasons and logs.
pub(super) async fn of_ended(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let made = world.runtime.made();
    for (accepted, task) in world.tasks() {
        let Some(task) = task else { continue };
        wrong.extend(reasons(accepted, &task));
        for (index, container) in task.containers.iter().enumerate() {
            let truth = container
                .container_id
                .as_ref()
                .and_then(|id| made.iter().find(|made| made.container_id == *id));
            let name = format!("{} of the task {}", container.name, task.id);
            match (container.exit_code, truth) {
                (Some(code), Some(truth)) if truth.starts > 0 && truth.exit_code != Some(code) => {
                    wrong.push(format!(
                        "{name} is reported to have exited with {code}, but exited with {:?}",
                        truth.exit_code
                    ));
                }
                (None, Some(truth)) if truth.starts > 0 && container.reason.is_none() => {
                    wrong.push(format!("{name} ran, and has neither an exit code nor a reason"));
                }
                _ => {}
            }
            if made
                .iter()
                .filter(|made| made.task_id == task.id && made.name == container.name && made.starts > 0)
                .count()
                > 1
            {
                wrong.push(format!("{name} was started twice"));
            }
            wrong.extend(lines(world, accepted, &task, index, truth).await);
        }
    }
    wrong
}

fn reasons(accepted: &Accepted, task: &Task) -> Vec<String> {
    let mut wrong = Vec::new();
    let id = &task.id;
    if task.stopped_reason.as_deref().unwrap_or_default().is_empty() {
        wrong.push(format!("{id} has no stoppedReason"));
    }
    match task.stop_code {
        None => wrong.push(format!("{id} has no stopCode")),
        Some(StopCode::UserInitiated) if !accepted.stopped => {
            wrong.push(format!("{id} was stopped by no client, but has UserInitiated"));
        }
        Some(StopCode::TaskFailedToStart) if task.started_at.is_some() => {
            wrong.push(format!("{id} ran, but has TaskFailedToStart"));
        }
        Some(StopCode::EssentialContainerExited)
            if !task
                .containers
                .iter()
                .zip(&accepted.spec.containers)
                .any(|(container, spec)| spec.essential && container.started_at.is_some()) =>
        {
            wrong.push(format!("no essential container of {id} ran, but it has EssentialContainerExited"));
        }
        Some(_) => {}
    }
    wrong
}

/// Each line of a container that ran is stored once and in order. If the rest could not be read, the stored lines are the
/// beginning, and an event in the log reports it.
async fn lines(
    world: &World,
    accepted: &Accepted,
    task: &Task,
    index: usize,
    truth: Option<&simulated::Made>,
) -> Vec<String> {
    let (container, spec) = (&task.containers[index], &accepted.spec.containers[index]);
    let (Some(log), Some(truth)) = (&spec.log, truth) else { return Vec::new() };
    let stored = stored(world, &log.group, &format!("{}/{}/{}", log.stream_prefix, spec.name, task.id)).await;
    let written: Vec<String> =
        (0..truth.starts).flat_map(|_| (1..=truth.lines).map(|line| format!("line {line}"))).collect();
    let whole = stored == written;
    let (given_up, stored): (Vec<&String>, Vec<&String>) =
        stored.iter().partition(|line| line.starts_with("neargate: the rest of this output"));
    let excused = accepted.emptied || !given_up.is_empty();
    let part = stored.len() <= written.len()
        && stored.iter().zip(&written).all(|(stored, written)| *stored == written);
    if whole || (excused && part) {
        return Vec::new();
    }
    vec![format!(
        "{} of the task {} wrote {} lines, and {} are stored (in order: {part})",
        container.name,
        task.id,
        written.len(),
        stored.len()
    )]
}

async fn stored(world: &World, group: &str, stream: &str) -> Vec<String> {
    let readers = world.engine.store().readers();
    let read = "the log tables can be read";
    let Some(group) = logs::group(readers, "000000000000", "us-east-1", group).await.expect(read) else {
        return Vec::new();
    };
    let Some(stream) = logs::stream(readers, group.id, stream).await.expect(read) else { return Vec::new() };
    let span = logs::Span {
        from: logs::Position::start_of(Timestamp(0)),
        to: logs::Position::start_of(Timestamp(i64::MAX)),
    };
    let page = logs::Page { newest: false, events: usize::MAX >> 1, bytes: usize::MAX >> 1 };
    let events = logs::page(readers, stream.id, span, page).await.expect(read);
    // By ingestion: a clock that was set back stamps later lines with an earlier time.
    let by_ingestion: BTreeMap<i64, String> =
        events.into_iter().map(|event| (event.position.sequence, event.message)).collect();
    by_ingestion.into_values().collect()
}

fn containers(task: &Task) -> String {
    let shown = task.containers.iter().map(|container| {
        format!(
            "{} {:?} {:?} {:?}",
            container.name, container.last_status, container.exit_code, container.reason
        )
    });
    shown.collect::<Vec<_>>().join(", ")
}
