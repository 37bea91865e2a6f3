//! Several candidates against one lease in memory, on a clock that runs with the runtime's paused one.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;

/// The runtime's time.
#[derive(Debug)]
struct Paused(Instant);

impl clock::Clock for Paused {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_795_000_000).unwrap() + self.0.elapsed()
    }
}

/// What happens to a candidate's requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Link {
    #[default]
    Whole,
    Refused,
    Silent,
    /// The request is carried out, and its response is lost.
    Deaf,
}

/// The API server's one lease, and which candidates act.
#[derive(Debug, Default)]
struct World {
    lease: Mutex<Option<Value>>,
    acting: Mutex<BTreeSet<usize>>,
    both: Mutex<Option<String>>,
}

/// A candidate that can be cut off, crash, and end.
struct Candidate {
    link: Arc<Mutex<Link>>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Infallible>>,
}

/// While it lives, the candidate acts.
struct Acting(Arc<World>, usize);

impl Acting {
    fn begin(world: Arc<World>, number: usize) -> Self {
        let mut acting = world.acting.lock();
        acting.insert(number);
        if acting.len() > 1 {
            *world.both.lock() = Some(format!("{acting:?} act at once"));
        }
        drop(acting);
        Self(world, number)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        self.0.acting.lock().remove(&self.1);
    }
}

fn refused(code: StatusCode) -> Response {
    let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "Other" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code.as_u16()
    });
    (code, Json(status)).into_response()
}

async fn read(State(world): State<Arc<World>>) -> Response {
    world
        .lease
        .lock()
        .clone()
        .map_or_else(|| refused(StatusCode::NOT_FOUND), |lease| Json(lease).into_response())
}

async fn create(State(world): State<Arc<World>>, Json(lease): Json<Value>) -> Response {
    if world.lease.lock().is_some() { refused(StatusCode::CONFLICT) } else { put(&world, lease) }
}

async fn replace(State(world): State<Arc<World>>, Json(lease): Json<Value>) -> Response {
    let version = world.lease.lock().as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
    match version {
        None => refused(StatusCode::NOT_FOUND),
        Some(version) if version == lease["metadata"]["resourceVersion"] => put(&world, lease),
        Some(_) => refused(StatusCode::CONFLICT),
    }
}

fn put(world: &World, mut lease: Value) -> Response {
    static VERSION: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let version = VERSION.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    lease["metadata"]["resourceVersion"] = json!(version.to_string());
    *world.lease.lock() = Some(lease.clone());
    Json(lease).into_response()
}

async fn over(State(link): State<Arc<Mutex<Link>>>, request: Request, next: Next) -> Response {
    let state = *link.lock();
    match state {
        Link::Whole => next.run(request).await,
        Link::Refused => refused(StatusCode::INTERNAL_SERVER_ERROR),
        Link::Silent => std::future::pending().await,
        Link::Deaf => {
            next.run(request).await;
            std::future::pending().await
        }
    }
}

impl World {
    fn start(self: &Arc<Self>, number: usize) -> Candidate {
        let link = Arc::default();
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
        let router = Router::new()
            .route(leases, post(create))
            .route(&format!("{leases}/neargate-provider-fargate"), get(read).put(replace))
            .with_state(Arc::clone(self))
            .layer(middleware::from_fn_with_state(Arc::clone(&link), over));
        let client = Client::new(router, "default");
        let node = Node { name: "fargate".to_owned(), ip: "192.0.2.1".parse().unwrap() };
        let leader = Leader::new(client, &node, Arc::new(Paused(Instant::now())));
        let (shutdown, world) = (CancellationToken::new(), Arc::clone(self));
        let until = shutdown.clone();
        let task = tokio::spawn(async move {
            leader
                .lead(&until.clone(), || {
                    let (world, until) = (Arc::clone(&world), until.clone());
                    async move {
                        let _acting = Acting::begin(world, number);
                        until.cancelled().await;
                        Ok(())
                    }
                })
                .await
        });
        Candidate { link, shutdown, task }
    }

    fn acting(&self) -> Vec<usize> {
        assert_eq!(*self.both.lock(), None);
        self.acting.lock().iter().copied().collect()
    }

    /// Waits until `number` acts; how long it took.
    async fn until(&self, number: usize) -> Duration {
        let begin = Instant::now();
        while self.acting() != [number] {
            assert!(begin.elapsed() < Duration::from_secs(60), "{number} does not act: {:?}", self.acting());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        begin.elapsed()
    }
}

impl Candidate {
    fn set(&self, link: Link) {
        *self.link.lock() = link;
    }

    async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_providers_one_acts_and_the_other_once_a_crashed_ones_lease_has_run_out() {
    let world = Arc::new(World::default());
    let first = world.start(1);
    world.until(1).await;
    let second = world.start(2);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.acting(), [1]);
    let spec = world.lease.lock().as_ref().unwrap()["spec"].clone();
    assert_eq!(spec["leaseTransitions"], 1);
    assert_ne!(spec["acquireTime"], spec["renewTime"]);

    first.crash().await;
    assert_eq!(world.acting(), Vec::<usize>::new());
    let took = world.until(2).await;
    assert!((Duration::from_secs(12)..Duration::from_secs(20)).contains(&took), "{took:?}");
    second.crash().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_ends_in_order_hands_over_at_once() {
    let world = Arc::new(World::default());
    let first = world.start(1);
    world.until(1).await;
    let second = world.start(2);
    tokio::time::sleep(Duration::from_secs(30)).await;
    first.shutdown.cancel();
    first.task.await.unwrap().unwrap();
    let took = world.until(2).await;
    assert!(took <= PERIOD + Duration::from_millis(100), "{took:?}");

    // One that only waits ends at once too.
    let third = world.start(3);
    tokio::time::sleep(Duration::from_secs(30)).await;
    third.shutdown.cancel();
    third.task.await.unwrap().unwrap();
    assert_eq!(world.acting(), [2]);
    second.crash().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_cannot_renew_stops_before_another_begins_and_does_not_take_the_lease_back() {
    for link in [Link::Silent, Link::Refused] {
        let world = Arc::new(World::default());
        let first = world.start(1);
        world.until(1).await;
        let second = world.start(2);
        tokio::time::sleep(Duration::from_secs(30)).await;
        first.set(link);
        let cut = Instant::now();
        while world.acting() == [1] {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(cut.elapsed() <= ACTING + Duration::from_millis(100), "{:?}", cut.elapsed());
        world.until(2).await;
        first.set(Link::Whole);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.acting(), [2]);

        // Alone again, and cut off for less than its lease: it continues to act.
        first.crash().await;
        let before = Instant::now();
        second.set(link);
        tokio::time::sleep(Duration::from_secs(6)).await;
        second.set(Link::Whole);
        while before.elapsed() < Duration::from_secs(60) {
            assert_eq!(world.acting(), [2]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        second.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_response_was_lost_is_not_taken_for_another_providers() {
    let world = Arc::new(World::default());
    let only = world.start(1);
    world.until(1).await;
    let began = Instant::now();
    only.set(Link::Deaf);
    tokio::time::sleep(Duration::from_secs(3)).await;
    only.set(Link::Whole);
    while began.elapsed() < Duration::from_secs(60) {
        assert_eq!(world.acting(), [1]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    only.crash().await;
}

/// What may happen to a candidate.
#[derive(Debug, Clone, Copy)]
enum Event {
    Link(Link),
    Crash,
    End,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Link(Link::Whole)),
        2 => Just(Event::Link(Link::Refused)),
        2 => Just(Event::Link(Link::Silent)),
        2 => Just(Event::Link(Link::Deaf)),
        1 => Just(Event::Crash),
        1 => Just(Event::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// For every order of failures: never two at once, and one in the end.
    #[test]
    fn never_do_two_providers_act(
        events in proptest::collection::vec((0u64..20_000, 0usize..3, event()), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = Arc::new(World::default());
            let mut candidates: Vec<_> = (0..3).map(|number| world.start(number)).collect();
            for (pause, number, event) in events {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                world.acting();
                match event {
                    Event::Link(link) => candidates[number].set(link),
                    Event::Crash => {
                        candidates[number].task.abort();
                        let _ = (&mut candidates[number].task).await;
                        candidates[number] = world.start(number);
                    }
                    Event::End => {
                        candidates[number].shutdown.cancel();
                        (&mut candidates[number].task).await.unwrap().unwrap();
                        candidates[number] = world.start(number);
                    }
                }
            }
            for candidate in &candidates {
                candidate.set(Link::Whole);
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert_eq!(world.acting().len(), 1);
        });
    }
}
