//! AWS's request quotas, observed on this side: one token bucket per kind of request.
//!
//! ECS throttles an account's requests in a region by its own buckets ("Request throttling for the Amazon ECS
//! API"). The provider takes at most half of each sustained rate, so that it leaves the other half to the account's other
//! programs.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A bucket of tokens that refills steadily.
#[derive(Debug)]
pub(super) struct Bucket {
    burst: f64,
    rate: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Below zero if tokens are promised to requests that wait.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket of `burst` tokens that gains `rate` tokens per second.
    pub(super) fn new(burst: u32, rate: u32) -> Self {
        let burst = f64::from(burst);
        Self { burst, rate: f64::from(rate), state: Mutex::new(State { tokens: burst, at: Instant::now() }) }
    }

    /// Takes a token, and waits until it is available. Requests are served in order.
    pub(super) async fn take(&self) {
        let wait = self.claim(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes a token at `now`, on credit if there is none; how long until it is earned.
    fn claim(&self, now: Instant) -> Duration {
        let mut state = self.state.lock();
        let gained = now.saturating_duration_since(state.at).as_secs_f64() * self.rate;
        state.tokens = (state.tokens + gained).min(self.burst) - 1.0;
        state.at = now;
        if state.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-state.tokens / self.rate) }
    }
}

/// The buckets of the requests that the provider makes: burst and sustained, half of ECS's.
#[derive(Debug)]
pub(super) struct Quotas {
    /// DescribeTasks and ListTasks; ECS: 100 and 20.
    pub(super) read: Bucket,
    /// RunTask (Fargate: 20 and 20) and StopTask (100 and 40), in one.
    pub(super) modify: Bucket,
    /// DescribeTaskDefinition; ECS: 50 and 20.
    pub(super) read_definition: Bucket,
    /// RegisterTaskDefinition; ECS: 20 and 1. Half of one per second would be slow for no gain: replicas share a definition.
    pub(super) modify_definition: Bucket,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            read: Bucket::new(50, 10),
            modify: Bucket::new(10, 10),
            read_definition: Bucket::new(25, 10),
            modify_definition: Bucket::new(10, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let bucket = Bucket::new(3, 10);
        let start = Instant::now();
        let waits: Vec<_> = (0..5).map(|_| bucket.claim(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        // Half a second later: five gained, two of them owed.
        let later = start + Duration::from_millis(500);
        let waits: Vec<_> = (0..4).map(|_| bucket.claim(later).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100]);
        // It never holds more than its burst.
        let much_later = later + Duration::from_secs(3600);
        let waits: Vec<_> = (0..4).map(|_| bucket.claim(much_later).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100]);
    }
}
