//! One provider between the test's own Kubernetes and ECS, and waits that report what was seen last.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    runtime::{WatchStreamExt, reflector, watcher},
};
use neargate_provider::{
    clock::Clock,
    fargate::Ecs,
    options::{Init, Layer, Options},
    pods::Controller,
    probes::Prober,
    translate::{Settings, run},
};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};

use super::{ecs::Fake, kubernetes::Server};

/// How long a state may take to be reached, in the runtime's own time, which stops while anything can be done.
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
    /// The option `--deletion-cost` of the next provider.
    pub(crate) deletion_cost: Option<i32>,
    pub(crate) init: Option<Init>,
    /// The next provider's ECS instead of `ecs`.
    pub(crate) aws: Option<Arc<dyn Ecs>>,
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
            aws: None,
            provider: None,
        }
    }

    /// The `startedBy` of this provider's tasks.
    pub(crate) fn started_by(&self) -> String {
        run::started_by("kube-system-uid", "fargate")
    }

    /// Starts a provider that knows nothing of earlier ones.
    pub(crate) fn start_provider(&mut self) {
        self.provider = Some(tokio::spawn(self.provider(self.kubernetes.client())()));
    }

    /// A provider that reaches Kubernetes with this client; each one that it makes knows nothing of earlier ones.
    pub(crate) fn provider(
        &self,
        client: kube::Client,
    ) -> impl Fn() -> BoxFuture<'static, ()> + Send + Sync + use<> {
        let layer = Layer {
            node_ip: Some("192.0.2.1".to_owned()),
            subnets: Some("subnet-1".into()),
            deletion_cost: self.deletion_cost,
            ..Layer::default()
        };
        let mut options = Options::try_from(layer).expect("valid options");
        options.fargate.init = self.init.clone();
        let settings = Settings::new(options.fargate, options.node, "us-east-1", "kube-system-uid");
        let clock: Arc<dyn Clock> = Arc::new(self.clock);
        let ecs = self.aws.clone().unwrap_or_else(|| Arc::new(self.ecs.clone()));
        move || {
            let (store, writer) = reflector::store();
            let pods = Api::<Pod>::all(client.clone());
            let watch = watcher(pods, settings.node.pods()).default_backoff().reflect(writer);
            let probes = Prober::new(clock.clone()).expect("a TLS configuration");
            let (client, settings, ecs) = (client.clone(), settings.clone(), ecs.clone());
            Controller::new(client, ecs, settings, store, probes, clock.clone()).run(watch).boxed()
        }
    }

    /// Kills the provider at once.
    pub(crate) async fn kill_provider(&mut self) {
        if let Some(provider) = self.provider.take() {
            provider.abort();
            let _ = provider.await;
        }
    }

    /// Waits until `reached` returns a value; panics with the world's state if it does not in time.
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

    /// Waits until so much time has passed.
    pub(crate) async fn until_passed(&self, time: Duration) {
        let end = Instant::now() + time;
        self.until("time passes", |_| (Instant::now() >= end).then_some(())).await;
    }

    /// Waits until the provider has asked ECS for `more` more listings: it has then done everything that it would do
    /// by itself.
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
