//! The report: what each group of tasks used and cost, the same load on EC2, and both over time.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::iter::Peekable;
use std::str::FromStr;
use std::vec;

use serde::{Serialize, Serializer};

use super::bill::{self, Bill};
use super::ec2::{Comparison, Fleet};
use super::prices::{FALLBACK, INSTANCE_TYPE, Prices, Rates};
use super::usage::Usage;
use crate::clock::Timestamp;

/// Points of the timeline; a picture shows no more.
const SAMPLES: u32 = 240;

/// What tasks are grouped by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum By {
    #[default]
    Task,
    Service,
    Cluster,
    /// The value of the tag with this key.
    Tag(String),
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("tag:")) {
            ("task", _) => Ok(Self::Task),
            ("service", _) => Ok(Self::Service),
            ("cluster", _) => Ok(Self::Cluster),
            (_, Some(key)) if !key.is_empty() => Ok(Self::Tag(key.to_owned())),
            _ => Err("task, service, cluster or tag:KEY".to_owned()),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task => f.write_str("task"),
            Self::Service => f.write_str("service"),
            Self::Cluster => f.write_str("cluster"),
            Self::Tag(key) => write!(f, "tag:{key}"),
        }
    }
}

/// The parameters of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub by: By,
    /// The EC2 instance type to compare with.
    pub instance_type: String,
}

impl Default for Query {
    fn default() -> Self {
        Self { by: By::default(), instance_type: INSTANCE_TYPE.to_owned() }
    }
}

/// The report; its JSON is described in `docs/cost.md`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    #[serde(serialize_with = "word")]
    pub by: By,
    #[serde(serialize_with = "time")]
    pub generated_at: Timestamp,
    /// The first image pull.
    #[serde(serialize_with = "time")]
    pub from: Timestamp,
    /// The last task's end, or now if one is running.
    #[serde(serialize_with = "time")]
    pub until: Timestamp,
    pub prices: Source,
    /// The most expensive first.
    pub groups: Vec<Group>,
    pub total: Sum,
    pub ec2: Comparison,
    /// In order, at equal distances.
    pub timeline: Vec<Sample>,
}

/// Where the prices are from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    pub date: String,
    pub source: String,
    /// Prices that were not known, and what was used instead.
    pub notes: Vec<String>,
}

/// Tasks that were grouped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// `None`: tasks of no service, or without the tag.
    pub key: Option<String>,
    #[serde(flatten)]
    pub sum: Sum,
    /// If each task is a group of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// What is billed of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    pub cluster_arn: String,
    pub region: String,
    pub family: String,
    /// `service:NAME` for a service's task, else the group of the RunTask request.
    pub group: String,
    pub tags: BTreeMap<String, String>,
    pub cpu_architecture: &'static str,
    pub spot: bool,
    pub vcpu: f64,
    pub gb: f64,
    pub ephemeral_storage_gib: u32,
    /// When the image pull began.
    #[serde(serialize_with = "time")]
    pub from: Timestamp,
    /// When it stopped.
    #[serde(serialize_with = "maybe_time")]
    pub until: Option<Timestamp>,
}

impl Task {
    fn of(usage: &Usage) -> Self {
        Self {
            cluster_arn: usage.cluster_arn.clone(),
            region: usage.region.clone(),
            family: usage.family.clone(),
            group: usage.group.clone(),
            tags: usage.tags.iter().cloned().collect(),
            cpu_architecture: if usage.arm { "ARM64" } else { "X86_64" },
            spot: usage.spot,
            vcpu: usage.vcpu(),
            gb: usage.gb(),
            ephemeral_storage_gib: usage.ephemeral_storage,
            from: usage.from,
            until: usage.until,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sum {
    pub tasks: u32,
    pub running_tasks: u32,
    #[serde(flatten)]
    pub bill: Bill,
}

/// One point of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    #[serde(serialize_with = "time")]
    pub at: Timestamp,
    /// The most that tasks had reserved at once since the previous sample.
    pub vcpu: f64,
    /// The most instances since the previous sample.
    pub instances: u32,
    /// So far.
    pub fargate_dollars: f64,
    /// So far.
    pub ec2_dollars: f64,
}

/// The report of these tasks at `now`.
///
/// # Errors
/// The instance type is not in the table; the error names those that are.
pub fn report(
    mut usages: Vec<Usage>,
    prices: &Prices,
    query: &Query,
    now: Timestamp,
) -> Result<Report, String> {
    let Query { by, instance_type } = query;
    let unknown = || {
        let known: Vec<&str> = prices.instance_types().collect();
        format!("The price table has no instance type {instance_type}; it has {}.", known.join(", "))
    };
    let instance = prices.instance(instance_type, FALLBACK).ok_or_else(unknown)?;
    let fleet = Fleet::of(&usages, instance_type, prices, now).ok_or_else(unknown)?;
    // Equal sums are in the order of time.
    usages.sort_by(|a, b| (a.from, &a.task_arn).cmp(&(b.from, &b.task_arn)));
    let rates: Vec<Rates> = usages.iter().map(|usage| prices.rates(usage)).collect();
    let groups = groups(&usages, &rates, by, now);
    let until = match usages.iter().any(|usage| usage.is_running(now)) {
        true => now,
        false => usages.iter().map(|usage| usage.end(now)).max().unwrap_or(now),
    };
    let from = usages.first().map_or(now, |usage| usage.from);
    Ok(Report {
        by: by.clone(),
        generated_at: now,
        from,
        until,
        prices: Source {
            date: prices.date().to_owned(),
            source: prices.source().to_owned(),
            notes: prices.notes(&usages, instance_type),
        },
        total: groups.iter().map(|group| group.sum).fold(Sum::default(), add),
        groups,
        ec2: fleet.comparison(instance_type, &instance, now),
        timeline: timeline(&usages, &rates, &fleet, from, until),
    })
}

fn add(a: Sum, b: Sum) -> Sum {
    Sum { tasks: a.tasks + b.tasks, running_tasks: a.running_tasks + b.running_tasks, bill: a.bill + b.bill }
}

fn groups(usages: &[Usage], rates: &[Rates], by: &By, now: Timestamp) -> Vec<Group> {
    let key = |usage: &Usage| match by {
        By::Task => Some(usage.task_arn.clone()),
        // A service's name is unique only within its cluster.
        By::Service => usage.service().map(|service| format!("{}/{service}", usage.cluster())),
        By::Cluster => Some(usage.cluster_arn.clone()),
        By::Tag(tag) => usage.tag(tag).map(str::to_owned),
    };
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<Option<String>, usize> = HashMap::new();
    for (usage, rates) in usages.iter().zip(rates) {
        let sum = Sum {
            tasks: 1,
            running_tasks: u32::from(usage.is_running(now)),
            bill: bill::of(usage, rates, now),
        };
        let key = key(usage);
        let place = *places.entry(key.clone()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.sum = add(group.sum, sum),
            None => {
                let task = (*by == By::Task).then(|| Task::of(usage));
                groups.push(Group { key, sum, task });
            }
        }
    }
    groups.sort_by(|a, b| b.sum.bill.dollars.total_cmp(&a.sum.bill.dollars));
    groups
}

fn timeline(
    usages: &[Usage],
    rates: &[Rates],
    fleet: &Fleet,
    from: Timestamp,
    until: Timestamp,
) -> Vec<Sample> {
    if usages.is_empty() {
        return Vec::new();
    }
    let mut changes: BTreeMap<Timestamp, f64> = BTreeMap::new();
    for usage in usages {
        *changes.entry(usage.from).or_default() += usage.vcpu();
        if let Some(stopped) = usage.until {
            *changes.entry(stopped).or_default() -= usage.vcpu();
        }
    }
    let mut reserved = 0.0;
    let steps = changes.into_iter().map(|(at, change)| {
        reserved += change;
        (at, reserved)
    });
    let mut vcpu = Steps::new(steps.collect());
    let mut instances = Steps::new(fleet.steps().to_vec());
    (0..=SAMPLES)
        .map(|nth| {
            let at = from.plus(until.since(from) * nth / SAMPLES);
            let so_far = usages.iter().zip(rates).map(|(usage, rates)| bill::of(usage, rates, at).dollars);
            Sample {
                at,
                vcpu: vcpu.most_until(at),
                instances: instances.most_until(at),
                fargate_dollars: so_far.sum(),
                ec2_dollars: fleet.bill(at).1,
            }
        })
        .collect()
}

/// Values that hold from each time on, walked along.
struct Steps<T> {
    to_come: Peekable<vec::IntoIter<(Timestamp, T)>>,
    current: T,
}

impl<T: Copy + Default + PartialOrd> Steps<T> {
    fn new(steps: Vec<(Timestamp, T)>) -> Self {
        Self { to_come: steps.into_iter().peekable(), current: T::default() }
    }

    /// The largest value since the last call.
    fn most_until(&mut self, at: Timestamp) -> T {
        let mut most = self.current;
        while let Some((_, next)) = self.to_come.next_if(|(step, _)| *step <= at) {
            self.current = next;
            if next > most {
                most = next;
            }
        }
        most
    }
}

/// In the form of RFC 3339, in UTC, to the millisecond.
pub(super) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).map(|at| at.to_string()).unwrap_or_default()
}

fn time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

fn maybe_time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(serializer)
}

fn word<S: Serializer>(by: &By, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(by)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Four tasks of a quarter of an hour: two of a service, one of them running, one on Spot, one short.
    pub(in crate::cost) fn usages() -> Vec<Usage> {
        let usage = |id: &str, group: &str, from: i64, until: Option<i64>| Usage {
            task_arn: format!("arn:aws:ecs:us-east-1:000000000000:task/shop/{id}"),
            cluster_arn: "arn:aws:ecs:us-east-1:000000000000:cluster/shop".into(),
            region: "us-east-1".into(),
            family: "web".into(),
            group: group.into(),
            tags: vec![("team".into(), "blue".into())],
            arm: false,
            spot: false,
            cpu: 1024,
            memory: 2048,
            ephemeral_storage: 20,
            from: Timestamp(1_790_000_000_000 + from * 1000),
            until: until.map(|until| Timestamp(1_790_000_000_000 + until * 1000)),
        };
        let id = |digit: &str| digit.repeat(32);
        vec![
            usage(&id("1"), "service:front", 0, Some(600)),
            usage(&id("2"), "service:front", 60, None),
            Usage { spot: true, tags: Vec::new(), ..usage(&id("3"), "family:batch", 120, Some(420)) },
            Usage {
                cpu: 256,
                memory: 512,
                region: "eu-central-1".into(),
                ..usage(&id("4"), "family:batch", 300, Some(310))
            },
        ]
    }

    pub(in crate::cost) const NOW: Timestamp = Timestamp(1_790_000_900_000);

    fn by(by: &str) -> Report {
        let query = Query { by: by.parse().unwrap(), ..Query::default() };
        report(usages(), &Prices::builtin(), &query, NOW).unwrap()
    }

    #[test]
    fn tasks_are_grouped_by_service_cluster_and_tag() {
        let groups = |report: Report| -> Vec<(Option<String>, u32, f64)> {
            report
                .groups
                .into_iter()
                .map(|group| (group.key, group.sum.tasks, group.sum.bill.seconds))
                .collect()
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(groups(by("service")), [(some("shop/front"), 2, 600.0 + 840.0), (None, 2, 300.0 + 60.0)]);
        let cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/shop";
        assert_eq!(groups(by("cluster")), [(some(cluster), 4, 1800.0)]);
        assert_eq!(groups(by("tag:team")), [(some("blue"), 3, 1500.0), (None, 1, 300.0)]);
        assert_eq!(by("task").groups.len(), 4);
        for wrong in ["", "tag:", "family"] {
            assert!(wrong.parse::<By>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn however_tasks_are_grouped_the_total_is_the_same() {
        let totals: Vec<Sum> =
            ["task", "service", "cluster", "tag:team"].map(|kind| by(kind).total).into_iter().collect();
        assert_eq!((totals[0].tasks, totals[0].running_tasks), (4, 1));
        for total in &totals {
            assert!((total.bill.dollars - totals[0].bill.dollars).abs() < 1e-12, "{totals:?}");
        }
    }

    #[test]
    fn the_timeline_ends_at_the_totals_and_shows_the_peak() {
        let report = by("task");
        let last = report.timeline.last().unwrap();
        assert_eq!(last.at, NOW);
        assert!((last.fargate_dollars - report.total.bill.dollars).abs() < 1e-12);
        assert!((last.ec2_dollars - report.ec2.dollars).abs() < 1e-12);
        let peak = report.timeline.iter().map(|sample| sample.vcpu).fold(0.0, f64::max);
        assert_eq!(peak, 3.25, "though the smallest task ran for less than a point's distance");
        assert_eq!(
            report.timeline.iter().map(|sample| sample.instances).max(),
            Some(report.ec2.peak_instances)
        );
    }

    #[test]
    fn prices_of_another_region_are_reported() {
        let notes = by("task").prices.notes;
        assert_eq!(notes, ["Spot prices change daily: a sample is used"]);
        let elsewhere =
            usages().into_iter().map(|usage| Usage { region: "eu-south-1".into(), ..usage }).collect();
        let notes = report(elsewhere, &Prices::builtin(), &Query::default(), NOW).unwrap().prices.notes;
        assert_eq!(notes[0], "the table has no m5.large price of eu-south-1: that of us-east-1 is used");
        assert_eq!(notes.len(), 4, "{notes:?}");
    }

    #[test]
    fn a_report_of_nothing_is_empty() {
        let report = report(Vec::new(), &Prices::builtin(), &Query::default(), NOW).unwrap();
        assert_eq!((report.groups.len(), report.timeline.len(), report.total), (0, 0, Sum::default()));
    }

    #[test]
    fn an_unknown_instance_type_is_refused_with_those_that_are_known() {
        let query = Query { instance_type: "m5.small".into(), ..Query::default() };
        let refused = report(usages(), &Prices::builtin(), &query, NOW).unwrap_err();
        assert!(refused.contains("m5.small") && refused.contains("m5.large"), "{refused}");
    }
}
