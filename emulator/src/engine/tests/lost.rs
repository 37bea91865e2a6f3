//! Tasks whose sandbox dies, at each step of their start and afterwards.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;

use super::pool::{AT_FIRST, eventually, sandbox_of, troubled};
use super::{World, container};
use crate::engine::task::{RestartPolicy, StopCode, reason};
use crate::engine::vpc;
use crate::runtime::faulty::{self, Call, Fault};
use crate::runtime::{Event, Runtime as _, State, simulated};

#[tokio::test]
async fn a_task_whose_sandbox_dies_before_its_first_container_takes_another_one() {
    let (world, faulty) = troubled(vpc::Choice::Builtin { strict: false }).await;
    world.settled(AT_FIRST).await;
    // All exit between the claim and the first container, and their events are lost.
    faulty.on_event(|_| Some(faulty::Fate::Lost));
    let (runtime, once) = (world.runtime.clone(), AtomicBool::new(true));
    faulty.on_call(move |call, _| {
        if call == Call::ResolveImage && once.swap(false, Ordering::SeqCst) {
            runtime.lose_everything_running();
        }
        None
    });
    let task = world.running(&world.run(vec![container("app", &[]), container("side", &[])]).await.arn).await;
    assert_eq!(task.attachment.replaced, 1, "the other idle ones are not trusted");
    assert!(world.inventory().await.runs_sandbox(sandbox_of(&task)));
    assert!(task.stop_code.is_none() && task.stopped_reason.is_none(), "{task:?}");
    faulty.calm();
    let pool = world.pool().await;
    pool.observe(&world.inventory().await).await.expect("a full pass");
    world.end(&task).await;
    world.settled(AT_FIRST).await;
    let free: usize = pool.vpc().subnets.iter().map(|subnet| pool.free(&subnet.subnet_id)).sum();
    let all: usize =
        pool.vpc().subnets.iter().map(|subnet| vpc::Addresses::new(subnet.cidr).capacity()).sum();
    assert_eq!(free, all, "every address is free again");
}

fn kill_all_sandboxes(runtime: &simulated::Runtime) {
    let held = runtime.inventory().now_or_never().expect("at once").expect("an inventory");
    held.sandboxes.iter().for_each(|sandbox| runtime.kill_sandbox(&sandbox.sandbox_id));
}

/// Kills all sandboxes at the first such call, which is slow, so that the loss is known before the call returns.
fn kill_sandboxes_at(world: &World, call: Call) {
    let (runtime, once) = (world.runtime.clone(), AtomicBool::new(true));
    world.faulty.on_call(move |called, _| {
        (called == call && once.swap(false, Ordering::SeqCst)).then(|| {
            kill_all_sandboxes(&runtime);
            Fault::Slow(Duration::from_secs(20))
        })
    });
}

#[tokio::test]
async fn a_start_that_fails_in_a_lost_sandbox_is_retried_in_the_next() {
    for call in [Call::CreateContainer, Call::StartContainer] {
        let (world, _) = troubled(vpc::Choice::Builtin { strict: false }).await;
        world.settled(AT_FIRST).await;
        kill_sandboxes_at(&world, call);
        let task = world.running(&world.run(vec![container("app", &[])]).await.arn).await;
        assert_eq!(task.attachment.replaced, 1, "{call:?}");
        let inventory = world.inventory().await;
        assert!(inventory.runs_sandbox(sandbox_of(&task)), "{call:?}");
        let [observed] = inventory.containers.as_slice() else { panic!("{call:?}: {inventory:#?}") };
        assert_eq!(Some(&observed.container_id), task.containers[0].container_id.as_ref(), "{call:?}");
        assert_eq!(observed.sandbox_id, sandbox_of(&task), "{call:?}");
    }
}

#[tokio::test]
async fn a_container_that_has_just_started_in_a_lost_sandbox_is_not_started_again() {
    let (world, _) = troubled(vpc::Choice::Builtin { strict: false }).await;
    world.settled(AT_FIRST).await;
    kill_sandboxes_at(&world, Call::InspectContainer);
    let task = world.stopped(&world.run(vec![container("app", &[])]).await.arn).await;
    assert_eq!(task.stopped_reason.as_deref(), Some(reason::SANDBOX_LOST));
    assert_eq!((task.stop_code, task.attachment.replaced), (Some(StopCode::InfrastructureHealth), 0));
    assert!(task.containers[0].started_at.is_some(), "{task:#?}");
}

#[tokio::test]
async fn a_container_that_ran_before_its_sandbox_was_lost_is_not_created_again_though_its_start_failed() {
    let (world, faulty) = troubled(vpc::Choice::Builtin { strict: false }).await;
    world.settled(AT_FIRST).await;
    faulty.on_call(|call, _| (call == Call::StartContainer).then_some(Fault::ActThenHang));
    let task = world.run(vec![container("app", &[])]).await;
    let sandbox_id = eventually(async || match world.inventory().await.containers.as_slice() {
        [one] if matches!(one.state, State::Running { .. }) => Ok(one.sandbox_id.clone()),
        other => Err(format!("{other:#?}")),
    })
    .await;
    // Its call times out a little later.
    world.runtime.kill_sandbox(&sandbox_id);
    let task = world.stopped(&task.arn).await;
    assert_eq!(task.attachment.replaced, 0, "{task:#?}");
    assert!(task.containers[0].started_at.is_some(), "{task:#?}");
}

#[tokio::test]
async fn a_container_whose_restart_fails_in_a_lost_sandbox_keeps_the_exit_code_of_its_last_run() {
    let (world, faulty) = troubled(vpc::Choice::Builtin { strict: false }).await;
    let (runtime, starts) = (world.runtime.clone(), AtomicUsize::new(0));
    faulty.on_event(|event| matches!(event, Event::SandboxExited { .. }).then_some(faulty::Fate::Lost));
    faulty.on_call(move |call, _| {
        let is_restart = call == Call::StartContainer && starts.fetch_add(1, Ordering::SeqCst) > 0;
        is_restart.then(|| {
            kill_all_sandboxes(&runtime);
            Fault::Fail
        })
    });
    let mut restarts = container("app", &[("SIMULATED_EXIT_CODE", "9"), ("SIMULATED_EXIT_AFTER_MS", "2000")]);
    restarts.restart_policy = Some(RestartPolicy { ignored_exit_codes: vec![0], restart_attempt_period: 1 });
    let task = world.stopped(&world.run(vec![restarts]).await.arn).await;
    assert_eq!(task.stopped_reason.as_deref(), Some(reason::SANDBOX_LOST));
    assert_eq!((task.containers[0].restart_count, task.containers[0].exit_code), (1, Some(9)), "{task:#?}");
}

#[tokio::test]
async fn sandboxes_that_keep_dying_end_the_start_with_a_reason() {
    let (world, faulty) = troubled(vpc::Choice::Builtin { strict: false }).await;
    let runtime = world.runtime.clone();
    faulty.on_event(|_| Some(faulty::Fate::Lost));
    faulty.on_call(move |call, _| {
        if call == Call::CreateContainer {
            runtime.lose_everything_running();
        }
        None
    });
    let task = world.stopped(&world.run(vec![container("app", &[])]).await.arn).await;
    assert_eq!(task.stopped_reason.as_deref(), Some(reason::SANDBOX_LOST));
    assert!(world.inventory().await.containers.is_empty());
}

#[tokio::test]
async fn a_running_task_whose_sandbox_is_lost_stops_at_once() {
    let world = World::new().await;
    let task = world.running(&world.run(vec![container("app", &[])]).await.arn).await;
    world.runtime.kill_sandbox(sandbox_of(&task));
    let stopped = world.stopped(&task.arn).await;
    assert_eq!(stopped.stop_code, Some(StopCode::InfrastructureHealth));
    assert_eq!(stopped.stopped_reason.as_deref(), Some(reason::SANDBOX_LOST));
}
