//! A RunTask that was refused, and until when it is not retried.
//!
//! Kept in memory only: no task was created, so nothing is lost or doubled if a provider that has just started retries at once.

use std::time::Duration;

use jiff::Timestamp;

/// The first pause and the longest, as for a container that does not start.
const PAUSES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// The consecutive refusals of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pods) struct Refusal {
    times: u32,
    until: Timestamp,
}

impl Refusal {
    /// How long RunTask must still wait; `None` if it may be called.
    pub(in crate::pods) fn left(&self, now: Timestamp) -> Option<Duration> {
        Duration::try_from(self.until.duration_since(now)).ok().filter(|left| !left.is_zero())
    }

    /// One more refusal, now, and how long RunTask must wait for it.
    pub(in crate::pods) fn after(before: Option<Self>, now: Timestamp) -> (Self, Duration) {
        let times = before.map_or(0, |refusal| refusal.times);
        let pause = PAUSES.0.saturating_mul(2u32.saturating_pow(times)).min(PAUSES.1);
        // An overflow is nine thousand years ahead.
        let until = now.checked_add(pause).unwrap_or(now);
        (Self { times: times.saturating_add(1), until }, pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_doubles_the_pause() {
        let now = Timestamp::UNIX_EPOCH;
        let mut last = None;
        let pauses: Vec<_> = (0..7)
            .map(|_| {
                let (refusal, pause) = Refusal::after(last, now);
                last = Some(refusal);
                pause.as_secs()
            })
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
        let last = last.unwrap();
        assert_eq!(last.left(now + Duration::from_secs(1)), Some(Duration::from_secs(299)));
        assert_eq!(last.left(now + Duration::from_secs(300)), None);
    }
}
