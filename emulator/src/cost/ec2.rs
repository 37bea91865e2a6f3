//! The same load on EC2: at each time the fewest instances of one type that hold the running tasks, paid by the second.
//!
//! Packing is first-fit decreasing, a heuristic: at most 22 % and one instance above the fewest possible in one dimension,
//! and nearly always equal to them. Tasks are packed again at each change, as though they could be moved. Ignored, in
//! favour of EC2: what the system and the container agent take of an instance, the time that an instance needs to boot,
//! clusters and zones, disks, and an ARM task's need of a Graviton type.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::bill::HOUR;
use super::prices::{Instance, Prices};
use super::usage::{Usage, billed_seconds};
use crate::clock::Timestamp;

/// Seconds that an instance is billed at least (Amazon EC2 On-Demand pricing).
const MINIMUM: u32 = 60;

/// CPU units and MiB.
type Size = (u32, u32);

/// What the load would be on EC2.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub instance_type: String,
    pub vcpu: u32,
    pub memory_gib: u32,
    /// The most instances at once.
    pub peak_instances: u32,
    /// Billed ones, of all instances.
    pub instance_seconds: f64,
    pub dollars: f64,
    /// Tasks that do not fit on such an instance even alone; they are left out.
    pub tasks_too_large: u32,
}

/// The instances over the whole time, which can be queried for any part of it.
#[derive(Debug)]
pub struct Fleet {
    regions: Vec<Rented>,
    /// The number of instances in all regions, from each time on.
    steps: Vec<(Timestamp, u32)>,
    tasks_too_large: u32,
}

/// The instances of one region.
#[derive(Debug)]
struct Rented {
    hour: f64,
    /// From when to when each was paid for; `None`: it still is.
    times: Vec<(Timestamp, Option<Timestamp>)>,
}

impl Fleet {
    /// The fleet for `usages`; `None`: the instance type is not in the table.
    pub fn of(usages: &[Usage], instance_type: &str, prices: &Prices, now: Timestamp) -> Option<Self> {
        let regions: BTreeSet<&str> = usages.iter().map(|usage| usage.region.as_str()).collect();
        let mut fleet = Self { regions: Vec::new(), steps: Vec::new(), tasks_too_large: 0 };
        let mut changes: BTreeMap<Timestamp, Vec<(usize, u32)>> = BTreeMap::new();
        for (index, region) in regions.into_iter().enumerate() {
            let instance = prices.instance(instance_type, region)?;
            let (fitting, too_large): (Vec<&Usage>, Vec<&Usage>) = usages
                .iter()
                .filter(|usage| usage.region == region)
                .partition(|usage| fits((usage.cpu, usage.memory), capacity(&instance)));
            fleet.tasks_too_large += u32::try_from(too_large.len()).unwrap_or(u32::MAX);
            let needed = needed_over_time(&fitting, capacity(&instance), now);
            for (at, count) in &needed {
                changes.entry(*at).or_default().push((index, *count));
            }
            fleet.regions.push(Rented { hour: instance.hour, times: rent(&needed) });
        }
        let mut counts = vec![0; fleet.regions.len()];
        for (at, changed) in changes {
            for (region, count) in changed {
                counts[region] = count;
            }
            fleet.steps.push((at, counts.iter().sum()));
        }
        Some(fleet)
    }

    /// How many instances there are, from each time on.
    pub fn steps(&self) -> &[(Timestamp, u32)] {
        &self.steps
    }

    /// Billed instance-seconds and dollars until `now`.
    pub fn bill(&self, now: Timestamp) -> (f64, f64) {
        let of = |rented: &Rented| {
            let begun = rented.times.iter().filter(|(from, _)| *from <= now);
            let seconds: f64 = begun
                .map(|(from, until)| {
                    billed_seconds(*from, until.map_or(now, |until| until.min(now)), MINIMUM)
                })
                .sum();
            (seconds, seconds * rented.hour / HOUR)
        };
        self.regions.iter().map(of).fold((0.0, 0.0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }

    pub fn comparison(&self, instance_type: &str, instance: &Instance, now: Timestamp) -> Comparison {
        let (instance_seconds, dollars) = self.bill(now);
        Comparison {
            instance_type: instance_type.to_owned(),
            vcpu: instance.vcpu,
            memory_gib: instance.memory,
            peak_instances: self.steps.iter().map(|(_, count)| *count).max().unwrap_or_default(),
            instance_seconds,
            dollars,
            tasks_too_large: self.tasks_too_large,
        }
    }
}

fn capacity(instance: &Instance) -> Size {
    (instance.vcpu.saturating_mul(1024), instance.memory.saturating_mul(1024))
}

fn fits(task: Size, free: Size) -> bool {
    task.0 <= free.0 && task.1 <= free.1
}

/// From each time on at which it changes, how many instances are needed.
fn needed_over_time(usages: &[&Usage], capacity: Size, now: Timestamp) -> Vec<(Timestamp, u32)> {
    let mut changes: BTreeMap<Timestamp, Vec<(Size, bool)>> = BTreeMap::new();
    for usage in usages {
        let size = (usage.cpu, usage.memory);
        changes.entry(usage.from).or_default().push((size, true));
        if !usage.is_running(now) {
            changes.entry(usage.end(now)).or_default().push((size, false));
        }
    }
    let mut running: BTreeMap<Size, u32> = BTreeMap::new();
    let mut needed: Vec<(Timestamp, u32)> = Vec::new();
    for (at, changes) in changes {
        // Starts first: a task that began and ended within a millisecond is added and removed in one step.
        for (size, starts) in
            changes.iter().filter(|(_, starts)| *starts).chain(changes.iter().filter(|(_, starts)| !starts))
        {
            let count = running.entry(*size).or_default();
            *count = if *starts { *count + 1 } else { count.saturating_sub(1) };
        }
        running.retain(|_, count| *count > 0);
        let count = pack(&running, capacity);
        if needed.last().is_none_or(|(_, last)| *last != count) {
            needed.push((at, count));
        }
    }
    needed
}

/// How many instances first-fit decreasing fills. Tasks of one size are placed together: Fargate has few sizes.
fn pack(tasks: &BTreeMap<Size, u32>, capacity: Size) -> u32 {
    // By the larger of its shares of an instance's vCPU and memory; compared without dividing.
    let share = |(cpu, memory): Size| {
        (u64::from(cpu) * u64::from(capacity.1)).max(u64::from(memory) * u64::from(capacity.0))
    };
    let mut sizes: Vec<(Size, u32)> = tasks.iter().map(|(size, count)| (*size, *count)).collect();
    sizes.sort_by_key(|(size, _)| std::cmp::Reverse((share(*size), *size)));

    // Runs of instances that are equally free, in the order in which they were opened.
    let mut open: Vec<(Size, u32)> = Vec::new();
    for (size, mut left) in sizes {
        let mut after = Vec::with_capacity(open.len() + 2);
        for (free, instances) in open {
            fill(&mut after, free, instances, size, &mut left);
        }
        while left > 0 {
            // Only tasks that have a size and that fit get here.
            fill(&mut after, capacity, left, size, &mut left);
            after.retain(|(free, _)| *free != capacity);
        }
        open = after;
    }
    open.iter().map(|(_, instances)| instances).sum()
}

/// Puts as many of `left` tasks as fit into `instances` that are each so `free`, the first ones first.
fn fill(after: &mut Vec<(Size, u32)>, free: Size, instances: u32, size: Size, left: &mut u32) {
    let each = (free.0 / size.0.max(1)).min(free.1 / size.1.max(1));
    if each == 0 || *left == 0 {
        return after.push((free, instances));
    }
    let minus = |tasks: u32| (free.0 - tasks * size.0, free.1 - tasks * size.1);
    let full = (*left / each).min(instances);
    *left -= full * each;
    let partly = if full < instances { *left } else { 0 };
    *left -= partly;
    let rest = instances - full - u32::from(partly > 0);
    let runs = [(minus(each), full), (minus(partly), u32::from(partly > 0)), (free, rest)];
    after.extend(runs.into_iter().filter(|(_, instances)| *instances > 0));
}

/// When each instance is rented: the one that was opened last is given up first. One whose minimum is not used up is kept.
fn rent(needed: &[(Timestamp, u32)]) -> Vec<(Timestamp, Option<Timestamp>)> {
    let paid_until =
        |from: Timestamp, until: Timestamp| until.max(from.plus(Duration::from_secs(u64::from(MINIMUM))));
    // Per instance, its times in order.
    let mut levels: Vec<Vec<(Timestamp, Option<Timestamp>)>> = Vec::new();
    for (at, count) in needed {
        let count = usize::try_from(*count).unwrap_or(usize::MAX);
        levels.resize_with(levels.len().max(count), Vec::new);
        for (level, times) in levels.iter_mut().enumerate() {
            match times.last_mut() {
                Some((_, until @ None)) if level >= count => *until = Some(*at),
                Some((from, until @ Some(_))) if level < count => {
                    match until.is_some_and(|until| paid_until(*from, until) >= *at) {
                        true => *until = None,
                        false => times.push((*at, None)),
                    }
                }
                None if level < count => times.push((*at, None)),
                _ => {}
            }
        }
    }
    levels.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const M5_LARGE: Size = (2048, 8192);

    fn usage(cpu: u32, memory: u32, from: i64, until: Option<i64>) -> Usage {
        Usage {
            task_arn: String::new(),
            cluster_arn: String::new(),
            region: "us-east-1".into(),
            family: String::new(),
            group: String::new(),
            tags: Vec::new(),
            arm: false,
            spot: false,
            cpu,
            memory,
            ephemeral_storage: 20,
            from: Timestamp(from * 1000),
            until: until.map(|until| Timestamp(until * 1000)),
        }
    }

    #[test]
    fn the_fewest_instances_hold_the_vcpu_and_the_memory() {
        /// What the row shows; sizes and how many tasks of each; instances.
        type Row<'r> = (&'r str, &'r [(Size, u32)], u32);
        let rows: [Row<'_>; 8] = [
            ("nothing", &[], 0),
            ("eight quarters of a vCPU", &[((256, 512), 8)], 1),
            ("nine of them", &[((256, 512), 9)], 2),
            ("memory decides", &[((256, 4096), 4)], 2),
            ("one large beside small ones", &[((1024, 2048), 1), ((256, 512), 4)], 1),
            ("the large first, the small in its gap", &[((1024, 7168), 2), ((512, 1024), 4)], 3),
            ("vCPU and memory complement each other", &[((1792, 1024), 1), ((256, 6144), 1)], 1),
            ("ten thousand", &[((256, 512), 10_000)], 1250),
        ];
        for (what, tasks, instances) in rows {
            assert_eq!(pack(&tasks.iter().copied().collect(), M5_LARGE), instances, "{what}");
        }
    }

    #[test]
    fn an_instance_is_paid_from_its_first_task_to_its_last_and_a_minute_at_least() {
        let fleet = |usages: &[Usage], now: i64| {
            let (prices, now) = (Prices::builtin(), Timestamp(now * 1000));
            let fleet = Fleet::of(usages, "m5.large", &prices, now).unwrap();
            let instance = prices.instance("m5.large", "us-east-1").unwrap();
            let comparison = fleet.comparison("m5.large", &instance, now);
            (comparison.peak_instances, comparison.instance_seconds, comparison.tasks_too_large)
        };
        let small = |from, until| usage(256, 512, from, until);
        let large = |from, until| usage(2048, 4096, from, until);
        assert_eq!(fleet(&[], 10), (0, 0.0, 0));
        assert_eq!(fleet(&[small(0, Some(5))], 1000), (1, 60.0, 0), "a minute at least");
        assert_eq!(fleet(&[small(0, None)], 100), (1, 100.0, 0), "until now");
        assert_eq!(fleet(&[small(0, Some(90)), small(90, Some(200))], 1000), (1, 200.0, 0), "handed over");
        assert_eq!(
            fleet(&[small(0, Some(10)), small(30, Some(80))], 1000),
            (1, 80.0, 0),
            "kept for its minute"
        );
        assert_eq!(fleet(&[small(0, Some(10)), small(100, Some(110))], 1000), (1, 120.0, 0), "rented twice");
        assert_eq!(
            fleet(&[large(0, Some(100)), large(50, Some(150))], 1000),
            (2, 150.0 + 60.0, 0),
            "moved over"
        );
        assert_eq!(fleet(&[usage(4096, 8192, 0, None), small(0, None)], 100), (1, 100.0, 1), "too large");
    }
}
