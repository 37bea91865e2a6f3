//! Whether the node is ready: whether AWS responds.

use std::time::Duration;

use jiff::Timestamp;

use crate::fargate::Outcome;

/// How long AWS may be in trouble before the node is NotReady: the time for which a lease is valid.
const GRACE: Duration = Duration::from_secs(40);

/// Trouble began at the last success, but is counted for at most this long: a longer gap is not silence but a machine that was
/// suspended.
const LONGEST_GAP: Duration = Duration::from_secs(30);

/// The node's Ready condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Pods can run.
    Ready,
    /// They cannot, and why.
    NotReady(String),
}

impl Standing {
    /// Whether both have the same status; a change of only the message waits for the next report.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Remembers since when AWS has been in trouble.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    trouble: Option<Timestamp>,
    last_success: Option<Timestamp>,
}

impl Readiness {
    /// The standing that the record of calls means `now`.
    pub(super) fn observe(
        &mut self,
        now: Timestamp,
        last_success: Option<Timestamp>,
        latest: Option<&Outcome>,
    ) -> Standing {
        if last_success > self.last_success {
            self.last_success = last_success;
            self.trouble = None;
        }
        match (latest, last_success) {
            (None, _) => Standing::NotReady("AWS has not been asked yet".to_owned()),
            (Some(Outcome::Answered), _) => Standing::Ready,
            (Some(Outcome::Trouble(seen)), None) => {
                Standing::NotReady(format!("AWS has not answered yet: {seen}"))
            }
            (Some(Outcome::Trouble(seen)), Some(success)) => {
                let earliest = now.checked_sub(LONGEST_GAP).unwrap_or(now);
                let since = *self.trouble.get_or_insert_with(|| success.max(earliest));
                if now.duration_since(since).unsigned_abs() < GRACE {
                    Standing::Ready
                } else {
                    Standing::NotReady(format!("AWS has not answered since {since:.0}: {seen}"))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).unwrap()
    }

    #[test]
    fn the_node_is_not_ready_40_s_after_the_last_answer_and_ready_with_the_next() {
        let trouble = Outcome::Trouble("connection refused".to_owned());
        let mut readiness = Readiness::default();
        let mut is_ready = |now, success: Option<i64>, latest: Option<&Outcome>| {
            readiness.observe(at(now), success.map(at), latest) == Standing::Ready
        };
        assert!(!is_ready(0, None, None), "before the first call");
        assert!(!is_ready(1, None, Some(&trouble)), "before the first answer");
        assert!(is_ready(2, Some(2), Some(&Outcome::Answered)));
        assert!(is_ready(500, Some(500), Some(&Outcome::Answered)));
        for second in 503..540 {
            assert!(is_ready(second, Some(500), Some(&trouble)), "{second}");
        }
        assert!(!is_ready(540, Some(500), Some(&trouble)));
        assert!(is_ready(541, Some(541), Some(&Outcome::Answered)));
        for second in 542..900 {
            let success = second / 20 * 20;
            assert!(
                is_ready(second, Some(success), Some(&trouble)),
                "one call in twenty seconds still gets through"
            );
        }
        assert!(is_ready(900, Some(900), Some(&Outcome::Answered)));
        assert!(is_ready(10_000, Some(900), Some(&trouble)), "woken up, the network not");
        assert!(is_ready(10_009, Some(900), Some(&trouble)));
        assert!(!is_ready(10_010, Some(900), Some(&trouble)));
    }
}
