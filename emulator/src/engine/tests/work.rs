//! A task on a runtime that fails: it still ends in bounded time, and its reason names what could not be done.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};

use super::pool::eventually;
use super::*;
use crate::runtime::faulty::{Call, Fault};
use crate::store::Body;

/// A world whose time passes by itself.
struct Troubled(World);

impl Deref for Troubled {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl Troubled {
    async fn new() -> Self {
        let clock = Clock::manual(Timestamp(1_700_000_000_000));
        passing::pass(&clock, Duration::from_millis(1), Duration::from_millis(200));
        Self(World::at(clock, vpc::Choice::Builtin { strict: false }, |_| {}).await)
    }

    async fn run(&self, spec: ContainerSpec) -> Arc<Task> {
        self.0.run(vec![spec]).await
    }

    async fn stop(&self, arn: &str) {
        let stop = self.engine.stop(arn, StopCode::UserInitiated, "enough".into());
        let returned = tokio::time::timeout(Duration::from_secs(20), stop).await;
        returned.expect("a stop returns whatever the runtime does").expect("it is recorded");
    }

    /// Fails a test that leaves something of a task on the runtime.
    async fn nothing_is_left(&self) {
        let left = self.runtime.inventory().await.expect("an inventory");
        assert!(left.containers.is_empty() && left.tasks.is_empty(), "{left:?}");
    }
}

pub(super) fn logging(environment: &[(&str, &str)]) -> ContainerSpec {
    let log = AwsLogs {
        group: "/app".into(),
        region: "us-east-1".into(),
        stream_prefix: "app".into(),
        create_group: true,
        multiline_pattern: None,
    };
    ContainerSpec { log: Some(log), ..container("app", environment) }
}

#[tokio::test]
async fn what_cannot_be_removed_delays_neither_a_stop_nor_the_end() {
    let world = Troubled::new().await;
    let task = world.run(container("app", &[])).await;
    world.running(&task.arn).await;
    world
        .faulty
        .on_call(|call, _| matches!(call, Call::ReleaseTask | Call::RemoveContainer).then_some(Fault::Fail));
    world.stop(&task.arn).await;
    world.wait(&task.arn, |task| task.last_status >= Status::Deprovisioning).await;
    world.stop(&task.arn).await;
    let stopped = world.stopped(&task.arn).await;
    assert_eq!(stopped.containers[0].exit_code, Some(143));
    let reason = stopped.stopped_reason.clone().unwrap_or_default();
    assert!(reason.starts_with("enough (InternalError: not everything could be removed: "), "{reason}");
}

#[tokio::test]
async fn a_container_that_starts_while_its_task_is_stopped_gets_its_signal() {
    let world = Troubled::new().await;
    let slow = Fault::Slow(Duration::from_secs(10));
    world.faulty.on_call(move |call, _| (call == Call::StartContainer).then_some(slow));
    let task = world.run(logging(&[("SIMULATED_LINES", "3")])).await;
    let is_starting = |task: &Task| task.initialized && task.pull_stopped_at.is_some();
    world.wait(&task.arn, is_starting).await;
    world.stop(&task.arn).await;
    let stopped = world.stopped(&task.arn).await;
    assert_eq!(stopped.containers[0].exit_code, Some(143));
    assert_eq!(stopped.stop_code, Some(StopCode::UserInitiated));
    let messages = world.messages("/app", &format!("app/app/{}", task.id)).await;
    assert_eq!(messages, ["line 1", "line 2", "line 3"]);
}

#[tokio::test]
async fn what_a_container_wrote_is_stored_though_its_start_failed_in_the_next_process() {
    let mut world = World::new().await;
    world.faulty.on_call(|call, _| (call == Call::StartContainer).then_some(Fault::Hang));
    let task = world.run(vec![logging(&[("SIMULATED_LINES", "3"), ("SIMULATED_EXIT_CODE", "0")])]).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while world.runtime.inventory().await.expect("an inventory").containers.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the container is not created");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    world.kill().await;
    world.faulty.on_call(|call, _| (call == Call::StartContainer).then_some(Fault::ActThenFail));
    world.start_again().await;
    world.stopped(&task.arn).await;
    let messages = world.messages("/app", &format!("app/app/{}", task.id)).await;
    assert_eq!(messages, ["line 1", "line 2", "line 3"]);
}

#[tokio::test]
async fn a_container_that_cannot_be_stopped_is_named_by_its_stopped_task_and_removed_all_the_same() {
    for fault in [Fault::Fail, Fault::Hang] {
        let world = Troubled::new().await;
        let task = world.run(container("app", &[])).await;
        world.running(&task.arn).await;
        world.faulty.on_call(move |call, _| (call == Call::StopContainer).then_some(fault));
        world.stop(&task.arn).await;
        let stopped = world.stopped(&task.arn).await;
        let reason = stopped.containers[0].reason.clone().unwrap_or_default();
        assert!(
            reason.starts_with("CannotStopContainerError: failed sending SIGTERM to container: "),
            "{reason}"
        );
        assert_eq!(stopped.stopped_reason.as_deref(), Some("enough"));
        world.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_container_that_was_created_after_all_runs_or_is_removed() {
    // The response is lost, and the next attempt finds the container.
    let world = Troubled::new().await;
    let calls = Arc::new(AtomicU32::new(0));
    world.faulty.on_call(move |call, _| {
        let is_first = call == Call::CreateContainer && calls.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then_some(Fault::ActThenHang)
    });
    let task = world.run(container("app", &[])).await;
    world.running(&task.arn).await;
    assert_eq!(world.runtime.inventory().await.expect("an inventory").containers.len(), 1);

    // Creating it seems to have failed, so its id is not known.
    let world = Troubled::new().await;
    world.faulty.on_call(|call, _| (call == Call::CreateContainer).then_some(Fault::ActThenFail));
    let task = world.run(container("app", &[])).await;
    let stopped = world.stopped(&task.arn).await;
    assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
    assert_eq!(stopped.containers[0].container_id, None);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_exit_after_the_clock_was_set_back_is_seen_by_a_look_though_the_first_ones_fail() {
    let world = Troubled::new().await;
    let task = world.run(container("app", &[])).await;
    let running = world.running(&task.arn).await;
    let failures = Arc::new(AtomicU32::new(0));
    let failed = Arc::clone(&failures);
    world.faulty.on_call(move |call, _| {
        let fails = call == Call::InspectContainer && failed.fetch_add(1, Ordering::Relaxed) < 3;
        fails.then_some(Fault::Fail)
    });
    // Its exit is stamped before its start, as one of an earlier run is.
    world.clock.set_by(-3_600_000);
    world.runtime.exit(running.containers[0].container_id.as_deref().expect("it runs"), 9, false);
    assert_eq!(world.stopped(&task.arn).await.containers[0].exit_code, Some(9));
    assert!(failures.load(Ordering::Relaxed) > 3);
}

#[tokio::test]
async fn an_exit_while_the_engine_starts_is_seen() {
    let mut world = Troubled::new().await;
    let task = world.run(container("app", &[])).await;
    let running = world.running(&task.arn).await;
    let container_id = running.containers[0].container_id.clone().expect("it runs");
    let simulated = world.runtime.clone();
    // After the inventory, before the supervisors.
    world.faulty.on_call(move |call, _| {
        if call == Call::EnsureNetwork {
            simulated.exit(&container_id, 9, false);
        }
        None
    });
    world.0.kill().await;
    world.0.start_again().await;
    assert_eq!(world.stopped(&task.arn).await.containers[0].exit_code, Some(9));
}

#[tokio::test]
async fn a_cpu_limit_that_fails_at_the_start_is_set_by_the_next_audit() {
    let world = Troubled::new().await;
    let limited = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&limited);
    world.faulty.on_call(move |call, _| {
        let is_first = call == Call::LimitCpu && count.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then_some(Fault::Fail)
    });
    let task = world.run(container("app", &[])).await;
    world.running(&task.arn).await;
    eventually(async || match limited.load(Ordering::Relaxed) {
        1 => Err("not limited again".to_owned()),
        _ => Ok(()),
    })
    .await;
}

#[tokio::test]
async fn an_action_that_panics_is_retried() {
    let world = Troubled::new().await;
    let calls = AtomicU32::new(0);
    world.faulty.on_call(move |call, _| {
        let is_first = call == Call::PrepareTask && calls.fetch_add(1, Ordering::Relaxed) == 0;
        assert!(!is_first, "a fault of the runtime");
        None
    });
    let task = world.run(container("app", &[])).await;
    world.running(&task.arn).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_read_ends_with_an_event_that_reports_it_and_its_task_ends() {
    for fault in [Fault::Fail, Fault::Hang, Fault::ActThenHang] {
        let world = Troubled::new().await;
        world.faulty.on_call(move |call, _| (call == Call::Logs).then_some(fault));
        let task = world.run(logging(&[("SIMULATED_LINES", "2"), ("SIMULATED_EXIT_CODE", "0")])).await;
        let stopped = world.stopped(&task.arn).await;
        assert_eq!(stopped.containers[0].exit_code, Some(0));
        let messages = world.messages("/app", &format!("app/app/{}", task.id)).await;
        let (last, read) = messages.split_last().expect("a message");
        assert!(last.starts_with("neargate: the rest of this output could not be read: "), "{messages:?}");
        let expected: &[&str] = if fault == Fault::ActThenHang { &["line 1", "line 2"] } else { &[] };
        assert_eq!(read, expected, "each line once");
    }
}

#[tokio::test]
async fn a_cursor_that_cannot_be_read_back_doubles_no_line() {
    let mut world = Troubled::new().await;
    let task = world.run(logging(&[("SIMULATED_LINES", "3")])).await;
    let running = world.running(&task.arn).await;
    let stream = format!("app/app/{}", task.id);
    while world.messages("/app", &stream).await.len() < 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    world.engine.halt().await;
    let container_id = running.containers[0].container_id.clone().expect("it runs");
    let spoil = world.engine.store().write(move |connection| {
        Box::pin(async move {
            logs::put_cursor(connection, &container_id, &Body { version: 1, json: "{}x".to_owned() }).await
        })
    });
    spoil.await.expect("written");
    world.0.kill().await;
    world.0.start_again().await;
    world.stop(&task.arn).await;
    world.stopped(&task.arn).await;
    let messages = world.messages("/app", &stream).await;
    assert_eq!(messages[..3], ["line 1", "line 2", "line 3"]);
    assert_eq!(messages.len(), 4);
    assert!(messages[3].contains("cannot be read back"), "{messages:?}");
}

#[tokio::test]
async fn after_a_reset_no_follower_writes_into_the_store() {
    let world = Troubled::new().await;
    let task = world.run(logging(&[("SIMULATED_LINES", "200000"), ("SIMULATED_EXIT_CODE", "0")])).await;
    world.wait(&task.arn, |task| task.last_status == Status::Deprovisioning).await;
    world.engine.reset().await.expect("it succeeds");
    assert!(world.engine.0.context.followers.is_empty(), "a follower is left");
    let readers = world.engine.store().readers();
    let group = logs::group(readers, "000000000000", "us-east-1", "/app").await.expect("read");
    assert!(group.is_none(), "{group:?}");
}
