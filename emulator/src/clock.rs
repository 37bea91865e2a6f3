//! The only source of time. The engine and the API ask a [`Clock`]; a test moves a manual one by hand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// An instant, in milliseconds since the Unix epoch.
///
/// ECS puts epoch *seconds* with a fraction on the wire, CloudWatch Logs epoch *milliseconds*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds since the Unix epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch with a fraction of three digits, as AWS JSON 1.1 writes a timestamp.
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 stay below 2^53 for 285,000 years"
    )]
    pub fn epoch_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The instant `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The instant one millisecond later.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The instant `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Gives the time and waits for it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    System,
    /// The machine's clock, off by this many milliseconds.
    Shifted(i64),
    Manual(Arc<Manual>),
}

/// A clock that a test moves.
#[derive(Debug, Default)]
struct Manual {
    /// Milliseconds by which the time of day has been set.
    set_by: AtomicI64,
    hands: Mutex<Hands>,
}

#[derive(Debug, Default)]
struct Hands {
    /// Sleeps are measured by this: it never goes back.
    now: Timestamp,
    /// The sleepers, by the time of their end. The number distinguishes those of one moment.
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    /// Sleeps that have begun.
    slept: u64,
}

impl Hands {
    /// Moves the time, and wakes the sleepers whose time has come.
    fn move_to(&mut self, now: Timestamp) {
        self.now = now;
        let later = self.sleepers.split_off(&(now.next(), 0));
        for (_, sleeper) in std::mem::replace(&mut self.sleepers, later) {
            // One that has been dropped needs no waking.
            let _ = sleeper.send(());
        }
    }
}

/// A sleeper for as long as it lives.
struct Sleeper<'a>(&'a Manual, (Timestamp, u64));

impl Manual {
    async fn sleep(&self, duration: Duration) {
        let (wake, woken) = oneshot::channel();
        let _sleeper = {
            let mut hands = self.hands.lock();
            let until = hands.now.plus(duration);
            if until <= hands.now {
                return;
            }
            hands.slept += 1;
            let key = (until, hands.slept);
            hands.sleepers.insert(key, wake);
            Sleeper(self, key)
        };
        // The sender is dropped with `_sleeper` alone.
        let _ = woken.await;
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.0.hands.lock().sleepers.remove(&self.1);
    }
}

/// A wait that exceeded its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {0:?}")]
pub struct Elapsed(pub Duration);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that runs with the machine's and shows `start` now: for records of another day.
    #[must_use]
    pub fn running_from(start: Timestamp) -> Self {
        Self(Kind::Shifted(start.0.saturating_sub(Self::system().now().0)))
    }

    /// A clock that stays at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        let hands = Hands { now: start, ..Hands::default() };
        Self(Kind::Manual(Arc::new(Manual { set_by: AtomicI64::new(0), hands: Mutex::new(hands) })))
    }

    /// Now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System => {
                let since_epoch =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
            Kind::Shifted(millis) => Timestamp(Self::system().now().0.saturating_add(*millis)),
            Kind::Manual(clock) => {
                let now = clock.hands.lock().now;
                Timestamp(now.0.saturating_add(clock.set_by.load(Ordering::Relaxed)))
            }
        }
    }

    /// What sleeps are measured by: the time since a moment that stays the same, and never less than before.
    pub fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Kind::System | Kind::Shifted(_) => START.elapsed(),
            Kind::Manual(clock) => clock.hands.lock().now.since(Timestamp(0)),
        }
    }

    /// Moves a manual clock forward and wakes its sleepers. Does nothing to the machine's clock.
    pub fn advance(&self, duration: Duration) {
        if let Kind::Manual(clock) = &self.0 {
            let mut hands = clock.hands.lock();
            let now = hands.now.plus(duration);
            hands.move_to(now);
        }
    }

    /// Moves a manual clock forward to the end of the next sleep; does nothing if nothing sleeps.
    pub fn advance_to_next(&self) {
        if let Kind::Manual(clock) = &self.0 {
            let mut hands = clock.hands.lock();
            if let Some((next, _)) = hands.sleepers.keys().next().copied() {
                hands.move_to(next);
            }
        }
    }

    /// Sets the time of day of a manual clock, back if `millis` is negative. Sleeps are not affected, as on a
    /// machine whose clock is set.
    pub fn set_by(&self, millis: i64) {
        if let Kind::Manual(clock) = &self.0 {
            clock.set_by.fetch_add(millis, Ordering::Relaxed);
        }
    }

    /// Returns once `duration` has passed on this clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that waits for the machine's clock")]
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::System | Kind::Shifted(_) => tokio::time::sleep(duration).await,
            Kind::Manual(clock) => clock.sleep(duration).await,
        }
    }

    /// What `work` returns, unless `bound` passes on this clock first.
    ///
    /// # Errors
    /// [`Elapsed`]; `work` is dropped then.
    pub async fn timeout<T>(&self, bound: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.sleep(bound) => Err(Elapsed(bound)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_is_set_back_shows_an_earlier_time_and_ends_sleeps_as_before() {
        let clock = Clock::manual(Timestamp(10_000));
        let mut sleep = Box::pin(clock.sleep(Duration::from_secs(5)));
        assert!(futures::poll!(&mut sleep).is_pending());
        clock.set_by(-60_000);
        assert_eq!(clock.now(), Timestamp(-50_000));
        clock.advance_to_next();
        assert_eq!(clock.now(), Timestamp(-45_000));
        sleep.await;
    }

    #[tokio::test]
    async fn work_that_outlives_its_bound_is_dropped() {
        let clock = Clock::manual(Timestamp(0));
        let mut bounded = Box::pin(clock.timeout(Duration::from_secs(1), std::future::pending::<()>()));
        assert!(futures::poll!(&mut bounded).is_pending());
        clock.advance(Duration::from_secs(1));
        assert_eq!(bounded.await, Err(Elapsed(Duration::from_secs(1))));
        assert_eq!(clock.timeout(Duration::ZERO, async { 7 }).await, Ok(7), "done at once");
    }
}
