//! Generated worlds with faults: whatever the runtime refuses, loses or never reports, and whenever the process is killed,
//! all invariants hold once the faults have ended.
//!
//! ```text
//! seed ─▶ Plan: tasks, stops, kills, resets, clock steps, shares of faults     (plan.rs, pure)
//!           │
//!           ▼
//!         World: the engine on the simulated runtime behind the faulty one     (world.rs)
//!           │ faults, then calm, then all is stopped
//!           ▼
//!         invariants: what is wrong, in words                                  (invariants.rs)
//! ```
//!
//! A world runs on one thread, and its time passes when nothing else can happen, so that minutes of retries take moments.
//! `NEARGATE_CHAOS_WORLDS` is the number of worlds (1,000), `NEARGATE_CHAOS_SEED` the seed of the first (0). A seed always
//! gives the same plan; ids are random, and so are some orders that depend on them.

mod invariants;
mod plan;
mod world;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use futures::FutureExt;
use parking_lot::Mutex;
use tempfile::TempDir;

use self::plan::Plan;
use self::world::{Outcome, Time, Trace, World};
use crate::store::Store;

/// Worlds at the same time: most of a world's time is waiting for the store.
const AT_ONCE: usize = 8;

fn variable(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")),
        Err(_) => default,
    }
}

#[test]
fn whatever_goes_wrong_everything_reaches_its_end_and_nothing_is_left() {
    let (worlds, first) = (variable("NEARGATE_CHAOS_WORLDS", 1000), variable("NEARGATE_CHAOS_SEED", 0));
    let began = Instant::now();
    let empty = empty_store();
    let (next, faults, wrong) = (AtomicU64::new(first), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds {
                        break;
                    }
                    let (outcome, trace) = play(seed, empty.path());
                    if worlds == 1 && !outcome.wrong.is_empty() {
                        println!("{}", trace.lines());
                    }
                    faults.fetch_add(outcome.faults, Ordering::Relaxed);
                    wrong.lock().extend(outcome.wrong.into_iter().map(|what| format!("seed {seed}: {what}")));
                }
            });
        }
    });
    let (faults, wrong) = (faults.into_inner(), wrong.into_inner());
    println!("{worlds} worlds, {faults} faults, {:.1} s", began.elapsed().as_secs_f64());
    assert!(
        wrong.is_empty(),
        "{} things are wrong. The trace of one world: NEARGATE_CHAOS_WORLDS=1 NEARGATE_CHAOS_SEED=… cargo test --workspace --lib -- chaos\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A data directory that each world begins with a copy of: creating its tables takes longer than most worlds.
fn empty_store() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime of tokio").block_on(async {
        Store::open(dir.path()).await.expect("the store opens").close().await;
    });
    dir
}

/// A world, on this thread, and what happened in it.
fn play(seed: u64, empty: &Path) -> (Outcome, Trace) {
    let time = Arc::new(Time::new());
    // The runtime must not hold the time, which holds the store, whose tasks hold the runtime.
    let (passes, trace) = (Arc::downgrade(&time), Trace::of(&time));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || {
            if let Some(time) = passes.upgrade() {
                time.pass();
            }
        })
        .build();
    let world = World::play(Plan::of(seed), empty, time, trace.clone());
    let played = runtime.expect("a runtime of tokio").block_on(AssertUnwindSafe(world).catch_unwind());
    let outcome = played.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().map(ToString::to_string);
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Outcome { faults: 0, wrong: vec![format!("it panicked: {message}")] }
    });
    (outcome, trace)
}
