//! The pool: how it follows the need, and how it reacts if sandboxes exit, removals fail, filters hang or a subnet is full.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::network::{SERVER, described, given, in_group};
use super::passing::pass;
use super::{World, container, order_of, template};
use crate::clock::{Clock, Timestamp};
use crate::engine::network::pool::Pool;
use crate::engine::run::{Order, Template};
use crate::engine::task::{Task, reason};
use crate::engine::vpc::{self, SECURITY_GROUP_ID, Vpc};
use crate::runtime::faulty::{self, Call, Fault};
use crate::runtime::{Inventory, Runtime as _, SandboxSpec};
use crate::store::sandboxes;

/// Idle sandboxes of the builtin VPC: four of its first subnet, in which the tasks of these tests are, and one of the other.
pub(super) const AT_FIRST: usize = 5;

/// A world on a runtime that can be made to fail. Its retries and time-outs take milliseconds.
pub(super) async fn troubled(vpc: vpc::Choice) -> (World, faulty::Runtime) {
    let clock = Clock::manual(Timestamp(1_000_000));
    pass(&clock, Duration::from_millis(1), Duration::from_millis(100));
    let world = World::at(clock, vpc, |_| {}).await;
    let faulty = world.faulty.clone();
    (world, faulty)
}

/// A VPC of one subnet with eleven addresses for tasks.
fn small() -> Vpc {
    let mut vpc = described("10.9.0.0/28");
    vpc.subnets.truncate(1);
    vpc.subnets[0].cidr = vpc.cidr;
    vpc
}

/// Waits until `probe` returns something.
#[track_caller]
pub(super) fn eventually<T, F: Future<Output = Result<T, String>>>(
    mut probe: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            match probe().await {
                Ok(found) => return found,
                Err(last) => assert!(tokio::time::Instant::now() < deadline, "{place}: still {last}"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl World {
    pub(super) async fn pool(&self) -> Pool {
        self.engine.0.context.pool().await
    }

    pub(super) async fn inventory(&self) -> Inventory {
        self.runtime.inventory().await.expect("an inventory")
    }

    async fn idle(&self) -> Vec<sandboxes::Row> {
        sandboxes::idle(self.engine.store().readers()).await.expect("the idle sandboxes")
    }

    /// Waits until every sandbox on the runtime runs and has a row, and `idle` of them are idle.
    pub(super) async fn settled(&self, idle: usize) {
        eventually(async || {
            let rows = sandboxes::load_all(self.engine.store().readers()).await.expect("the rows");
            let (mut known, held) = (ids(&rows), self.inventory().await.sandboxes);
            let mut running: Vec<String> = held
                .iter()
                .filter(|sandbox| sandbox.running)
                .map(|sandbox| sandbox.sandbox_id.clone())
                .collect();
            known.sort();
            running.sort();
            let enough = self.idle().await.len() == idle && held.len() == running.len() && known == running;
            if enough { Ok(()) } else { Err(format!("{rows:#?} and {held:#?}")) }
        })
        .await;
    }
}

fn ids(rows: &[sandboxes::Row]) -> Vec<String> {
    rows.iter().map(|row| row.sandbox_id.clone()).collect()
}

pub(super) fn sandbox_of(task: &Task) -> &str {
    task.attachment.sandbox_id.as_deref().expect("it has a sandbox")
}

#[tokio::test]
async fn a_sandbox_whose_filter_hangs_delays_no_other_tasks_start_and_fails_its_own() {
    let vpc = described("10.0.0.0/16");
    let (world, faulty) = troubled(given(vpc.clone())).await;
    world.settled(AT_FIRST).await;
    // The filter of the first task changes with its group, so that it is to be set.
    let sick = OnceLock::new();
    faulty.on_call(move |call, subject| {
        let hangs = call == Call::SetFilter && sick.get_or_init(|| subject.to_owned()) == subject;
        hangs.then_some(Fault::Hang)
    });
    let first = world.engine.run(in_group(&vpc, SERVER)).await.expect("accepted").tasks[0].arn.clone();
    let first = world.wait(&first, |task| task.attachment.sandbox_id.is_some()).await;
    let second =
        world.engine.run(in_group(&vpc, SECURITY_GROUP_ID)).await.expect("accepted").tasks[0].arn.clone();
    world.running(&second).await;
    let stopped = world.stopped(&first.arn).await;
    let reason = stopped.stopped_reason.clone().unwrap_or_default();
    assert!(
        reason.contains("set the filter of the sandbox") && reason.contains("no answer within"),
        "{reason}"
    );
    let third =
        world.engine.run(in_group(&vpc, SECURITY_GROUP_ID)).await.expect("accepted").tasks[0].arn.clone();
    world.running(&third).await;
}

#[tokio::test]
async fn an_idle_sandbox_that_exits_leaves_the_pool_and_another_one_takes_its_place() {
    let world = World::new().await;
    world.settled(AT_FIRST).await;
    for row in world.idle().await {
        world.runtime.kill_sandbox(&row.sandbox_id);
        eventually(async || {
            let idle = ids(&world.idle().await);
            if idle.len() == AT_FIRST && !idle.contains(&row.sandbox_id) {
                Ok(())
            } else {
                Err(format!("{idle:?}"))
            }
        })
        .await;
    }
    world.settled(AT_FIRST).await;
    let task = world.running(&world.run(vec![container("app", &[])]).await.arn).await;
    assert_eq!(task.attachment.replaced, 0);
}

#[tokio::test]
async fn an_audit_finds_what_no_event_reported() {
    let (world, faulty) = troubled(vpc::Choice::Builtin { strict: false }).await;
    let task = world.running(&world.run(vec![container("app", &[])]).await.arn).await;
    world.settled(AT_FIRST).await;
    faulty.on_event(|_| Some(faulty::Fate::Lost));
    world.runtime.kill_sandbox(sandbox_of(&task));
    for row in world.idle().await {
        world.runtime.kill_sandbox(&row.sandbox_id);
    }
    let stranger = make_strangers(&world).await;
    // By the engine's clock, the audit runs within a minute.
    assert_eq!(world.stopped(&task.arn).await.stopped_reason.as_deref(), Some(reason::SANDBOX_LOST));
    faulty.calm();
    eventually(async || {
        let held = world.inventory().await.sandboxes;
        let dead: Vec<_> = held.iter().filter(|held| !held.running).collect();
        let strange = held.iter().any(|held| held.sandbox_id == stranger.sandbox_id);
        let idle = world.idle().await.len();
        if dead.is_empty() && !strange && idle == AT_FIRST {
            Ok(())
        } else {
            Err(format!("{idle} idle, {held:#?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_full_pass_leaves_a_sandbox_that_is_being_created() {
    let (world, faulty) = troubled(vpc::Choice::Builtin { strict: false }).await;
    world.settled(AT_FIRST).await;
    let idle = world.idle().await;
    // Created, but the response is late: it is on the runtime and has no row.
    faulty.on_call(|call, _| (call == Call::CreateSandbox).then_some(Fault::Slow(Duration::from_secs(20))));
    for row in &idle {
        world.runtime.kill_sandbox(&row.sandbox_id);
    }
    let pool = world.pool().await;
    eventually(async || {
        pool.observe(&world.inventory().await).await.expect("a full pass");
        let idle = world.idle().await;
        if idle.len() == AT_FIRST { Ok(()) } else { Err(format!("{idle:?}")) }
    })
    .await;
    world.settled(AT_FIRST).await;
}

#[tokio::test]
async fn what_a_killed_process_left_of_sandboxes_is_removed_at_the_start() {
    let mut world = World::new().await;
    let task = world.running(&world.run(vec![container("app", &[])]).await.arn).await;
    world.settled(AT_FIRST).await;
    world.kill().await;
    let idle = world.runtime.inventory().await.expect("an inventory").sandboxes;
    let idle = idle.into_iter().find(|held| held.sandbox_id != sandbox_of(&task)).expect("an idle sandbox");
    world.runtime.kill_sandbox(&idle.sandbox_id);
    make_strangers(&world).await;
    world.start_again().await;
    eventually(async || {
        let (rows, held) = (
            sandboxes::load_all(world.engine.store().readers()).await.expect("the rows"),
            world.inventory().await.sandboxes,
        );
        let known = ids(&rows);
        let whole = held.len() == known.len()
            && held.iter().all(|held| held.running && known.contains(&held.sandbox_id));
        if whole && !known.contains(&idle.sandbox_id) {
            Ok(())
        } else {
            Err(format!("{rows:#?} and {held:#?}"))
        }
    })
    .await;
    assert_eq!(world.running(&task.arn).await.attachment.sandbox_id, task.attachment.sandbox_id);
}

/// Two sandboxes that have no row, one of which has exited. Returns the other.
async fn make_strangers(world: &World) -> SandboxSpec {
    let stranger = SandboxSpec {
        sandbox_id: uuid::Uuid::new_v4().simple().to_string(),
        network: "vpc".to_owned(),
        address: Some(std::net::Ipv4Addr::new(172, 31, 63, 200)),
        hostname: None,
        resolver: crate::runtime::Resolver::default(),
        routes: Vec::new(),
        filter: Arc::default(),
    };
    world.runtime.create_sandbox(&stranger).await.expect("a sandbox");
    let dead = SandboxSpec { sandbox_id: "ffffffffffffffffffffffffffffffff".into(), ..stranger.clone() };
    world.runtime.create_sandbox(&dead).await.expect("a sandbox");
    world.runtime.kill_sandbox(&dead.sandbox_id);
    stranger
}

/// A full pool of four in a subnet of eleven addresses with one task, and ten more promised, each to a task that finds no
/// sandbox idle.
async fn promised() -> (World, faulty::Runtime, String, Arc<Task>) {
    let vpc = small();
    let (world, faulty) = troubled(given(vpc.clone())).await;
    let subnet = vpc.subnets[0].subnet_id.clone();
    let order = order_of(Template { subnets: vec![subnet.clone()], ..template(vec![container("app", &[])]) });
    let ran = world.engine.run(order).await.expect("a response");
    let task = world.running(&ran.tasks[0].arn).await;
    world.settled(4).await;
    let pool = world.pool().await;
    for _ in 0..10 {
        assert!(pool.promise(&subnet));
    }
    assert!(!pool.promise(&subnet), "all eleven are taken or promised");
    (world, faulty, subnet, task)
}

async fn all_addresses_are_freed(world: &World, subnet: &str) {
    let pool = world.pool().await;
    (0..10).for_each(|_| pool.release_promise(subnet));
    eventually(async || match pool.free(subnet) {
        10 => Ok(()),
        free => Err(format!("{free} of 10 free")),
    })
    .await;
    world.settled(4).await;
}

#[tokio::test]
async fn a_removal_that_fails_once_costs_no_address() {
    let (world, faulty, subnet, task) = promised().await;
    let pool = world.pool().await;
    let removals = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&removals);
    faulty.on_call(move |call, _| {
        let first = call == Call::RemoveSandbox && count.fetch_add(1, Ordering::SeqCst) == 0;
        first.then_some(Fault::Fail)
    });
    let mut drafts = Vec::new();
    for nth in 0..10 {
        drafts.push(pool.make_for(&subnet, &task).await.unwrap_or_else(|error| panic!("{nth}: {error:?}")));
    }
    assert!(removals.load(Ordering::SeqCst) > 4, "the idle ones gave their addresses up");
    drop(drafts);
    all_addresses_are_freed(&world, &subnet).await;
}

#[tokio::test]
async fn the_address_of_a_stopped_task_can_be_had_though_its_sandbox_is_still_being_removed() {
    let vpc = small();
    let (world, faulty) = troubled(given(vpc.clone())).await;
    let subnet = vpc.subnets[0].subnet_id.clone();
    faulty.on_call(|call, _| (call == Call::RemoveSandbox).then_some(Fault::Slow(Duration::from_secs(20))));
    let spec = Template { subnets: vec![subnet], ..template(vec![container("app", &[])]) };
    let order = || Order { count: 11, ..order_of(spec.clone()) };
    for _ in 0..2 {
        let ran = world.engine.run(order()).await.expect("answered");
        assert_eq!((ran.tasks.len(), ran.failures.len()), (11, 0));
        for task in &ran.tasks {
            world.running(&task.arn).await;
        }
        for task in &ran.tasks {
            world.end(task).await;
        }
    }
}

#[tokio::test]
async fn a_removal_that_hangs_delays_no_retry_of_another() {
    let (world, faulty, subnet, task) = promised().await;
    let pool = world.pool().await;
    let hung = pool.make_for(&subnet, &task).await.expect("a free address");
    let failed = pool.make_for(&subnet, &task).await.expect("a free address");
    let (hangs, fails) = (hung.row().sandbox_id.clone(), failed.row().sandbox_id.clone());
    let (attempts, fails_once) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let count = Arc::clone(&attempts);
    let hanging = hangs.clone();
    faulty.on_call(move |call, subject| match call {
        Call::RemoveSandbox if subject == hangs => {
            count.fetch_add(1, Ordering::SeqCst);
            Some(Fault::Hang)
        }
        Call::RemoveSandbox if subject == fails => {
            (fails_once.fetch_add(1, Ordering::SeqCst) == 0).then_some(Fault::Fail)
        }
        _ => None,
    });
    let other = failed.row().sandbox_id.clone();
    drop((hung, failed));
    eventually(async || {
        let left = world.inventory().await.sandboxes;
        let held = |id: &str| left.iter().any(|sandbox| sandbox.sandbox_id == id);
        if held(&other) {
            return Err(format!("{other} is not removed"));
        }
        assert!(held(&hanging));
        Ok(())
    })
    .await;
    assert_eq!(attempts.load(Ordering::SeqCst), 1, "the first attempt at the one that hangs has not ended");
    faulty.calm();
    all_addresses_are_freed(&world, &subnet).await;
}

#[tokio::test]
async fn while_no_removal_succeeds_a_full_subnet_is_reported_and_recovers_afterwards() {
    let (world, faulty, subnet, task) = promised().await;
    let pool = world.pool().await;
    faulty.on_call(|call, _| (call == Call::RemoveSandbox).then_some(Fault::Fail));
    let mut drafts = Vec::new();
    for _ in 0..6 {
        drafts.push(pool.make_for(&subnet, &task).await.expect("a free address"));
    }
    let refused = pool.make_for(&subnet, &task).await.expect_err("no address is left");
    let reason = reason::cannot_provision(&refused);
    assert!(
        reason.contains("has no free address") || reason.contains("could not remove a sandbox: "),
        "{reason}"
    );
    faulty.calm();
    drop(drafts);
    all_addresses_are_freed(&world, &subnet).await;
}

#[tokio::test]
async fn a_task_that_stops_while_its_sandbox_is_being_created_ends_and_holds_no_address() {
    let vpc = small();
    let (world, faulty) = troubled(given(vpc.clone())).await;
    let subnet = vpc.subnets[0].subnet_id.clone();
    faulty.on_call(|call, _| (call == Call::CreateSandbox).then_some(Fault::ActThenHang));
    let spec = Template { subnets: vec![subnet.clone()], ..template(vec![container("app", &[])]) };
    let order = Order { count: 3, ..order_of(spec) };
    let ran = world.engine.run(order).await.expect("a response");
    // At least two find none idle, and wait for one that is never ready.
    for task in &ran.tasks {
        world.end(task).await;
    }
    faulty.calm();
    let pool = world.pool().await;
    eventually(async || {
        pool.observe(&world.inventory().await).await.expect("a full pass");
        match pool.free(&subnet) {
            11 => Ok(()),
            free => Err(format!("{free} of 11 free")),
        }
    })
    .await;
    eventually(async || {
        pool.observe(&world.inventory().await).await.expect("a full pass");
        let (idle, held) = (world.idle().await.len(), world.inventory().await.sandboxes.len());
        if held == idle { Ok(()) } else { Err(format!("{held} sandboxes, {idle} of them idle")) }
    })
    .await;
}

#[tokio::test]
async fn a_burst_leaves_as_many_idle_sandboxes_as_it_needed_and_six_quiet_minutes_remove_them() {
    let clock = Clock::manual(Timestamp(1_000_000));
    let world = World::at(clock.clone(), vpc::Choice::Builtin { strict: false }, |_| {}).await;
    world.settled(AT_FIRST).await;
    let order = Order { count: 8, ..order_of(template(vec![container("app", &[])])) };
    let ran = world.engine.run(order).await.expect("a response");
    for task in &ran.tasks {
        world.running(&task.arn).await;
    }
    // Eight in the subnet of the burst, one in the other.
    world.settled(9).await;
    eventually(async || {
        clock.advance(Duration::from_mins(1));
        match world.idle().await.len() {
            AT_FIRST => Ok(()),
            idle => Err(format!("{idle} idle")),
        }
    })
    .await;
    world.settled(AT_FIRST).await;
}
