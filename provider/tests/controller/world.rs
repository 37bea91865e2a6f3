//! One provider between a Kubernetes and an ECS of the test's own, and waits that say what was seen last.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    runtime::{WatchStreamExt, reflector, watcher},
};
use neargate_provider::{
    clock::Clock,
    options::Architecture,
    pods::Controller,
    probes::Prober,
    translate::{Settings, init::Init, run},
};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};

use super::{ecs::Fake, kubernetes::Server};

/// How long a state may take to come, in the runtime's own time, which stands still while anything can be done.
const DEADLINE: Duration = Duration::from_secs(300);

/// The runtime's time as a clock, so that what waits and what reads the clock agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Virtual {
    start: Instant,
}

impl Virtual {
    fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_790_000_000).expect("a time in 2026") + self.start.elapsed()
    }
}

/// Kubernetes, ECS, and a provider between them that can be killed and started.
pub(crate) struct World {
    pub(crate) kubernetes: Server,
    pub(crate) ecs: Fake,
    pub(crate) clock: Virtual,
    /// What the next provider is told to do beside the rest.
    pub(crate) deletion_cost: Option<i32>,
    pub(crate) init: Option<Init>,
    provider: Option<JoinHandle<()>>,
}

impl World {
    /// All three, running.
    pub(crate) fn new() -> Self {
        let mut world = Self::without_provider();
        world.start_provider();
        world
    }

    /// Without the provider yet.
    pub(crate) fn without_provider() -> Self {
        let clock = Virtual::new();
        Self {
            kubernetes: Server::default(),
            ecs: Fake::new(clock),
            clock,
            deletion_cost: None,
            init: None,
            provider: None,
        }
    }

    /// What this provider's tasks are started by.
    pub(crate) fn started_by(&self) -> String {
        run::started_by("kube-system-uid", "fargate")
    }

    /// Starts a provider that knows nothing of any before it.
    pub(crate) fn start_provider(&mut self) {
        let client = self.kubernetes.client();
        let (store, writer) = reflector::store();
        let mine = watcher::Config::default().fields("spec.nodeName=fargate");
        let watch = watcher(Api::<Pod>::all(client.clone()), mine).default_backoff().reflect(writer);
        let settings = Settings {
            cluster: "default".to_owned(),
            region: "us-east-1".to_owned(),
            subnets: vec!["subnet-1".to_owned()],
            security_groups: Vec::new(),
            assign_public_ip: false,
            execution_role_arn: None,
            task_role_arn: None,
            log_group: None,
            platform_version: "LATEST".to_owned(),
            architecture: Architecture::Amd64,
            node_name: "fargate".to_owned(),
            node_ip: Ipv4Addr::new(192, 0, 2, 1).into(),
            started_by: self.started_by(),
            deletion_cost: self.deletion_cost,
            init: self.init.clone(),
        };
        let clock: Arc<dyn Clock> = Arc::new(self.clock);
        let probes = Prober::new(clock.clone()).expect("a TLS configuration");
        let controller = Controller::new(client, Arc::new(self.ecs.clone()), settings, store, probes, clock);
        self.provider = Some(tokio::spawn(controller.run(watch)));
    }

    /// Kills the provider where it stands.
    pub(crate) async fn kill_provider(&mut self) {
        if let Some(provider) = self.provider.take() {
            provider.abort();
            let _ = provider.await;
        }
    }

    /// Waits until `reached` says so of the world; panics with `seen` where it does not come.
    pub(crate) async fn until<T>(&self, what: &str, mut reached: impl FnMut(&Self) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = reached(self) {
                return found;
            }
            if Instant::now() > end {
                let pods: Vec<_> =
                    ["web", "job"].iter().filter_map(|name| self.kubernetes.pod(name)).collect();
                panic!(
                    "not reached: {what}\npods: {}\ntasks: {:#?}\ncalls: {:?}",
                    serde_json::to_string_pretty(&pods).expect("plain JSON"),
                    self.ecs.tasks(),
                    self.ecs.calls(""),
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the pod's status has `wanted` at the JSON pointer `at`.
    pub(crate) async fn until_status(&self, name: &str, at: &str, wanted: Value) -> Value {
        let what = format!("{name}'s status has {wanted} at {at}");
        self.until(&what, |world| {
            let pod = world.kubernetes.pod(name)?;
            (pod["status"].pointer(at)? == &wanted).then_some(pod)
        })
        .await
    }

    /// Waits until the pod has `count` tasks; the latest one's ARN.
    pub(crate) async fn until_tasks(&self, uid: &str, count: usize) -> String {
        self.until(&format!("{uid} has {count} tasks"), |world| {
            let tasks = world.ecs.tasks_of(uid);
            let latest = tasks.last()?.task_arn()?.to_owned();
            (tasks.len() == count).then_some(latest)
        })
        .await
    }

    /// Waits until the provider has asked ECS for `more` more listings: whatever it would do of itself, it has done.
    pub(crate) async fn until_settled(&self, more: usize) {
        let before = self.ecs.calls("ListTasks").len();
        self.until("the provider sweeps", |world| {
            (world.ecs.calls("ListTasks").len() >= before + more).then_some(())
        })
        .await;
    }
}

/// A pod of one container.
pub(crate) fn pod(name: &str, policy: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "restartPolicy": policy,
            "terminationGracePeriodSeconds": 30,
            "containers": [{ "name": "app", "image": "app:1" }],
        },
    })
}
