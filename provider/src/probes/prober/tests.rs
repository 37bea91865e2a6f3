//! The prober over scripted containers, on a clock that runs with the runtime's paused one.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;

use super::*;

/// Outcomes by port: what is set, else success. Records when each port was probed.
#[derive(Debug)]
struct Script {
    begin: Instant,
    outcomes: Mutex<HashMap<u16, Outcome>>,
    asked: Mutex<Vec<(u16, u64)>>,
}

#[async_trait]
impl Ask for Script {
    async fn ask(&self, check: &Check, _: Duration) -> Outcome {
        let Check::Tcp { port, .. } = check else { panic!("only tcp is asked here: {check:?}") };
        self.asked.lock().push((*port, self.begin.elapsed().as_secs()));
        self.outcomes.lock().get(port).cloned().unwrap_or(Outcome::Success)
    }
}

#[derive(Debug)]
struct Paused(Instant);

impl clock::Clock for Paused {
    fn now(&self) -> Timestamp {
        epoch() + self.0.elapsed()
    }
}

fn epoch() -> Timestamp {
    Timestamp::from_second(1_795_000_000).unwrap()
}

const STARTUP: u16 = 1;
const LIVENESS: u16 = 2;
const READINESS: u16 = 3;

fn refused() -> Outcome {
    Outcome::Failure("refused".to_owned())
}

struct Stage {
    script: Arc<Script>,
    prober: Prober,
    watched: Option<Watched>,
    events: mpsc::Receiver<Event>,
}

impl Stage {
    fn new() -> Self {
        let script =
            Arc::new(Script { begin: Instant::now(), outcomes: Mutex::default(), asked: Mutex::default() });
        let (prober, events) = Prober::with(Arc::clone(&script) as _, Arc::new(Paused(Instant::now())));
        Self { script, prober, watched: None, events }
    }

    fn watch(&mut self, target: Target) {
        self.prober.watch(&mut self.watched, target);
    }

    fn answer(&self, port: u16, outcome: Outcome) {
        self.script.outcomes.lock().insert(port, outcome);
    }

    fn verdict(&self) -> (bool, bool) {
        let verdict = self.watched.as_ref().map(|watched| watched.verdict("web"));
        let Verdict { started, ready } = verdict.unwrap_or_default();
        (started, ready)
    }

    /// When the port was asked, in seconds from the beginning.
    fn asked(&self, port: u16) -> Vec<u64> {
        self.script.asked.lock().iter().filter(|(of, _)| *of == port).map(|(_, at)| *at).collect()
    }

    fn happened(&mut self) -> Vec<(Kind, String)> {
        let mut happened = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            assert_eq!((&*event.uid, &*event.container), ("u1", "web"));
            happened.push((event.kind, event.message));
        }
        happened
    }
}

async fn seconds(seconds: u64) {
    // A little more, so that what is due then has been done.
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn probe(port: u16, timing: serde_json::Value) -> Probe {
    let mut probe: Probe = serde_json::from_value(timing).unwrap();
    probe.tcp_socket = Some(serde_json::from_value(json!({ "port": port })).unwrap());
    probe
}

/// The container `web`, started a second from the beginning.
fn container() -> Container {
    Container {
        name: "web".to_owned(),
        readiness: None,
        liveness: None,
        startup: None,
        ports: vec![],
        started_at: epoch() + Duration::from_secs(1),
        known: Verdict::default(),
    }
}

fn target(attempt: u32, containers: Vec<Container>) -> Target {
    Target { uid: "u1".to_owned(), attempt, ip: "10.0.0.9".to_owned(), containers }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_not_watched_is_not_ready_and_one_without_probes_is() {
    let mut stage = Stage::new();
    assert_eq!(stage.verdict(), (false, false));
    stage.watch(target(0, vec![container()]));
    assert_eq!(stage.verdict(), (true, true));
    let exec: Probe = serde_json::from_value(json!({ "exec": { "command": ["true"] } })).unwrap();
    stage.watch(target(1, vec![Container { readiness: Some(exec), ..container() }]));
    assert_eq!(stage.verdict(), (true, true), "an exec probe is run elsewhere");
    stage.watched = None;
    assert_eq!(stage.verdict(), (false, false));
}

#[tokio::test(start_paused = true)]
async fn a_container_is_ready_after_its_delay_and_unready_after_three_failures() {
    let mut stage = Stage::new();
    seconds(3).await;
    let readiness = probe(READINESS, json!({ "initialDelaySeconds": 5 }));
    stage.watch(target(0, vec![Container { readiness: Some(readiness), ..container() }]));
    assert_eq!(stage.verdict(), (true, false));
    seconds(2).await;
    assert_eq!(
        (stage.verdict(), stage.asked(READINESS)),
        ((true, false), vec![]),
        "the delay counts from the start"
    );
    seconds(1).await;
    assert_eq!((stage.verdict(), stage.asked(READINESS)), ((true, true), vec![6]));
    assert_eq!(stage.happened(), [(Kind::ReadinessChanged, "Readiness probe succeeded".to_owned())]);

    stage.answer(READINESS, refused());
    seconds(20).await;
    let unhealthy = (Kind::Unhealthy, "Readiness probe failed: refused".to_owned());
    assert_eq!(
        (stage.verdict(), stage.happened()),
        ((true, true), vec![unhealthy.clone(), unhealthy.clone()])
    );
    seconds(10).await;
    let changed = (Kind::ReadinessChanged, unhealthy.1.clone());
    assert_eq!((stage.verdict(), stage.happened()), ((true, false), vec![unhealthy, changed]));
    assert_eq!(stage.asked(READINESS), [6, 16, 26, 36]);
}

#[tokio::test(start_paused = true)]
async fn a_startup_probe_holds_the_others_back_and_they_follow_it_at_once() {
    let mut stage = Stage::new();
    seconds(1).await;
    stage.answer(STARTUP, refused());
    stage.watch(target(
        0,
        vec![Container {
            startup: Some(probe(STARTUP, json!({ "periodSeconds": 2, "failureThreshold": 30 }))),
            liveness: Some(probe(LIVENESS, json!({}))),
            readiness: Some(probe(READINESS, json!({ "periodSeconds": 5 }))),
            ..container()
        }],
    ));
    seconds(4).await;
    assert_eq!(
        (stage.verdict(), stage.asked(LIVENESS), stage.asked(READINESS)),
        ((false, false), vec![], vec![])
    );
    stage.answer(STARTUP, Outcome::Success);
    seconds(2).await;
    assert_eq!((stage.verdict(), stage.asked(STARTUP)), ((true, true), vec![1, 3, 5, 7]));
    assert_eq!((stage.asked(LIVENESS), stage.asked(READINESS)), (vec![7], vec![7]));
    seconds(20).await;
    assert_eq!(stage.asked(STARTUP).len(), 4, "it has ended");
    let changes = stage.happened().into_iter().filter(|(kind, _)| *kind == Kind::ReadinessChanged).count();
    assert_eq!(changes, 2, "started, then ready");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_fails_is_given_up_once_and_left_alone_until_its_next_attempt() {
    for (which, port, name) in
        [(Kind::StartupFailed, STARTUP, "startup"), (Kind::LivenessFailed, LIVENESS, "liveness")]
    {
        let mut stage = Stage::new();
        stage.answer(port, refused());
        seconds(1).await;
        let failing = Some(probe(port, json!({ "periodSeconds": 1 })));
        let container = match which {
            Kind::StartupFailed => Container { startup: failing, ..container() },
            _ => Container { liveness: failing, ..container() },
        };
        stage.watch(target(0, vec![container.clone()]));
        seconds(60).await;
        assert_eq!(stage.asked(port), [1, 2, 3], "{name}");
        let given_up = (which, format!("Container web failed {name} probe, will be restarted"));
        assert_eq!(
            stage.happened().iter().filter(|(kind, _)| *kind != Kind::Unhealthy).collect::<Vec<_>>(),
            [&given_up]
        );

        stage.watch(target(0, vec![container.clone()]));
        seconds(10).await;
        assert_eq!(stage.asked(port).len(), 3, "watching the same again changes nothing");
        stage.watch(target(1, vec![container]));
        seconds(10).await;
        assert_eq!(stage.asked(port).len(), 6, "another attempt begins again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_asked_and_what_comes_with_a_warning_is_reported_and_counts_as_the_kubelet_counts()
{
    let mut stage = Stage::new();
    seconds(1).await;
    stage.answer(READINESS, Outcome::Errored("no such port".to_owned()));
    let readiness = Some(probe(READINESS, json!({ "periodSeconds": 1, "failureThreshold": 1 })));
    stage.watch(target(
        0,
        vec![Container { readiness, known: Verdict { started: true, ready: true }, ..container() }],
    ));
    seconds(3).await;
    assert_eq!(stage.verdict(), (true, true), "a probe that cannot be made changes nothing");
    let errored = "Readiness probe errored and resulted in unknown state: no such port".to_owned();
    assert_eq!(stage.happened()[0], (Kind::Unhealthy, errored));
    stage.answer(READINESS, refused());
    seconds(1).await;
    assert_eq!(stage.verdict(), (true, false));
    stage.happened();
    stage.answer(READINESS, Outcome::Warning("redirected".to_owned()));
    seconds(1).await;
    assert_eq!(stage.verdict(), (true, true));
    assert_eq!(stage.happened()[0], (Kind::Warning, "Readiness probe warning: redirected".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_ready_before_the_provider_stays_so_and_is_asked_within_its_period() {
    let mut stage = Stage::new();
    let known = Verdict { started: true, ready: true };
    let old = |readiness| Container {
        startup: Some(probe(STARTUP, json!({}))),
        readiness: Some(readiness),
        started_at: epoch() - Duration::from_secs(3_600),
        known,
        ..container()
    };
    stage.watch(target(4, vec![old(probe(READINESS, json!({})))]));
    assert_eq!(stage.verdict(), (true, true));
    seconds(10).await;
    assert_eq!((stage.asked(STARTUP).len(), stage.asked(READINESS).len()), (0, 1));
    assert_eq!(stage.happened(), [], "nothing has changed");
}

#[tokio::test(start_paused = true)]
async fn who_is_forgotten_or_no_longer_in_the_target_is_asked_no_more() {
    let mut stage = Stage::new();
    let readiness = Some(probe(READINESS, json!({ "periodSeconds": 1 })));
    let web = Container { readiness, ..container() };
    seconds(1).await;
    for leave in
        [|stage: &mut Stage| stage.watched = None, |stage: &mut Stage| stage.watch(target(0, vec![]))]
    {
        stage.watch(target(0, vec![web.clone()]));
        seconds(3).await;
        let asked = stage.asked(READINESS).len();
        assert!(asked >= 3);
        leave(&mut stage);
        seconds(10).await;
        assert_eq!((stage.asked(READINESS).len(), stage.verdict()), (asked, (false, false)));
    }
}
