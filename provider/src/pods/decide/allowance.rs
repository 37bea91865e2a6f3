//! How many events a pod may have: a token bucket, as client-go's `EventSourceObjectSpamFilter`
//! (`client-go/tools/record/events_cache.go`, `defaultSpamBurst` and `defaultSpamQPS`).

use jiff::Timestamp;

/// Events of one pod at once.
const BURST: f64 = 25.0;

/// Seconds until one more.
const REFILL: f64 = 300.0;

/// What a pod has left.
#[derive(Debug, Clone, Copy)]
pub(in crate::pods) struct Allowance {
    tokens: f64,
    at: Option<Timestamp>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { tokens: BURST, at: None }
    }
}

impl Allowance {
    /// Takes one event; `false` if there is none left.
    pub(in crate::pods) fn take(&mut self, now: Timestamp) -> bool {
        let passed = self.at.map_or(0.0, |at| now.duration_since(at).as_secs_f64());
        self.at = Some(now);
        self.tokens = (self.tokens + passed.max(0.0) / REFILL).min(BURST);
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pod_has_25_events_at_once_and_one_more_every_five_minutes() {
        let mut allowance = Allowance::default();
        let mut now = Timestamp::UNIX_EPOCH;
        let mut taken = |now| (0..30).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(now), 25);
        now += Duration::from_secs(299);
        assert_eq!(taken(now), 0);
        now += Duration::from_secs(1);
        assert_eq!(taken(now), 1);
        assert_eq!(taken(now - Duration::from_secs(3600)), 0, "a clock that went back gives nothing");
        now += Duration::from_secs(86_400);
        assert_eq!(taken(now), 25);
    }
}
