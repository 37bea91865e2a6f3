//! Two providers of one node: one acts, whatever happens to the other.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use neargate_provider::{node::Leader, nodes::Node};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::world::{World, pod};

/// The one Lease of the API server, with its version.
type Leases = Arc<Mutex<Option<Value>>>;

/// A provider that acts only while it holds the Lease.
struct Candidate {
    /// Whether its requests get no response any more.
    cut: Arc<AtomicBool>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Infallible>>,
}

impl Candidate {
    fn start(world: &World, leases: &Leases) -> Self {
        let cut = Arc::new(AtomicBool::new(false));
        let (kubernetes, leases, over) = (world.kubernetes.client(), Arc::clone(leases), Arc::clone(&cut));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (kubernetes, leases, cut) = (kubernetes.clone(), Arc::clone(&leases), Arc::clone(&over));
            async move {
                if cut.load(Ordering::Relaxed) {
                    return std::future::pending().await;
                }
                if request.uri().path().starts_with("/apis/coordination.k8s.io/") {
                    return Ok(lease(&leases, request).await);
                }
                kubernetes.send(request).await
            }
        });
        let client = kube::Client::new(service, "default");
        let node = Node { name: "fargate".to_owned(), ip: "192.0.2.1".parse().expect("an address") };
        let leader = Leader::new(client.clone(), &node, Arc::new(world.clock));
        let (shutdown, provider) = (CancellationToken::new(), world.provider(client));
        let until = shutdown.clone();
        let task = tokio::spawn(async move {
            let act = || async {
                tokio::select! {
                    () = provider() => {}
                    () = until.cancelled() => {}
                }
                Ok(())
            };
            leader.lead(&until, act).await
        });
        Self { cut, shutdown, task }
    }
}

/// Leases as in the API server: only the current version can be replaced.
async fn lease(leases: &Leases, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut lease = leases.lock();
    let version =
        |lease: &Option<Value>| lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
    let answer = |code: u16, value: &Value| {
        Response::builder().status(code).body(Body::from(value.to_string().into_bytes())).expect("an answer")
    };
    let failure = |code: u16, reason: &str| {
        answer(code, &json!({ "kind": "Status", "status": "Failure", "reason": reason, "code": code }))
    };
    if parts.method == Method::GET {
        return lease.as_ref().map_or_else(|| failure(404, "NotFound"), |lease| answer(200, lease));
    }
    let mut wanted: Value = serde_json::from_slice(&body).expect("a lease");
    let expected = wanted["metadata"].get("resourceVersion").cloned();
    if version(&lease) != expected {
        return failure(409, "Conflict");
    }
    let next = expected.and_then(|version| version.as_str()?.parse::<u64>().ok()).unwrap_or(0) + 1;
    wanted["metadata"]["resourceVersion"] = json!(next.to_string());
    *lease = Some(wanted.clone());
    answer(200, &wanted)
}

#[tokio::test(start_paused = true)]
async fn of_two_providers_one_acts_and_the_other_continues_when_it_cannot() {
    let world = World::without_provider();
    let leases = Leases::default();
    let first = Candidate::start(&world, &leases);
    world
        .until("the first provider lists its tasks", |world| world.ecs.calls("ListTasks").first().cloned())
        .await;
    let second = Candidate::start(&world, &leases);
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let task = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&task);
    world.until_status("web", "/phase", json!("Running")).await;
    let writes = world.kubernetes.status_writes("web");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.kubernetes.status_writes("web"), writes, "a status that has not changed is not written");
    assert_eq!(world.ecs.calls("RunTask").len(), 1);

    // Cut off from Kubernetes, the first one stops before the second one begins.
    first.cut.store(true, Ordering::Relaxed);
    let cut = Instant::now();
    tokio::time::sleep(Duration::from_millis(10_100)).await;
    let described = || world.ecs.calls("DescribeTasks").len();
    let calls = described();
    // Longer than a provider waits between two polls of a steady task.
    tokio::time::sleep(Duration::from_millis(2_700)).await;
    assert_eq!(described(), calls, "ECS is not called");
    world.ecs.exit(&task, 1);
    let again = world.until_tasks("uid-web", 2).await;
    assert!(cut.elapsed() < Duration::from_secs(30), "{:?}", cut.elapsed());
    world.ecs.start(&again);
    world.until_status("web", "/containerStatuses/0/restartCount", json!(1)).await;

    // It is back, and waits.
    first.cut.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.ecs.tasks_of("uid-web").len(), 2);
    second.shutdown.cancel();
    second.task.await.expect("no panic").expect("an end in order");
    world.kubernetes.ask_to_delete("web");
    let stop = |world: &World| (world.ecs.calls("StopTask") == [again.as_str()]).then_some(());
    world.until("the first one stops the task", stop).await;
    world.ecs.exit(&again, 143);
    world
        .until("the first one ends the deletion", |world| world.kubernetes.pod("web").is_none().then_some(()))
        .await;
    first.shutdown.cancel();
    first.task.await.expect("no panic").expect("an end in order");
}
