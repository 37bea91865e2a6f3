//! When a failed action is retried, and when it is given up: back-off as state, for an actor that does not sleep.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::task::Action;

/// Before the second attempt; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Attempts of an action that fails at once: about a minute, enough for an engine to restart.
const MAX_ATTEMPTS: u32 = 9;

/// An action that is slow to fail is given up after this time, but not before a few attempts.
const GIVE_UP_AFTER: Duration = Duration::from_mins(3);
const MIN_ATTEMPTS: u32 = 3;

/// The failed attempts of one action or write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    attempts: u32,
    first_failed_at: Timestamp,
    failed_at: Timestamp,
}

impl Retry {
    /// One more failure.
    pub(super) fn after(before: Option<Self>, now: Timestamp) -> Self {
        let first_failed_at = before.map_or(now, |before| before.first_failed_at);
        Self { attempts: before.map_or(0, |before| before.attempts) + 1, first_failed_at, failed_at: now }
    }

    /// Whether no further attempt is to be made.
    pub(super) fn is_exhausted(&self) -> bool {
        self.attempts >= MAX_ATTEMPTS
            || self.attempts >= MIN_ATTEMPTS && self.failed_at.since(self.first_failed_at) >= GIVE_UP_AFTER
    }

    /// How long to wait for the next attempt; `None` if it is due. It is also due if the clock was set back: the wait
    /// would grow by as much.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        let pause = FIRST_PAUSE.saturating_mul(1 << (self.attempts - 1).min(16)).min(LONGEST_PAUSE);
        let passed = now.since(self.failed_at);
        (now >= self.failed_at && passed < pause).then(|| pause - passed)
    }
}

/// The actions of a task that failed.
#[derive(Debug, Default)]
pub(super) struct Retries(HashMap<Action, Retry>);

impl Retries {
    pub(super) fn failed(&mut self, action: Action, now: Timestamp) -> Retry {
        let retry = Retry::after(self.0.get(&action).copied(), now);
        self.0.insert(action, retry);
        retry
    }

    pub(super) fn succeeded(&mut self, action: Action) {
        self.0.remove(&action);
    }

    pub(super) fn is_due(&self, action: Action, now: Timestamp) -> bool {
        self.0.get(&action).is_none_or(|retry| retry.wait(now).is_none())
    }

    /// How long until the next one is due.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        self.0.values().filter_map(|retry| retry.wait(now)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute_and_end_after_a_minute_of_attempts() {
        let mut retries = Retries::default();
        let mut now = Timestamp(0);
        let mut pauses = Vec::new();
        loop {
            let retry = retries.failed(Action::Release, now);
            assert!(!retries.is_due(Action::Release, now));
            if retry.is_exhausted() {
                break;
            }
            let pause = retries.wait(now).expect("a pause");
            pauses.push(pause.as_millis());
            now = now.plus(pause);
            assert!(retries.is_due(Action::Release, now));
        }
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
        retries.succeeded(Action::Release);
        assert!(retries.is_due(Action::Release, now));
    }

    #[test]
    fn an_action_that_hangs_is_given_up_after_a_few_attempts() {
        let mut retries = Retries::default();
        let exhausted = [0, 180, 360]
            .map(|second| retries.failed(Action::Stop(0), Timestamp(second * 1000)).is_exhausted());
        assert_eq!(exhausted, [false, false, true]);
    }

    #[test]
    fn a_clock_that_was_set_back_delays_no_retry() {
        let mut retries = Retries::default();
        retries.failed(Action::Release, Timestamp(1_000_000));
        assert!(retries.is_due(Action::Release, Timestamp(0)));
        assert_eq!(retries.wait(Timestamp(0)), None);
    }
}
