//! The node against an API server in memory, on a clock that runs with the runtime's paused one.

use std::convert::Infallible;

use async_trait::async_trait;
use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, patch},
};
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Taint, apimachinery::pkg::api::resource::Quantity};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::*;
use crate::{
    fargate::ecs::{self, Described},
    nodes,
    options::{Architecture, Capacity, Registration},
    translate::ecs::{Definition, Run},
};

/// The runtime's time.
#[derive(Debug)]
struct Paused(Instant);

impl crate::clock::Clock for Paused {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_795_000_000).unwrap() + self.0.elapsed()
    }
}

/// ECS that responds, or does not.
#[derive(Debug)]
struct FakeEcs {
    health: Health,
    trouble: Mutex<bool>,
}

fn unasked<T>() -> Result<T, ecs::Error> {
    Err(ecs::Error::Trouble { operation: "none", message: "the node only lists tasks".to_owned() })
}

#[async_trait]
impl Ecs for FakeEcs {
    fn is_in_trouble(&self) -> bool {
        matches!(self.health.latest(), Some(Outcome::Trouble(_)))
    }

    async fn describe_definition(&self, _: &str) -> Result<Option<String>, ecs::Error> {
        unasked()
    }
    async fn register_definition(&self, _: &Definition) -> Result<String, ecs::Error> {
        unasked()
    }
    async fn run_task(&self, _: &str, _: &Run) -> Result<aws_sdk_ecs::types::Task, ecs::Error> {
        unasked()
    }
    async fn stop_task(&self, _: &str, _: &str) -> Result<Option<aws_sdk_ecs::types::Task>, ecs::Error> {
        unasked()
    }
    async fn describe_tasks(&self, _: &[String]) -> Result<Described, ecs::Error> {
        unasked()
    }
    async fn list_tasks(&self, started_by: &str, _: DesiredStatus) -> Result<Vec<String>, ecs::Error> {
        assert_eq!(started_by, "neargate/node");
        let trouble = *self.trouble.lock();
        self.health.record(if trouble { Outcome::Trouble("refused".to_owned()) } else { Outcome::Answered });
        if trouble { unasked() } else { Ok(vec![]) }
    }
}

/// The API server's copy of our node, and the requests that it got.
#[derive(Debug, Default)]
struct World {
    node: Option<Value>,
    lease: Option<Value>,
    /// Whether patches of the node are never answered.
    patches_hang: bool,
    version: u64,
    requests: Vec<String>,
}

#[derive(Debug, Clone)]
struct ApiServer {
    world: Arc<Mutex<World>>,
    events: broadcast::Sender<Value>,
}

impl ApiServer {
    fn new(node: Option<Value>) -> Self {
        let world = World { node, version: 7, ..World::default() };
        Self { world: Arc::new(Mutex::new(world)), events: broadcast::channel(64).0 }
    }

    fn client(&self) -> Client {
        let router = Router::new()
            .route("/api/v1/nodes", get(list).post(create))
            .route("/api/v1/nodes/{name}", get(read).patch(change))
            .route("/api/v1/nodes/{name}/status", patch(change))
            .route("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}", patch(renew))
            .with_state(self.clone());
        Client::new(router, "default")
    }

    fn put(&self, mut node: Value) -> Value {
        let mut world = self.world.lock();
        world.version += 1;
        node["metadata"]["resourceVersion"] = json!(world.version.to_string());
        let kind = if world.node.is_some() { "MODIFIED" } else { "ADDED" };
        world.node = Some(node.clone());
        let _ = self.events.send(json!({ "type": kind, "object": node }));
        node
    }

    fn delete(&self) {
        let node = self.world.lock().node.take().unwrap();
        let _ = self.events.send(json!({ "type": "DELETED", "object": node }));
    }

    fn node(&self) -> Option<Node> {
        self.world.lock().node.clone().map(|node| serde_json::from_value(node).unwrap())
    }

    fn ready(&self) -> Option<(String, String)> {
        let conditions = self.node()?.status?.conditions?;
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready")?;
        Some((ready.status, ready.message?))
    }
}

fn not_found() -> Response {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 });
    (StatusCode::NOT_FOUND, Json(status)).into_response()
}

async fn list(State(api): State<ApiServer>, Query(query): Query<Vec<(String, String)>>) -> Response {
    assert!(query.contains(&("fieldSelector".to_owned(), "metadata.name=fargate".to_owned())), "{query:?}");
    if query.iter().any(|(key, value)| key == "watch" && value == "true") {
        let events = futures::stream::unfold(api.events.subscribe(), async |mut events| {
            let event = events.recv().await.ok()?;
            Some((Ok::<_, Infallible>(format!("{event}\n")), events))
        });
        return Body::from_stream(events).into_response();
    }
    let world = api.world.lock();
    let items: Vec<&Value> = world.node.iter().collect();
    let metadata = json!({ "resourceVersion": world.version.to_string() });
    Json(json!({ "kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": items }))
        .into_response()
}

async fn create(State(api): State<ApiServer>, Json(mut node): Json<Value>) -> Response {
    api.world.lock().requests.push("create".to_owned());
    node["metadata"]["uid"] = json!(format!("uid-{}", api.world.lock().version));
    Json(api.put(node)).into_response()
}

async fn read(State(api): State<ApiServer>) -> Response {
    let node = api.world.lock().node.clone();
    node.map_or_else(not_found, |node| Json(node).into_response())
}

/// Both kinds of patch as one: maps are merged, and every list that the node applies here is its own.
async fn change(
    State(api): State<ApiServer>,
    headers: HeaderMap,
    uri: axum::http::Uri,
    body: String,
) -> Response {
    if api.world.lock().patches_hang {
        return std::future::pending().await;
    }
    let patch: Value = serde_json::from_str(&body).unwrap();
    let kind = headers["content-type"].to_str().unwrap().to_owned();
    let Some(mut node) = api.world.lock().node.clone() else { return not_found() };
    if let Some(version) = patch["metadata"].get("resourceVersion") {
        assert_eq!(*version, node["metadata"]["resourceVersion"], "the version read is the one replaced");
    }
    if kind.contains("apply") {
        assert!(uri.query().unwrap().contains("fieldManager=neargate-provider"));
    }
    api.world.lock().requests.push(format!("{kind} {}", uri.path().rsplit('/').next().unwrap()));
    merge(&mut node, patch);
    Json(api.put(node)).into_response()
}

async fn renew(State(api): State<ApiServer>, Path(name): Path<String>, body: String) -> Response {
    assert_eq!(name, "fargate");
    let lease: Value = serde_json::from_str(&body).unwrap();
    api.world.lock().lease = Some(lease.clone());
    Json(lease).into_response()
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if key != "resourceVersion" {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, patch) => *into = patch,
    }
}

fn options() -> Options {
    let quantity = |of: &str| Quantity(of.to_owned());
    Options {
        node: nodes::Node { name: "fargate".to_owned(), ip: "192.0.2.10".parse().unwrap() },
        registration: Registration {
            labels: [("team".to_owned(), "blue".to_owned())].into(),
            taints: vec![Taint {
                key: "virtual-kubelet.io/provider".to_owned(),
                value: Some("aws".to_owned()),
                effect: "NoSchedule".to_owned(),
                time_added: None,
            }],
            capacity: Capacity {
                cpu: quantity("20"),
                memory: quantity("40Gi"),
                storage: quantity("400Gi"),
                pods: quantity("20"),
            },
        },
        architecture: Architecture::Amd64,
        kubelet_port: 10250,
        platform_version: "1.4.0".to_owned(),
    }
}

/// A running node.
struct Running {
    ecs: Arc<FakeEcs>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), Error>>,
}

fn start(api: &ApiServer) -> Running {
    let clock: clock::Shared = Arc::new(Paused(Instant::now()));
    let health = Health::new(Arc::clone(&clock));
    let ecs = Arc::new(FakeEcs { health: health.clone(), trouble: Mutex::new(false) });
    let service = Service::new(
        options(),
        api.client(),
        health,
        Arc::clone(&ecs) as _,
        "neargate/node".to_owned(),
        clock,
    );
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(service.run(shutdown.clone()));
    Running { ecs, shutdown, task }
}

/// Waits until `what` holds; how long it took.
async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(120), "not reached: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begin.elapsed()
}

fn seconds(range: std::ops::Range<u64>) -> std::ops::Range<Duration> {
    Duration::from_secs(range.start)..Duration::from_secs(range.end)
}

#[tokio::test(start_paused = true)]
async fn a_node_is_born_tainted_then_labelled_then_ready_and_its_lease_is_its_own() {
    let api = ApiServer::new(None);
    let running = start(&api);
    until("ready", || api.ready().is_some_and(|(status, _)| status == "True")).await;
    let apply = "application/apply-patch+yaml";
    assert_eq!(
        api.world.lock().requests[..3],
        ["create".to_owned(), format!("{apply} fargate"), format!("{apply} status")]
    );

    let node = api.node().unwrap();
    let labels = node.metadata.labels.unwrap();
    for (key, value) in [
        ("type", "virtual-kubelet"),
        ("kubernetes.io/role", "agent"),
        ("kubernetes.io/hostname", "fargate"),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("node.kubernetes.io/exclude-from-external-load-balancers", "true"),
        ("team", "blue"),
    ] {
        assert_eq!(labels.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(node.spec.unwrap().taints.unwrap(), options().registration.taints);
    let status = node.status.unwrap();
    assert_eq!(status.capacity.as_ref().unwrap()["cpu"], Quantity("20".to_owned()));
    assert_eq!(status.allocatable, status.capacity);
    assert_eq!(status.daemon_endpoints.unwrap().kubelet_endpoint.unwrap().port, 10250);
    let addresses: Vec<_> = status.addresses.unwrap().into_iter().map(|at| (at.type_, at.address)).collect();
    assert_eq!(
        addresses,
        [("InternalIP".to_owned(), "192.0.2.10".to_owned()), ("Hostname".to_owned(), "fargate".to_owned())]
    );
    let conditions: Vec<_> =
        status.conditions.unwrap().into_iter().map(|of| (of.type_, of.status, of.reason.unwrap())).collect();
    for (condition, (type_, status, reason)) in conditions.iter().zip([
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("NetworkUnavailable", "False", "RouteCreated"),
        ("Ready", "True", "KubeletReady"),
    ]) {
        assert_eq!(*condition, (type_.to_owned(), status.to_owned(), reason.to_owned()));
    }

    let lease = api.world.lock().lease.clone().unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "fargate");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 40);
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], node.metadata.uid.unwrap());
    until("renewed", || {
        api.world.lock().lease.as_ref().unwrap()["spec"]["renewTime"] != lease["spec"]["renewTime"]
    })
    .await;

    running.shutdown.cancel();
    running.task.await.unwrap().unwrap();
    assert!(api.node().is_some(), "the node stays");
}

#[tokio::test(start_paused = true)]
async fn trouble_with_aws_makes_the_node_not_ready_after_40_s_and_its_end_ready_at_once() {
    let api = ApiServer::new(None);
    let running = start(&api);
    until("ready", || api.ready().is_some_and(|(status, _)| status == "True")).await;
    tokio::time::sleep(Duration::from_secs(300)).await;

    *running.ecs.trouble.lock() = true;
    let since = api.node().unwrap().status.unwrap().conditions.unwrap()[4].last_transition_time.clone();
    let took = until("not ready", || api.ready().is_some_and(|(status, _)| status == "False")).await;
    assert!(
        seconds(29..42).contains(&took),
        "{took:?} after the trouble, at most 10 s after the last answer"
    );
    let (_, message) = api.ready().unwrap();
    assert!(
        message.starts_with("AWS has not answered since 2026-") && message.ends_with("refused"),
        "{message}"
    );

    let renewed = api.world.lock().lease.clone();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_ne!(api.world.lock().lease, renewed, "the provider is alive, and its lease shows it");

    *running.ecs.trouble.lock() = false;
    let took = until("ready again", || api.ready().is_some_and(|(status, _)| status == "True")).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    let ready = api.node().unwrap().status.unwrap().conditions.unwrap()[4].clone();
    assert_ne!(ready.last_transition_time, since);
    running.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_report_goes_out_each_minute_and_keeps_the_time_of_the_last_change() {
    let api = ApiServer::new(None);
    let running = start(&api);
    until("ready", || api.ready().is_some_and(|(status, _)| status == "True")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = api.node().unwrap().status.unwrap().conditions.unwrap();
    let reports = || api.world.lock().requests.iter().filter(|request| request.ends_with("status")).count();
    let reported = reports();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!((9..=11).contains(&(reports() - reported)), "{} reports in ten minutes", reports() - reported);
    for (before, after) in before.iter().zip(api.node().unwrap().status.unwrap().conditions.unwrap()) {
        assert_eq!(before.last_transition_time, after.last_transition_time, "{}", after.type_);
        assert_ne!(before.last_heartbeat_time, after.last_heartbeat_time, "{}", after.type_);
    }
    running.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_others_write_on_the_node_stays_and_a_verdict_of_theirs_is_answered() {
    let api = ApiServer::new(Some(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": "fargate", "uid": "u1", "resourceVersion": "3",
            "labels": { "type": "virtual-kubelet", "theirs": "kept" },
        },
        "spec": { "unschedulable": true, "taints": [{ "key": "theirs", "effect": "NoExecute" }] },
        "status": { "capacity": { "example.com/device": "1" } },
    })));
    let running = start(&api);
    until("ready", || api.ready().is_some_and(|(status, _)| status == "True")).await;
    let spec = api.node().unwrap().spec.unwrap();
    assert_eq!(spec.unschedulable, Some(true));
    let keys: Vec<String> = spec.taints.unwrap().into_iter().map(|taint| taint.key).collect();
    assert_eq!(keys, ["theirs", "virtual-kubelet.io/provider"]);
    assert_eq!(api.node().unwrap().metadata.labels.unwrap()["theirs"], "kept");
    assert!(api.node().unwrap().status.unwrap().capacity.unwrap().contains_key("example.com/device"));

    let mut node = serde_json::to_value(api.node().unwrap()).unwrap();
    node["status"]["conditions"] =
        json!([{ "type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown" }]);
    api.put(node);
    let took = until("ready again", || api.ready().is_some_and(|(status, _)| status == "True")).await;
    assert!(took <= Duration::from_secs(3), "{took:?}");
    running.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_deleted_node_is_created_again_with_its_own_lease() {
    let api = ApiServer::new(None);
    let running = start(&api);
    until("ready", || api.ready().is_some_and(|(status, _)| status == "True")).await;
    let first = api.node().unwrap().metadata.uid;
    tokio::time::sleep(Duration::from_secs(10)).await;
    api.delete();
    let took = until("made again", || api.ready().is_some_and(|(status, _)| status == "True")).await;
    assert!(took <= Duration::from_secs(3), "{took:?}");
    let second = api.node().unwrap();
    assert_ne!(second.metadata.uid, first);
    assert_eq!(second.spec.unwrap().taints.unwrap(), options().registration.taints);
    until("its lease", || {
        api.world.lock().lease.as_ref().unwrap()["metadata"]["ownerReferences"][0]["uid"].as_str()
            == second.metadata.uid.as_deref()
    })
    .await;
    running.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_machines_node_is_not_written_on() {
    let api = ApiServer::new(Some(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": "fargate", "uid": "u1", "resourceVersion": "3", "labels": {} },
    })));
    let running = start(&api);
    let ended = running.task.await.unwrap();
    assert!(matches!(ended, Err(Error::Foreign(_))), "{ended:?}");
    assert_eq!(api.world.lock().requests, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_status_cannot_be_written_keeps_its_lease() {
    let api = ApiServer::new(None);
    api.world.lock().patches_hang = true;
    let running = start(&api);
    until("its lease", || api.world.lock().lease.is_some()).await;
    let renewed = || api.world.lock().lease.as_ref().unwrap()["spec"]["renewTime"].clone();
    for _ in 0..10 {
        let before = renewed();
        let took = until("renewed", || renewed() != before).await;
        assert!(took <= Duration::from_secs(11), "{took:?}");
    }
    api.world.lock().patches_hang = false;
    until("ready", || api.ready().is_some_and(|(status, _)| status == "True")).await;
    running.shutdown.cancel();
}
