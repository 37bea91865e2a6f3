//! What is known of a task that was, or is, billed.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Milliseconds per second: time is billed by the second.
const SECOND: i64 = 1000;

/// A task's part on the bill, from the start of its image pull. It is kept after the API has forgotten the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub task_arn: String,
    pub cluster_arn: String,
    pub region: String,
    pub family: String,
    /// `service:NAME` for a service's task, else the group of the RunTask request.
    pub group: String,
    pub tags: Vec<(String, String)>,
    /// On Graviton.
    pub arm: bool,
    /// On Fargate Spot.
    pub spot: bool,
    /// CPU units; 1024 per vCPU.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// GiB.
    pub ephemeral_storage: u32,
    /// When the image pull began.
    pub from: Timestamp,
    /// When the task was STOPPED; `None` while it is not.
    pub until: Option<Timestamp>,
}

impl Usage {
    pub fn vcpu(&self) -> f64 {
        f64::from(self.cpu) / 1024.0
    }

    /// GB as Fargate counts them: 1024 MiB.
    pub fn gb(&self) -> f64 {
        f64::from(self.memory) / 1024.0
    }

    /// When it ended, or `now` if it has not by then.
    pub fn end(&self, now: Timestamp) -> Timestamp {
        self.until.map_or(now, |until| until.min(now)).max(self.from)
    }

    /// Whether it is still billed at `now`.
    pub fn is_running(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// The task's id: the last part of its ARN.
    pub fn task_id(&self) -> &str {
        last(&self.task_arn)
    }

    /// The cluster's name: the last part of its ARN.
    pub fn cluster(&self) -> &str {
        last(&self.cluster_arn)
    }

    pub fn service(&self) -> Option<&str> {
        self.group.strip_prefix("service:")
    }

    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The seconds billed for a time: a begun second counts as a whole one, and at least `minimum`.
pub fn billed_seconds(from: Timestamp, until: Timestamp, minimum: u32) -> f64 {
    let millis = until.millis().saturating_sub(from.millis()).max(0);
    let seconds = u64::try_from(millis.saturating_add(SECOND - 1) / SECOND).unwrap_or(0);
    std::time::Duration::from_secs(seconds).as_secs_f64().max(f64::from(minimum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begun_second_is_billed_whole_and_a_minute_at_least() {
        for (millis, seconds) in
            [(0, 60.0), (1, 60.0), (60_000, 60.0), (60_001, 61.0), (61_000, 61.0), (3_600_500, 3601.0)]
        {
            assert_eq!(billed_seconds(Timestamp(5), Timestamp(5 + millis), 60), seconds, "{millis} ms");
        }
        assert_eq!(billed_seconds(Timestamp(9000), Timestamp(0), 60), 60.0, "a clock that was set back");
    }
}
