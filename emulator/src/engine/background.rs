//! The one driver of the engine's loops: periodic, by signal, or endless.
//!
//! Rules: an activation takes no input; it finds out itself what is to be done, so that a lost or doubled signal costs only
//! time. An activation that fails or panics is logged and retried after a pause. Health shows the state of each loop.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tracing::{error, warn};

use crate::clock::{Clock, Timestamp};

/// Between an activation that failed or panicked and the next.
const RETRY: Duration = Duration::from_secs(5);

/// When a loop begins its next activation.
#[derive(Clone, Debug)]
pub(in crate::engine) enum When {
    /// After a pause: an activation ends only if something fails.
    Always,
    Every(Duration),
    /// At the signal, and this long after the last activation at the latest.
    Signalled(Arc<Notify>, Duration),
}

/// What a loop has done since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    pub activations: u64,
    pub panics: u64,
    pub last_start: Option<Timestamp>,
    /// Before `last_start`: an activation is under way.
    pub last_end: Option<Timestamp>,
    /// Why the last activation failed; `None` if it succeeded.
    pub last_error: Option<String>,
}

#[derive(Debug)]
pub(in crate::engine) struct Background {
    clock: Clock,
    activities: Mutex<BTreeMap<&'static str, Activity>>,
}

impl Background {
    pub(in crate::engine) fn new(clock: Clock) -> Self {
        Self { clock, activities: Mutex::default() }
    }

    /// Every loop by its name.
    pub(in crate::engine) fn activities(&self) -> BTreeMap<&'static str, Activity> {
        self.activities.lock().clone()
    }

    /// Activates repeatedly, for as long as it is polled.
    pub(in crate::engine) async fn drive<F, E>(
        &self,
        name: &'static str,
        when: When,
        activate: impl Fn() -> F,
    ) where
        F: Future<Output = Result<(), E>>,
        E: std::error::Error + 'static,
    {
        loop {
            if let Err(reason) = self.attempt(name, activate()).await {
                warn!(activity = name, %reason, "a background activity failed; retrying in {} s", RETRY.as_secs());
                self.clock.sleep(RETRY).await;
                continue;
            }
            match &when {
                When::Always => self.clock.sleep(RETRY).await,
                When::Every(period) => self.clock.sleep(*period).await,
                When::Signalled(signal, period) => tokio::select! {
                    () = signal.notified() => {}
                    () = self.clock.sleep(*period) => {}
                },
            }
        }
    }

    /// One activation, recorded for health.
    ///
    /// # Errors
    /// Why it failed, with all causes, or that it panicked.
    pub(in crate::engine) async fn attempt<T, E>(
        &self,
        name: &'static str,
        activation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, String>
    where
        E: std::error::Error + 'static,
    {
        self.record(name, |activity, now| {
            activity.activations += 1;
            activity.last_start = Some(now);
        });
        let done = match AssertUnwindSafe(activation).catch_unwind().await {
            Ok(done) => done.map_err(|error| causes(&error)),
            Err(panic) => Err(self.panicked(name, &*panic)),
        };
        self.record(name, |activity, now| {
            activity.last_end = Some(now);
            activity.last_error = done.as_ref().err().cloned();
        });
        done
    }

    /// Counts a panic, logs it and returns its message.
    pub(in crate::engine) fn panicked(
        &self,
        name: &'static str,
        panic: &(dyn std::any::Any + Send),
    ) -> String {
        let message = panic.downcast_ref::<&str>().map(ToString::to_string);
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        error!(
            activity = name,
            panic = message,
            "a background activity panicked, which is a bug in Neargate; restarting it"
        );
        let reason = format!("it panicked: {message}");
        self.record(name, |activity, _| {
            activity.panics += 1;
            activity.last_error = Some(reason.clone());
        });
        reason
    }

    fn record(&self, name: &'static str, change: impl FnOnce(&mut Activity, Timestamp)) {
        change(self.activities.lock().entry(name).or_default(), self.clock.now());
    }
}

/// An error with all its sources, in one line.
pub(in crate::engine) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it is broken")]
    struct Broken;

    #[tokio::test]
    async fn a_loop_outlives_errors_and_panics_and_shows_them() {
        let clock = Clock::manual(Timestamp(0));
        let (background, times) = (Background::new(clock.clone()), AtomicU64::new(0));
        let signal = Arc::new(Notify::new());
        let activate = || async {
            match times.fetch_add(1, Ordering::Relaxed) {
                0 => panic!("for once"),
                1 => Err(Broken),
                _ => Ok(()),
            }
        };
        let when = When::Signalled(Arc::clone(&signal), Duration::from_hours(9));
        let drive = background.drive("test", when, activate);
        let reached = async |activations| loop {
            let activity = background.activities().get("test").cloned().unwrap_or_default();
            if activity.activations == activations && activity.last_end >= activity.last_start {
                return (activity.last_error, activity.panics);
            }
            clock.advance(RETRY / 5);
            tokio::task::yield_now().await;
        };
        let watch = async {
            assert_eq!(reached(1).await, (Some("it panicked: for once".to_owned()), 1));
            assert_eq!(reached(2).await, (Some("it is broken".to_owned()), 1));
            assert_eq!(reached(3).await, (None, 1));
            signal.notify_one();
            reached(4).await;
        };
        tokio::select! {
            () = drive => {}
            watched = tokio::time::timeout(Duration::from_secs(20), watch) => watched.expect("four activations"),
        }
    }
}
