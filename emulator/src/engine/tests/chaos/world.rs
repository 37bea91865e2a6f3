//! Plays a world: the engine on a simulated runtime with faults, and a client that runs and stops, kills and resets.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::super::{CLUSTER, make_records, options, order_of, template};
use super::invariants;
use super::plan::{Plan, Step};
use crate::clock::{Clock, Timestamp};
use crate::engine::run::{ClientToken, Order, Template};
use crate::engine::task::{Desired, Spec, StopCode, Task};
use crate::engine::{Engine, Options, vpc};
use crate::runtime::{Runtime as _, faulty, simulated};
use crate::store::Store;

const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

/// By the world's clock, how long it may take until the invariants hold once the faults have ended: some attempts with
/// pauses of up to half a minute, and some passes a minute apart.
const SETTLED: Duration = Duration::from_mins(20);

/// By the world's clock, the time limit of a RunTask, a reset and a shutdown.
const TIME_LIMIT: Duration = Duration::from_mins(10);

/// By the machine's clock, the time limit of a StopTask. It must return while the world's clock is stopped: it waits only
/// for the store.
const STOP_TIME_LIMIT: Duration = Duration::from_secs(20);

/// Longer than anything is remembered of a task that has ended.
const FORGOTTEN: Duration = Duration::from_hours(26);

/// The world's time. It passes when nothing else can happen: its thread has nothing to do, and its store is at rest.
pub(super) struct Time {
    clock: Clock,
    store: Mutex<Option<Store>>,
    stands_still: AtomicBool,
}

impl Time {
    pub(super) fn new() -> Self {
        Self { clock: Clock::manual(BEGIN), store: Mutex::new(None), stands_still: AtomicBool::new(true) }
    }

    /// The world's thread has nothing to do: advances to the end of the next sleep.
    pub(super) fn pass(&self) {
        let at_rest = || self.store.lock().as_ref().is_some_and(Store::is_at_rest);
        if !self.stands_still.load(Ordering::Relaxed) && at_rest() {
            self.clock.advance_to_next();
        }
    }

    async fn stand_still<T>(&self, work: impl Future<Output = T>) -> T {
        self.stands_still.store(true, Ordering::Relaxed);
        let done = work.await;
        self.stands_still.store(false, Ordering::Relaxed);
        done
    }
}

/// The outcome of a world.
pub(super) struct Outcome {
    /// Calls and events that went wrong as planned.
    pub(super) faults: usize,
    /// As text.
    pub(super) wrong: Vec<String>,
}

pub(super) struct World {
    pub(super) runtime: simulated::Runtime,
    pub(super) engine: Engine,
    /// By ARN, the tasks that RunTask acknowledged and no reset has taken away.
    pub(super) accepted: HashMap<String, Accepted>,
    wrong: Vec<String>,
    faulty: faulty::Runtime,
    clock: Clock,
    dir: TempDir,
    time: Arc<Time>,
    runs: Vec<Run>,
    trace: Trace,
}

/// A RunTask, to be repeated.
struct Run {
    spec: Spec,
    /// Once it was acknowledged.
    arn: Option<String>,
}

/// What is known of a task from outside.
pub(super) struct Accepted {
    pub(super) spec: Spec,
    /// A StopTask was acknowledged.
    pub(super) stopped: bool,
    /// A reset failed while the task existed: what it had on the runtime may have been removed.
    pub(super) emptied: bool,
}

/// What happens, with the world's time.
#[derive(Clone)]
pub(super) struct Trace {
    clock: Clock,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    pub(super) fn of(time: &Time) -> Self {
        Self { clock: time.clock.clone(), lines: Arc::default() }
    }

    /// Line by line.
    pub(super) fn lines(&self) -> String {
        self.lines.lock().join("\n")
    }

    fn record(&self, what: impl std::fmt::Display) {
        let millis = self.clock.now().since(BEGIN).as_millis();
        self.lines.lock().push(format!("{:>4}.{:03} {what}", millis / 1000, millis % 1000));
    }
}

impl World {
    pub(super) async fn play(plan: Plan, empty: &Path, time: Arc<Time>, trace: Trace) -> Outcome {
        let clock = time.clock.clone();
        let runtime = simulated::Runtime::new(clock.clone());
        runtime.record_made();
        let faulty = faulty::Runtime::new(Arc::new(runtime.clone()), clock.clone());
        let faults = inject_faults(&faulty, &plan, &trace);

        let dir = TempDir::new().expect("a temporary directory");
        std::fs::copy(empty.join("neargate.db"), dir.path().join("neargate.db"))
            .expect("a copy of the store");
        let engine = start(&dir, &faulty, &time).await;
        let mut world = Self {
            runtime,
            engine,
            accepted: HashMap::new(),
            wrong: Vec::new(),
            faulty,
            clock,
            dir,
            time,
            runs: Vec::new(),
            trace,
        };
        for (pause, step) in plan.steps {
            world.clock.sleep(pause).await;
            world.trace.record(&step);
            world.step(step).await;
        }
        world.trace.record("calm");
        world.faulty.calm();
        world.end().await;
        let faults = usize::try_from(faults.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        Outcome { faults, wrong: world.wrong }
    }

    /// What must hold once the faults have ended.
    async fn end(&mut self) {
        self.settle("after the faults", invariants::unsettled).await;
        let live: Vec<Arc<Task>> =
            self.engine.all_tasks().into_iter().filter(|task| !task.is_stopped()).collect();
        for arn in self.accepted.keys().cloned().collect::<Vec<_>>() {
            self.stop(&arn).await;
        }
        self.settle("after all were stopped", invariants::not_stopped).await;
        self.wrong.extend(invariants::not_released(self, &live).await);
        self.settle("at the end", invariants::left_over).await;
        let wrong = invariants::of_ended(self).await;
        self.wrong.extend(wrong);
        for task in self.engine.all_tasks() {
            self.trace.record(format_args!("{task:?}"));
        }
        for made in self.runtime.made() {
            self.trace.record(format_args!("{made:?}"));
        }
        self.clock.advance(FORGOTTEN);
        self.settle("a day later", invariants::remembered).await;
        // An engine that cannot end is a fault too.
        let ended = self.clock.timeout(TIME_LIMIT, self.engine.shutdown()).await;
        if !matches!(ended, Ok(Ok(()))) {
            self.wrong.push(format!("shutdown: {ended:?}"));
        }
        self.wrong.extend(invariants::on_the_runtime(self).await);
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Run(spec) => {
                self.runs.push(Run { spec, arn: None });
                self.run(self.runs.len() - 1).await;
            }
            Step::Again(nth) if nth < self.runs.len() => self.run(nth).await,
            Step::Stop(nth) => {
                if let Some(arn) = self.runs.get(nth).and_then(|run| run.arn.clone()) {
                    self.stop(&arn).await;
                }
            }
            Step::Exit(nth) => {
                if let Some(made) = self.runtime.made().get(nth) {
                    self.runtime.exit(&made.container_id, 9, false);
                }
            }
            Step::EndSandbox(nth) => {
                let there = self.runtime.inventory().await.expect("the inventory of the simulated runtime");
                let mut ids: Vec<String> =
                    there.sandboxes.into_iter().map(|sandbox| sandbox.sandbox_id).collect();
                ids.sort();
                if let Some(id) = ids.get(nth) {
                    self.runtime.kill_sandbox(id);
                }
            }
            Step::Kill => {
                let kill = async {
                    self.engine.halt().await;
                    self.engine.store().close().await;
                };
                self.time.stand_still(kill).await;
                self.engine = start(&self.dir, &self.faulty, &self.time).await;
            }
            Step::Shutdown => {
                // What it could not remove is reported, and left to the next process.
                if let Err(elapsed) = self.clock.timeout(TIME_LIMIT, self.engine.shutdown()).await {
                    self.wrong.push(format!("shutdown: {elapsed}"));
                }
                self.engine = start(&self.dir, &self.faulty, &self.time).await;
            }
            Step::Reset => self.reset().await,
            Step::SetClock(millis) => self.clock.set_by(millis),
            Step::Again(_) => {}
        }
    }

    async fn run(&mut self, nth: usize) {
        let Run { spec, arn: before } = &self.runs[nth];
        let (spec, before) = (spec.clone(), before.clone());
        let token = ClientToken { token: format!("run {nth}"), digest: String::new() };
        let order = Order {
            client_token: Some(token),
            ..order_of(Template { spec: spec.clone(), ..template(Vec::new()) })
        };
        let arn = match self.clock.timeout(TIME_LIMIT, self.engine.run(order)).await {
            Ok(Ok(ran)) => ran.tasks.first().map(|task| task.arn.clone()),
            // Not ready in time, or no address: both are allowed.
            Ok(Err(_)) => return,
            Err(elapsed) => return self.wrong.push(format!("RunTask: {elapsed}")),
        };
        let Some(arn) = arn else { return };
        match before.filter(|before| self.accepted.contains_key(before)) {
            Some(before) if before != arn => {
                self.wrong.push(format!("RunTask with the token of {before} returned {arn}"));
            }
            Some(_) => {}
            None => {
                self.accepted.insert(arn.clone(), Accepted { spec, stopped: false, emptied: false });
            }
        }
        self.runs[nth].arn = Some(arn);
    }

    async fn stop(&mut self, arn: &str) {
        let stop = self.engine.stop(arn, StopCode::UserInitiated, "chaos".into());
        let response = self.time.stand_still(tokio::time::timeout(STOP_TIME_LIMIT, stop)).await;
        let known = self.accepted.get_mut(arn);
        match (response, known) {
            (Ok(Ok(Some(task))), Some(accepted)) if task.desired_status == Desired::Stopped => {
                accepted.stopped = true;
            }
            (Ok(Ok(None)), None) => {}
            (Ok(response), known) => self.wrong.push(format!(
                "StopTask of a task that is {}: {response:?}",
                if known.is_some() { "known" } else { "forgotten" }
            )),
            (Err(elapsed), _) => self.wrong.push(format!("StopTask of {arn} needs time to pass: {elapsed}")),
        }
    }

    async fn reset(&mut self) {
        match self.clock.timeout(TIME_LIMIT, self.engine.reset()).await {
            Ok(Ok(())) => {
                self.accepted.clear();
                self.runtime.record_made();
                make_records(&self.engine, CLUSTER).await;
                if !self.engine.all_tasks().is_empty() {
                    self.wrong.push("a task outlived a reset".into());
                }
            }
            // Some of it may have been removed.
            Ok(Err(_)) => self.accepted.values_mut().for_each(|accepted| accepted.emptied = true),
            Err(elapsed) => self.wrong.push(format!("reset: {elapsed}")),
        }
    }

    /// Waits until `check` finds nothing wrong. What it still finds after [`SETTLED`] is recorded.
    async fn settle(&mut self, when: &str, check: impl AsyncFn(&Self) -> Vec<String>) {
        let pause = Duration::from_secs(1);
        let mut waited = Duration::ZERO;
        let wrong = loop {
            let wrong = check(self).await;
            if wrong.is_empty() || waited > SETTLED {
                break wrong;
            }
            self.clock.sleep(pause).await;
            waited += pause;
        };
        self.wrong.extend(wrong.into_iter().map(|what| format!("{when}: {what}")));
    }

    /// The tasks that should exist, as the engine shows them.
    pub(super) fn tasks(&self) -> Vec<(&Accepted, Option<Arc<Task>>)> {
        self.accepted.iter().map(|(arn, accepted)| (accepted, self.engine.task(arn))).collect()
    }
}

/// Makes the runtime fail as planned. Returns the count of faults.
fn inject_faults(runtime: &faulty::Runtime, plan: &Plan, trace: &Trace) -> Arc<AtomicU64> {
    let faults = Arc::new(AtomicU64::new(0));
    let (counts, planned) = (Mutex::new(HashMap::new()), plan.clone());
    let (count, calls) = (Arc::clone(&faults), trace.clone());
    runtime.on_call(move |call, subject| {
        let nth = {
            let mut counts = counts.lock();
            let count: &mut u64 = counts.entry(call).or_default();
            *count += 1;
            *count
        };
        planned.fault(call, nth).inspect(|fault| {
            count.fetch_add(1, Ordering::Relaxed);
            calls.record(format_args!("{call:?} of {subject:?}: {fault:?}"));
        })
    });
    let (events, planned) = (AtomicU64::new(0), plan.clone());
    let (count, fates) = (Arc::clone(&faults), trace.clone());
    runtime.on_event(move |event| {
        planned.fate(event, events.fetch_add(1, Ordering::Relaxed)).inspect(|fate| {
            count.fetch_add(1, Ordering::Relaxed);
            fates.record(format_args!("{event:?}: {fate:?}"));
        })
    });
    faults
}

async fn start(dir: &TempDir, runtime: &faulty::Runtime, time: &Time) -> Engine {
    let vpc = vpc::Choice::Builtin { strict: false };
    let options = Options { sandbox_pool: 2, ..options(vpc) };
    let engine = time.stand_still(super::super::start(dir, runtime, options, time.clock.clone())).await;
    *time.store.lock() = Some(engine.store().clone());
    engine
}
