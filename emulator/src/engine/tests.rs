//! The engine with a real store on the simulated runtime: the world of its tests, and tests of runs and stops.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits for a state of the engine in the machine's time"
)]

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::run::{ClientToken, Order, Template};
use super::task::{AwsLogs, Condition, ContainerSpec, Dependency, Spec, Status, StopCode, Tag, Task};
use super::{Engine, Options, cluster, definition, run, tag, vpc};
use crate::clock::{Clock, Timestamp};
use crate::runtime::{Process, Runtime as _, faulty, simulated};
use crate::store::{Store, logs};

mod chaos;
mod faults;
mod lost;
pub(super) mod network;
mod passing;
mod pool;
mod records;
mod restart;
mod work;

const CLUSTER: &str = "arn:aws:ecs:us-east-1:000000000000:cluster/default";
const DEFINITION: &str = "arn:aws:ecs:us-east-1:000000000000:task-definition/app:1";

/// An engine that can be killed and started again over the same store and runtime.
struct World {
    dir: TempDir,
    runtime: simulated::Runtime,
    /// What the engine sees of `runtime`.
    faulty: faulty::Runtime,
    clock: Clock,
    vpc: vpc::Choice,
    engine: Engine,
}

impl World {
    async fn new() -> Self {
        Self::with(vpc::Choice::Builtin { strict: false }, |_| {}).await
    }

    /// With this VPC, on a runtime that `prepare` has changed.
    async fn with(vpc: vpc::Choice, prepare: impl FnOnce(&simulated::Runtime)) -> Self {
        Self::at(Clock::system(), vpc, prepare).await
    }

    /// On this clock.
    async fn at(clock: Clock, vpc: vpc::Choice, prepare: impl FnOnce(&simulated::Runtime)) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let runtime = simulated::Runtime::new(clock.clone());
        let faulty = faulty::Runtime::new(Arc::new(runtime.clone()), clock.clone());
        prepare(&runtime);
        let engine = start(&dir, &faulty, options(vpc.clone()), clock.clone()).await;
        Self { dir, runtime, faulty, clock, vpc, engine }
    }

    /// Like kill -9: nothing is finished, nothing is reported.
    async fn kill(&mut self) {
        self.engine.halt().await;
        self.engine.store().close().await;
    }

    async fn start_again(&mut self) {
        self.start_with(options(self.vpc.clone())).await;
    }

    async fn start_with(&mut self, options: Options) {
        self.engine = start(&self.dir, &self.faulty, options, self.clock.clone()).await;
    }

    async fn run(&self, spec: Vec<ContainerSpec>) -> Arc<Task> {
        let ran = self.engine.run(order(spec)).await.expect("the order is accepted");
        Arc::clone(&ran.tasks[0])
    }

    /// Waits until `reached` is true of the task.
    #[track_caller]
    fn wait(&self, arn: &str, reached: impl Fn(&Task) -> bool) -> impl Future<Output = Arc<Task>> {
        let place = std::panic::Location::caller();
        async move {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
            loop {
                let task = self.engine.task(arn).expect("the task is known");
                if reached(&task) {
                    return task;
                }
                assert!(tokio::time::Instant::now() < deadline, "{place}: the task is still {task:#?}");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    async fn running(&self, arn: &str) -> Arc<Task> {
        self.wait(arn, |task| task.last_status == Status::Running).await
    }

    async fn stopped(&self, arn: &str) -> Arc<Task> {
        self.wait(arn, Task::is_stopped).await
    }

    /// Every message of a log stream, in order.
    async fn messages(&self, group: &str, stream: &str) -> Vec<String> {
        let readers = self.engine.store().readers();
        let group =
            logs::group(readers, "000000000000", "us-east-1", group).await.expect("read").expect("the group");
        let stream = logs::stream(readers, group.id, stream).await.expect("read").expect("the stream");
        let span = logs::Span {
            from: logs::Position::start_of(Timestamp(0)),
            to: logs::Position::start_of(Timestamp(i64::MAX)),
        };
        let page = logs::Page { newest: false, events: usize::MAX >> 1, bytes: usize::MAX >> 1 };
        let events = logs::page(readers, stream.id, span, page).await.expect("read");
        events.into_iter().map(|event| event.message).collect()
    }
}

fn options(vpc: vpc::Choice) -> Options {
    Options {
        region: "us-east-1".into(),
        vpc,
        activating: false,
        sandbox_pool: 4,
        ephemeral: false,
        publish_ports: false,
    }
}

async fn start(dir: &TempDir, runtime: &faulty::Runtime, options: Options, clock: Clock) -> Engine {
    let store = Store::open(dir.path()).await.expect("the store opens");
    let engine =
        Engine::start(options, store, Arc::new(runtime.clone()), clock).await.expect("the engine starts");
    make_records(&engine, CLUSTER).await;
    engine
}

/// Creates the cluster and the task definition of an [`order`], unless they exist.
async fn make_records(engine: &Engine, cluster_arn: &str) {
    let (account, region) = ("000000000000", "us-east-1");
    let cluster = cluster::Cluster {
        arn: cluster_arn.into(),
        account: account.into(),
        region: region.into(),
        name: cluster_arn.into(),
        status: cluster::Status::Active,
        settings: Vec::new(),
        capacity_providers: Vec::new(),
        default_capacity_provider_strategy: Vec::new(),
        configuration: None,
        service_connect_namespace: None,
        tags: Vec::new(),
    };
    engine.clusters().ensure(cluster).await.expect("the cluster is kept");
    if engine.definitions().get(DEFINITION).await.expect("the store is read").is_some() {
        return;
    }
    let new = definition::New {
        account: account.into(),
        region: region.into(),
        family: "app".into(),
        registered_at: engine.clock().now(),
        registered_by: "a test".into(),
        tags: Vec::new(),
        document: serde_json::Map::new(),
    };
    let registered = engine.definitions().register(new).await.expect("the definition is kept");
    assert_eq!(registered.arn, DEFINITION);
}

fn container(name: &str, environment: &[(&str, &str)]) -> ContainerSpec {
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    ContainerSpec {
        name: name.into(),
        process: Process { image: "app".into(), environment, ..Process::default() },
        essential: true,
        stop_timeout: 30,
        ..ContainerSpec::default()
    }
}

fn order(containers: Vec<ContainerSpec>) -> Order {
    order_of(template(containers))
}

fn order_of(template: Template) -> Order {
    Order {
        template: Arc::new(template),
        count: 1,
        region: "us-east-1".into(),
        account: "000000000000".into(),
        cluster_arn: CLUSTER.into(),
        cluster: "default".into(),
        group: "family:app".into(),
        started_by: None,
        launch_type: Some("FARGATE".into()),
        capacity_providers: Vec::new(),
        tags: Vec::new(),
        client_token: None,
    }
}

fn template(containers: Vec<ContainerSpec>) -> Template {
    Template {
        task_definition_arn: DEFINITION.into(),
        family: "app".into(),
        platform_version: "1.4.0".into(),
        cpu_architecture: "X86_64".into(),
        cpu: 256,
        memory: 512,
        ephemeral_storage: None,
        enable_execute_command: false,
        overrides: serde_json::Value::Null,
        subnets: vec!["subnet-12345678".into()],
        security_groups: Vec::new(),
        assign_public_ip: false,
        spec: Spec { containers, volumes: Vec::new(), shared_pid: false },
    }
}

#[tokio::test]
async fn a_task_runs_to_its_exit_and_leaves_nothing_on_the_runtime() {
    let world = World::new().await;
    let accepted = world
        .run(vec![container("app", &[("SIMULATED_EXIT_CODE", "7"), ("SIMULATED_EXIT_AFTER_MS", "20")])])
        .await;
    assert_eq!((accepted.last_status, accepted.version), (Status::Provisioning, 1));
    assert_eq!(accepted.attachment.private_ipv4_address, None);
    let stopped = world.stopped(&accepted.arn).await;
    assert_eq!(stopped.containers[0].exit_code, Some(7));
    assert_eq!(stopped.version, 5);
    assert!(stopped.attachment.private_ipv4_address.is_some() && stopped.containers[0].runtime_id.is_some());
    let inventory = world.runtime.inventory().await.expect("an inventory");
    assert!(inventory.containers.is_empty() && inventory.tasks.is_empty());
    assert!(!inventory.runs_sandbox(stopped.attachment.sandbox_id.as_ref().expect("it had one")));
}

#[tokio::test]
async fn a_stop_returns_the_task_as_it_was_and_exit_codes_distinguish_sigkill_from_sigterm() {
    let world = World::new().await;
    for (environment, code) in [(&[][..], 143), (&[("SIMULATED_IGNORE_SIGTERM", "1")][..], 137)] {
        let spec = ContainerSpec { stop_timeout: 0, ..container("app", environment) };
        let task = world.run(vec![spec]).await;
        world.running(&task.arn).await;
        let stop = world.engine.stop(&task.arn, StopCode::UserInitiated, "why not".into()).await;
        let returned = stop.expect("it is committed").expect("it is known");
        assert_eq!(
            (returned.last_status, returned.stop_code),
            (Status::Running, Some(StopCode::UserInitiated))
        );
        let stopped = world.stopped(&task.arn).await;
        assert_eq!(stopped.containers[0].exit_code, Some(code));
        assert_eq!(stopped.stopped_reason.as_deref(), Some("why not"));
    }
    let unknown = world.engine.stop("arn:nothing", StopCode::UserInitiated, String::new()).await;
    assert_eq!(unknown.expect("no trouble"), None);
}

#[tokio::test]
async fn a_task_that_cannot_start_has_the_reason() {
    let world = World::new().await;
    let mut missing = container("app", &[]);
    missing.process.image = "missing:1".into();
    let stopped = world.stopped(&world.run(vec![missing]).await.arn).await;
    assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
    let reason = stopped.stopped_reason.clone().unwrap_or_default();
    assert!(
        reason.starts_with("CannotPullContainerError: pull image manifest has been retried 1 time(s)"),
        "{reason}"
    );

    let log = AwsLogs {
        group: "/none".into(),
        region: "us-east-1".into(),
        stream_prefix: "app".into(),
        create_group: false,
        multiline_pattern: None,
    };
    let logging = ContainerSpec { log: Some(log), ..container("app", &[]) };
    let stopped = world.stopped(&world.run(vec![logging]).await.arn).await;
    let reason = stopped.stopped_reason.clone().unwrap_or_default();
    assert!(reason.starts_with("ResourceInitializationError: failed to validate logger args"), "{reason}");
    assert!(stopped.started_at.is_none());
}

#[tokio::test]
async fn the_same_client_token_is_the_same_tasks_and_another_request_with_it_is_a_conflict() {
    let world = World::new().await;
    let with_token = |digest: &str| Order {
        client_token: Some(ClientToken { token: "t".into(), digest: digest.into() }),
        ..order(vec![container("app", &[])])
    };
    let runs = futures::future::join_all((0..8).map(|_| world.engine.run(with_token("a")))).await;
    let arns: Vec<String> = runs.into_iter().map(|ran| ran.expect("accepted").tasks[0].arn.clone()).collect();
    assert!(arns.iter().all(|arn| *arn == arns[0]), "{arns:?}");
    assert_eq!(world.engine.tasks(CLUSTER).len(), 1);
    match world.engine.run(with_token("b")).await {
        Err(run::Error::Conflict { resource_ids }) => assert_eq!(resource_ids, arns[..1]),
        other => panic!("not a conflict: {other:?}"),
    }
    make_records(&world.engine, "another").await;
    let elsewhere = Order { cluster_arn: "another".into(), ..with_token("b") };
    assert!(world.engine.run(elsewhere).await.is_ok(), "a token belongs to one cluster");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_task_unsupervised() {
    let world = World::new().await;
    let callers = 40;
    for polls in 1..=callers {
        let mut run =
            Box::pin(world.engine.run(order(vec![container("app", &[("SIMULATED_EXIT_CODE", "0")])])));
        for _ in 0..polls {
            if futures::poll!(&mut run).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let tasks = world.engine.tasks(CLUSTER);
        let stopped = tasks.iter().filter(|task| task.is_stopped()).count();
        if stopped == callers {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{stopped} of {callers} have stopped: {tasks:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_full_subnet_is_a_failure_and_an_address_is_freed_when_a_task_ends() {
    let world = World::new().await;
    let pool = world.engine.0.context.pool().await;
    let subnet = pool.vpc().subnets[0].clone();
    let free = super::vpc::Addresses::new(subnet.cidr).capacity();
    for _ in 1..free {
        assert!(pool.promise(&subnet.subnet_id));
    }
    let here = || {
        let subnets = vec![subnet.subnet_id.clone()];
        order_of(Template { subnets, ..template(vec![container("app", &[])]) })
    };
    let task = world.engine.run(here()).await.expect("accepted").tasks[0].arn.clone();
    let full = world.engine.run(here()).await.expect("a response");
    assert_eq!((full.tasks.len(), full.failures), (0, vec!["RESOURCE:ENI".to_owned()]));
    world.running(&task).await;
    world.engine.stop(&task, StopCode::UserInitiated, String::new()).await.expect("it is committed");
    world.stopped(&task).await;
    assert_eq!(world.engine.run(here()).await.expect("a response").tasks.len(), 1);
}

#[tokio::test]
async fn malformed_ids_refuse_the_order_and_nothing_is_kept() {
    let world = World::new().await;
    let template = || template(vec![container("app", &[])]);
    let subnet = order_of(Template { subnets: vec!["subnet-x".into()], ..template() });
    assert!(matches!(world.engine.run(subnet).await, Err(run::Error::UnknownSubnet(id)) if id == "subnet-x"));
    let group = order_of(Template { security_groups: vec!["default".into()], ..template() });
    assert!(
        matches!(world.engine.run(group).await, Err(run::Error::UnknownSecurityGroup(id)) if id == "default")
    );
    assert!(world.engine.tasks(CLUSTER).is_empty());
}

#[tokio::test]
async fn a_reset_forgets_everything_and_the_engine_continues() {
    let world = World::new().await;
    let arn = world.run(vec![container("app", &[])]).await.arn.clone();
    world.running(&arn).await;
    world.engine.reset().await.expect("it resets");
    make_records(&world.engine, CLUSTER).await;
    assert_eq!(world.engine.task(&arn), None);
    assert!(world.runtime.inventory().await.expect("an inventory").containers.is_empty());
    let again = world.run(vec![container("app", &[])]).await.arn.clone();
    world.running(&again).await;
}

#[tokio::test]
async fn a_task_is_billed_once_while_it_is_shown_and_after_it_is_forgotten_until_a_reset() {
    let clock = Clock::manual(Timestamp(1_000_000));
    let mut world = World::at(clock.clone(), vpc::Choice::Builtin { strict: false }, |_| {}).await;
    let arn = world.run(vec![container("app", &[])]).await.arn.clone();
    let started = world.running(&arn).await;
    let usages = world.engine.usages().await.expect("usage");
    assert_eq!(usages.iter().map(|usage| usage.until).collect::<Vec<_>>(), [None]);
    assert_eq!(Some(usages[0].from), started.pull_started_at);

    clock.advance(Duration::from_secs(100));
    world.engine.stop(&arn, StopCode::UserInitiated, String::new()).await.expect("the stop is taken");
    let stopped = world.stopped(&arn).await;
    let shown = world.engine.usages().await.expect("usage");
    assert_eq!(shown[0].until, stopped.stopped_at);
    assert!(stopped.stopped_at >= Some(Timestamp(1_100_000)));

    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while world.engine.task(&arn).is_some() {
        assert!(tokio::time::Instant::now() < deadline, "it is still shown");
        // The sweep sleeps again after each pass.
        clock.advance(Duration::from_mins(61));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(world.engine.usages().await.expect("usage"), shown, "forgotten");
    world.kill().await;
    world.start_again().await;
    assert_eq!(world.engine.usages().await.expect("usage"), shown, "in the next process");
    world.engine.reset().await.expect("the reset");
    assert_eq!(world.engine.usages().await.expect("usage"), []);
}

#[tokio::test]
async fn more_than_ten_tasks_are_launched_from_one_template_repeatedly() {
    let world = World::new().await;
    let template = Arc::new(template(vec![container("app", &[("SIMULATED_EXIT_CODE", "0")])]));
    let order = Order { template, count: 15, group: "service:web".into(), ..order(Vec::new()) };
    for _ in 0..2 {
        let ran = world.engine.run(order.clone()).await.expect("the order is accepted");
        assert_eq!((ran.tasks.len(), ran.failures), (15, Vec::new()));
        for task in &ran.tasks {
            assert_eq!(world.stopped(&task.arn).await.containers[0].exit_code, Some(0));
        }
    }
}
