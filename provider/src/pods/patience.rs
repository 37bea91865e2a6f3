//! Pods whose RunTask was refused, and until when it is not tried again.
//!
//! Kept in memory alone: no task was made, so nothing is lost or doubled when a provider that starts anew tries once at once.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;

/// The first pause and the longest, as for a container that does not start.
const PAUSES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

#[derive(Debug, Clone, Copy)]
struct Refusal {
    times: u32,
    until: Timestamp,
}

/// The refusals, by the pod's UID.
#[derive(Debug, Default)]
pub(super) struct Patience {
    refusals: Mutex<HashMap<String, Refusal>>,
}

impl Patience {
    /// How long the pod's RunTask is still not to be tried; `None` where it may be.
    pub(super) fn left(&self, uid: &str, now: Timestamp) -> Option<Duration> {
        let until = self.refusals.lock().get(uid)?.until;
        Duration::try_from(until.duration_since(now)).ok().filter(|left| !left.is_zero())
    }

    /// RunTask was refused now; how long it is not to be tried.
    pub(super) fn refused(&self, uid: &str, now: Timestamp) -> Duration {
        let mut refusals = self.refusals.lock();
        let times = refusals.get(uid).map_or(0, |refusal| refusal.times);
        let pause = PAUSES.0.saturating_mul(2u32.saturating_pow(times)).min(PAUSES.1);
        // An overflow lies nine thousand years ahead.
        let until = now.checked_add(pause).unwrap_or(now);
        refusals.insert(uid.to_owned(), Refusal { times: times.saturating_add(1), until });
        pause
    }

    /// RunTask was taken, or the pod is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.refusals.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_doubles_the_pause_until_one_run_is_taken() {
        let patience = Patience::default();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(patience.left("a", now), None);
        let pauses: Vec<_> = (0..7).map(|_| patience.refused("a", now).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(patience.left("a", now + Duration::from_secs(1)), Some(Duration::from_secs(299)));
        assert_eq!(patience.left("a", now + Duration::from_secs(300)), None);
        assert_eq!(patience.left("b", now), None, "a refusal is one pod's alone");
        patience.forget("a");
        assert_eq!(patience.refused("a", now).as_secs(), 10);
    }
}
