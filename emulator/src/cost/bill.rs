//! One task's bill.
//!
//! Source: AWS Fargate pricing: "from the time you start to download your container image until the Amazon ECS Task …
//! terminates, rounded up to the nearest second", at least one minute for Linux, 20 GB of ephemeral storage free of
//! charge.

use std::iter::Sum;
use std::ops::Add;

use fargate_facts::storage;
use serde::Serialize;

use super::prices::{Prices, Rates};
use super::usage::{Usage, billed_seconds};
use crate::clock::Timestamp;

/// Seconds that a Linux task is billed at least.
const MINIMUM: u32 = 60;

/// Seconds per hour: prices are per hour.
pub const HOUR: f64 = 3600.0;

/// What was used and what it costs; a sum of bills is a bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// Billed ones.
    pub seconds: f64,
    pub vcpu_seconds: f64,
    pub gb_seconds: f64,
    /// Beyond the 20 GB that are free.
    pub storage_gb_seconds: f64,
    pub dollars: f64,
}

impl Add for Bill {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            vcpu_seconds: self.vcpu_seconds + other.vcpu_seconds,
            gb_seconds: self.gb_seconds + other.gb_seconds,
            storage_gb_seconds: self.storage_gb_seconds + other.storage_gb_seconds,
            dollars: self.dollars + other.dollars,
        }
    }
}

impl Sum for Bill {
    fn sum<I: Iterator<Item = Self>>(bills: I) -> Self {
        bills.fold(Self::default(), Add::add)
    }
}

/// The bill of a task at `now`; nothing before its pull began.
pub fn bill(usage: &Usage, prices: &Prices, now: Timestamp) -> Bill {
    of(usage, &prices.rates(usage), now)
}

/// [`bill`] by rates that were looked up before.
pub fn of(usage: &Usage, rates: &Rates, now: Timestamp) -> Bill {
    if now < usage.from {
        return Bill::default();
    }
    let seconds = billed_seconds(usage.from, usage.end(now), MINIMUM);
    let vcpu_seconds = seconds * usage.vcpu();
    let gb_seconds = seconds * usage.gb();
    let storage_gb_seconds = seconds * f64::from(usage.ephemeral_storage.saturating_sub(storage::INCLUDED));
    let dollars =
        (vcpu_seconds * rates.vcpu + gb_seconds * rates.gb + storage_gb_seconds * rates.storage) / HOUR;
    Bill { seconds, vcpu_seconds, gb_seconds, storage_gb_seconds, dollars }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 vCPU, 2 GB, from 0 to `millis`.
    fn usage(millis: i64) -> Usage {
        Usage {
            task_arn: "arn:aws:ecs:us-east-1:000000000000:task/default/1".into(),
            cluster_arn: "arn:aws:ecs:us-east-1:000000000000:cluster/default".into(),
            region: "us-east-1".into(),
            family: "app".into(),
            group: "family:app".into(),
            tags: Vec::new(),
            arm: false,
            spot: false,
            cpu: 1024,
            memory: 2048,
            ephemeral_storage: 20,
            from: Timestamp(0),
            until: Some(Timestamp(millis)),
        }
    }

    const LATER: Timestamp = Timestamp(i64::MAX);

    #[test]
    fn each_kind_of_task_is_billed_by_its_own_price() {
        let hour = usage(3_600_000);
        let rows = [
            ("x86", hour.clone(), 0.04048 + 2.0 * 0.004445),
            ("ARM", Usage { arm: true, ..hour.clone() }, 0.03238 + 2.0 * 0.00356),
            ("Spot", Usage { spot: true, ..hour.clone() }, 0.01288871 + 2.0 * 0.00141527),
            ("ARM Spot", Usage { arm: true, spot: true, ..hour.clone() }, 0.01030969 + 2.0 * 0.00113349),
            ("Tokyo", Usage { region: "ap-northeast-1".into(), ..hour.clone() }, 0.05056 + 2.0 * 0.00553),
            ("30 GB", Usage { ephemeral_storage: 30, ..hour.clone() }, 0.04937 + 10.0 * 0.000111),
            ("a quarter", Usage { cpu: 256, memory: 512, ..hour }, 0.01012 + 0.5 * 0.004445),
            ("a second", usage(1000), 0.04937 / 60.0),
            ("61.001 s", usage(61_001), 0.04937 * 62.0 / 3600.0),
        ];
        for (what, usage, dollars) in rows {
            let bill = bill(&usage, &Prices::builtin(), LATER);
            assert!((bill.dollars - dollars).abs() < 1e-12, "{what}: {} is not {dollars}", bill.dollars);
        }
    }

    #[test]
    fn a_running_task_is_billed_until_now_and_none_before_its_pull() {
        let running = Usage { until: None, from: Timestamp(10_000), ..usage(0) };
        let seconds = |now| bill(&running, &Prices::builtin(), Timestamp(now)).seconds;
        assert_eq!(
            [seconds(9_999), seconds(10_000), seconds(80_000), seconds(200_500)],
            [0.0, 60.0, 70.0, 191.0]
        );
    }

    #[test]
    fn what_was_used_is_counted_in_vcpu_gb_and_storage_seconds() {
        let used =
            bill(&Usage { cpu: 512, ephemeral_storage: 25, ..usage(100_000) }, &Prices::builtin(), LATER);
        assert_eq!(
            [used.seconds, used.vcpu_seconds, used.gb_seconds, used.storage_gb_seconds],
            [100.0, 50.0, 200.0, 500.0]
        );
    }
}
