//! The engine on a runtime that fails, with a store that has something unreadable, and with parts of it that panic.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::engine::readiness::Readiness;
use crate::engine::work::supervision;
use crate::engine::{Change, Error, News};
use crate::runtime::faulty::{Call, Fate, Fault};
use crate::runtime::{ContainerSpec as RuntimeContainer, Event};
use crate::store::{Body, tasks};

/// A world whose clock advances by a minute in two seconds.
async fn hurried() -> World {
    let clock = Clock::manual(Timestamp(1_000_000_000));
    passing::pass(&clock, Duration::from_millis(5), Duration::from_millis(150));
    World::at(clock, vpc::Choice::Builtin { strict: false }, |_| {}).await
}

/// Fails the test if `work` does not end within 20 s.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), work).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within 20 s"),
    }
}

async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn fails(call: Call) -> impl Fn(Call, &str) -> Option<Fault> {
    move |called, _| (called == call).then_some(Fault::Fail)
}

fn container_id(task: &Task) -> String {
    task.containers[0].container_id.clone().expect("it was created")
}

impl World {
    async fn start_running(&self) -> Arc<Task> {
        let arn = self.run(vec![container("app", &[])]).await.arn.clone();
        self.running(&arn).await
    }

    async fn stop(&self, task: &Task) -> Arc<Task> {
        let stop = self.engine.stop(&task.arn, StopCode::UserInitiated, "enough".into());
        soon("StopTask", stop).await.expect("it is committed").expect("it is known")
    }

    /// Gives the task's row a body that no release can read.
    async fn spoil(&self, task: &Task) {
        let store = self.engine.store();
        let row = tasks::get(store.readers(), &task.arn).await.expect("a read").expect("the row");
        let row = tasks::Row { body: Body { json: "{}x".into(), ..row.body }, ..row };
        let put = store.write(move |connection| Box::pin(async move { tasks::put(connection, &row).await }));
        put.await.expect("it is written");
    }
}

#[tokio::test]
async fn an_exit_during_the_start_is_not_lost() {
    let mut world = World::new().await;
    let task = world.start_running().await;
    world.kill().await;
    let (runtime, id) = (world.runtime.clone(), container_id(&task));
    world.faulty.on_call(move |call, _| {
        if call == Call::EnsureNetwork {
            runtime.exit(&id, 9, false);
        }
        None
    });
    world.start_again().await;
    assert_eq!(world.stopped(&task.arn).await.containers[0].exit_code, Some(9));
}

#[tokio::test]
async fn an_exit_whose_event_is_lost_is_found_by_the_next_audit() {
    let world = hurried().await;
    let task = world.start_running().await;
    world.faulty.on_event(|event| matches!(event, Event::Exited { .. }).then_some(Fate::Lost));
    world.runtime.exit(&container_id(&task), 9, false);
    assert_eq!(world.stopped(&task.arn).await.containers[0].exit_code, Some(9));
}

#[tokio::test]
async fn what_belongs_to_no_task_is_removed_and_what_does_is_left() {
    let world = hurried().await;
    let task = world.start_running().await;
    let stray =
        RuntimeContainer { task_id: "none".into(), name: "app".into(), ..RuntimeContainer::default() };
    let stray = world.runtime.create_container(&stray).await.expect("created");
    until("the audit", async || {
        let inventory = world.runtime.inventory().await.expect("an inventory");
        inventory.containers.iter().all(|container| container.container_id != stray)
    })
    .await;
    assert_eq!(world.engine.task(&task.arn).map(|task| task.last_status), Some(Status::Running));
    let inventory = world.runtime.inventory().await.expect("an inventory");
    assert_eq!(inventory.containers.len(), 1);
    assert_eq!(inventory.tasks, std::slice::from_ref(&task.id));
}

#[tokio::test]
async fn while_the_container_engine_fails_stops_are_committed_and_new_tasks_are_refused_with_the_reason() {
    let mut world = hurried().await;
    let task = world.start_running().await;
    world.kill().await;
    world.faulty.on_call(fails(Call::Inventory));
    world.start_again().await;

    let stopping = world.stop(&task).await;
    assert_eq!((stopping.last_status, stopping.stop_code), (Status::Running, Some(StopCode::UserInitiated)));
    let tags = vec![Tag { key: "team".into(), value: "blue".into() }];
    let tagged = world.engine.tag(&task.arn, tag::Change::Set(tags.clone())).await.expect("it is tagged");
    assert_eq!(tagged.tags, tags);
    let (vpc, free) = soon("the VPC", world.engine.vpc()).await.expect("it is known");
    assert_eq!(vpc.subnets.len(), free.len());
    let refused = soon("RunTask", world.engine.run(order(vec![container("app", &[])]))).await;
    let Err(run::Error::NotReady(not_ready)) = refused else { panic!("it is not ready: {refused:?}") };
    assert!(not_ready.reason.contains("could not list what the container engine runs"), "{not_ready}");
    let health = world.engine.health();
    assert_eq!(
        (health.ready, health.reason, health.since),
        (false, Some(not_ready.reason), Some(not_ready.since))
    );
    assert!(health.activities["start"].last_error.is_some());

    world.kill().await;
    world.start_again().await;
    assert_eq!(world.engine.task(&task.arn).map(|task| task.tags.clone()), Some(tags), "after a kill");
    world.faulty.calm();
    let stopped = world.stopped(&task.arn).await;
    assert_eq!(stopped.stopped_reason.as_deref(), Some("enough"));
    assert_eq!(stopped.containers[0].exit_code, Some(143));
    assert_eq!(world.engine.health().reason, None);
}

#[tokio::test]
async fn a_reset_that_fails_leaves_an_engine_that_works() {
    let world = hurried().await;
    let task = world.start_running().await;
    world.faulty.on_call(fails(Call::RemoveEverything));
    assert!(matches!(world.engine.reset().await, Err(Error::Runtime(_))));
    world.faulty.calm();
    world.start_running().await;
    world.stop(&task).await;
    world.stopped(&task.arn).await;
}

#[tokio::test]
async fn a_reset_that_panics_leaves_an_engine_that_works() {
    let world = hurried().await;
    world.faulty.on_call(|call, _| {
        assert!(call != Call::RemoveEverything, "a fault of the runtime");
        None
    });
    let engine = world.engine.clone();
    assert!(tokio::spawn(async move { engine.reset().await }).await.is_err());
    world.faulty.calm();
    world.start_running().await;
}

#[tokio::test]
async fn a_reset_that_hangs_delays_neither_stops_nor_runs_nor_the_shutdown() {
    let world = hurried().await;
    let task = world.start_running().await;
    let (hanging, hangs) = (Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()));
    let (reached, noticed) = (Arc::clone(&hanging), Arc::clone(&hangs));
    world.faulty.on_call(move |call, _| {
        let hang = call == Call::RemoveEverything;
        if hang && !reached.swap(true, Ordering::Relaxed) {
            noticed.notify_one();
        }
        hang.then_some(Fault::Hang)
    });
    let engine = world.engine.clone();
    let reset = tokio::spawn(async move { engine.reset().await });
    soon("the reset", hangs.notified()).await;

    world.stop(&task).await;
    let refused = soon("RunTask", world.engine.run(order(vec![container("app", &[])]))).await;
    let Err(run::Error::NotReady(not_ready)) = refused else { panic!("it is not ready: {refused:?}") };
    assert_eq!(not_ready.reason, "a reset is under way");
    soon("the shutdown", world.engine.shutdown()).await.expect("nothing is left but the task");
    let reset = soon("the reset", reset).await.expect("it does not panic");
    assert!(matches!(reset, Err(Error::Ending)), "{reset:?}");
}

#[tokio::test]
async fn a_shutdown_before_the_engine_is_ready_leaves_no_idle_sandbox() {
    for ephemeral in [false, true] {
        let mut world = hurried().await;
        let task = world.start_running().await;
        let sandbox_id = task.attachment.sandbox_id.clone().expect("it has a sandbox");
        world.kill().await;
        world.faulty.on_call(fails(Call::EnsureNetwork));
        world.start_with(Options { ephemeral, ..options(world.vpc.clone()) }).await;
        until("a start that failed", async || {
            world.engine.health().activities.get("start").is_some_and(|start| start.last_error.is_some())
        })
        .await;
        soon("the shutdown", world.engine.shutdown()).await.expect("nothing is left");
        let inventory = world.runtime.inventory().await.expect("an inventory");
        let left: &[String] = if ephemeral { &[] } else { &[sandbox_id] };
        let ids: Vec<String> = inventory.sandboxes.iter().map(|sandbox| sandbox.sandbox_id.clone()).collect();
        assert_eq!(ids, left, "ephemeral: {ephemeral}");
        assert_eq!(inventory.containers.is_empty(), ephemeral);
    }
}

#[tokio::test]
async fn a_shutdown_ends_though_the_container_engine_does_not_respond_and_reports_what_is_left() {
    let mut world = hurried().await;
    world.kill().await;
    world.start_with(Options { ephemeral: true, ..options(world.vpc.clone()) }).await;
    world.start_running().await;
    world.faulty.on_call(|_, _| Some(Fault::Hang));
    let left = soon("the shutdown", world.engine.shutdown()).await;
    let instance = world.engine.store().instance_id();
    assert!(matches!(&left, Err(Error::Left { instance: named, .. }) if named == instance), "{left:?}");
}

#[tokio::test]
async fn an_event_router_that_panics_is_restarted_and_what_it_missed_is_found() {
    let world = hurried().await;
    let task = world.start_running().await;
    let once = AtomicBool::new(false);
    world.faulty.on_event(move |_| {
        assert!(once.swap(true, Ordering::Relaxed), "a fault of the stream");
        None
    });
    world.runtime.exit(&container_id(&task), 9, false);
    assert_eq!(world.stopped(&task.arn).await.containers[0].exit_code, Some(9));
    assert_eq!(world.engine.health().activities["event router"].panics, 1);
    let next = world.start_running().await;
    world.runtime.exit(&container_id(&next), 8, false);
    assert_eq!(world.stopped(&next.arn).await.containers[0].exit_code, Some(8));
}

#[tokio::test]
async fn a_supervisor_that_panics_loses_no_stop_and_another_one_carries_it_out() {
    let world = hurried().await;
    let task = world.start_running().await;
    let context = Arc::clone(&world.engine.0.context);
    let pool = context.pool().await;
    // The task has no supervisor but the one that is about to panic.
    world.engine.halt().await;
    context.readiness.send_replace(Readiness::Ready(pool));
    let engine = world.engine.clone();
    let arn = task.arn.clone();
    let panics = async move {
        let stopped = engine.stop(&arn, StopCode::UserInitiated, "enough".into()).await;
        assert!(stopped.expect("it is committed").is_none(), "for once");
    };
    let supervisor = tokio::spawn(supervision::keep_alive(Arc::clone(&context), task.arn.clone(), panics));
    let stopped = world.stopped(&task.arn).await;
    assert_eq!(stopped.stopped_reason.as_deref(), Some("enough"));
    assert_eq!(world.engine.health().activities["supervisors"].panics, 1);
    soon("the supervisor", supervisor).await.expect("it ends with its task");
}

#[tokio::test]
async fn a_task_that_cannot_be_read_is_shown_in_health_and_delays_no_other() {
    let mut world = hurried().await;
    let (spoilt, sound) = (world.start_running().await, world.start_running().await);
    let short = [("SIMULATED_EXIT_CODE", "0")];
    let spoilt_stopped = world.stopped(&world.run(vec![container("app", &short)]).await.arn).await;
    let sound_stopped = world.stopped(&world.run(vec![container("app", &short)]).await.arn).await;
    for task in [&spoilt, &spoilt_stopped] {
        world.spoil(task).await;
    }
    world.kill().await;
    world.start_again().await;

    let mut unreadable = [spoilt.arn.clone(), spoilt_stopped.arn.clone()];
    unreadable.sort();
    assert_eq!(world.engine.health().unreadable_tasks, unreadable);
    world.start_running().await;
    assert_eq!(world.engine.task(&sound.arn).map(|task| task.last_status), Some(Status::Running));
    soon("the sweep", async {
        world.clock.set_by(3_600_000);
        while world.engine.task(&sound_stopped.arn).is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    until("an audit", async || world.engine.health().activities["audit"].last_end.is_some()).await;
    let inventory = world.runtime.inventory().await.expect("an inventory");
    assert!(
        inventory.containers.iter().any(|container| container.task_id == spoilt.id),
        "it is left unchanged"
    );
    world.engine.reset().await.expect("the reset");
    assert_eq!(world.engine.health().unreadable_tasks, [] as [String; 0]);
}

#[tokio::test]
async fn a_subscriber_sees_each_change_of_a_task_in_order() {
    let world = World::new().await;
    let mut changes = world.engine.changes();
    let task = world.run(vec![container("app", &[("SIMULATED_EXIT_CODE", "0")])]).await;
    assert!(world.engine.task(&task.arn).is_some(), "shown before RunTask returns");
    let mut seen = Vec::new();
    while seen.last() != Some(&Status::Stopped) {
        match soon("a change", changes.next()).await {
            Some(News::Change(Change::Task(change))) if change.arn == task.arn => {
                seen.push(change.last_status)
            }
            Some(News::Change(_)) => {}
            news => panic!("after {seen:?}: {news:?}"),
        }
    }
    assert_eq!(seen.first(), Some(&Status::Provisioning));
    assert!(seen.is_sorted(), "{seen:?}");
}
