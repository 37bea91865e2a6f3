//! The report as a table for people.

use super::report::{By, Group, Report, Sum, rfc3339};

/// Shown for tasks that have no service, or do not have the tag.
fn unnamed(by: &By) -> String {
    match by {
        By::Service => "(no service)".to_owned(),
        By::Tag(key) => format!("(no tag {key})"),
        By::Task | By::Cluster => String::new(),
    }
}

/// The whole report: the heading, the table, EC2, where the prices are from.
pub fn text(report: &Report) -> String {
    let Report { by, generated_at, from, until, prices, groups, total, ec2, timeline: _ } = report;
    if groups.is_empty() {
        return format!("No task has cost anything until {}.\n", second(&rfc3339(*generated_at)));
    }
    let mut out = format!(
        "{}, {} running, by {by}, {} to {}\n\n",
        counted(total.tasks, "task"),
        total.running_tasks,
        second(&rfc3339(*from)),
        second(&rfc3339(*until)),
    );

    let first: &[&str] = match by {
        By::Task => &["TASK", "CLUSTER", "GROUP", "STATE"],
        By::Service => &["SERVICE", "TASKS", "RUNNING"],
        By::Cluster => &["CLUSTER", "TASKS", "RUNNING"],
        By::Tag(_) => &["TAG", "TASKS", "RUNNING"],
    };
    let heads = first.iter().chain(&["SECONDS", "VCPU-SECONDS", "GB-SECONDS", "DOLLARS"]);
    let mut rows = vec![heads.map(|head| (*head).to_owned()).collect()];
    rows.extend(groups.iter().map(|group| row(by, group)));
    rows.push(total_row(by, total));
    // Names to the left, numbers to the right.
    let names = if *by == By::Task { 4 } else { 1 };
    out.push_str(&aligned(&rows, names));

    let more = 100.0 * (ec2.dollars / total.bill.dollars - 1.0);
    let compared = match more {
        more if !more.is_finite() => String::new(),
        more if more.abs() < 0.5 => ", as much as Fargate".to_owned(),
        more if more >= 0.0 => format!(", {more:.0} % more than Fargate"),
        more => format!(", {:.0} % less than Fargate", -more),
    };
    out.push_str(&format!(
        "\nThe same on EC2 {}: at most {} of {} vCPU and {} GiB, {:.0} instance-seconds, ${:.6}{compared}\n",
        ec2.instance_type,
        counted(ec2.peak_instances, "instance"),
        ec2.vcpu,
        ec2.memory_gib,
        ec2.instance_seconds,
        ec2.dollars,
    ));
    if ec2.tasks_too_large > 0 {
        let tasks = counted(ec2.tasks_too_large, "task");
        out.push_str(&format!("  without {tasks} too large for one {}\n", ec2.instance_type));
    }
    out.push_str(&format!("Prices of {} ({})\n", prices.date, prices.source));
    for note in &prices.notes {
        out.push_str(&format!("  {note}\n"));
    }
    out
}

fn row(by: &By, group: &Group) -> Vec<String> {
    let last = |arn: &str| arn.rsplit('/').next().unwrap_or(arn).to_owned();
    let mut row = match (by, &group.key, &group.task) {
        (By::Task, Some(arn), Some(task)) => {
            let state = if task.until.is_none() { "running" } else { "stopped" };
            return [last(arn), last(&task.cluster_arn), task.group.clone(), state.to_owned()]
                .into_iter()
                .chain(numbers(&group.sum))
                .collect();
        }
        (By::Cluster, Some(arn), _) => vec![last(arn)],
        (_, Some(key), _) => vec![key.clone()],
        (_, None, _) => vec![unnamed(by)],
    };
    row.extend([group.sum.tasks.to_string(), group.sum.running_tasks.to_string()]);
    row.extend(numbers(&group.sum));
    row
}

fn total_row(by: &By, total: &Sum) -> Vec<String> {
    let counts = match by {
        By::Task => vec![String::new(); 3],
        _ => vec![total.tasks.to_string(), total.running_tasks.to_string()],
    };
    std::iter::once("TOTAL".to_owned()).chain(counts).chain(numbers(total)).collect()
}

fn numbers(sum: &Sum) -> [String; 4] {
    let bill = &sum.bill;
    [
        format!("{:.0}", bill.seconds),
        format!("{:.2}", bill.vcpu_seconds),
        format!("{:.2}", bill.gb_seconds),
        format!("{:.6}", bill.dollars),
    ]
}

/// Columns as wide as their widest cell, two spaces apart; the first `names` of them to the left.
fn aligned(rows: &[Vec<String>], names: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column < names {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn counted(count: u32, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A time without fractions of a second.
fn second(rfc3339: &str) -> String {
    match rfc3339.split_once('.') {
        Some((second, _)) => format!("{second}Z"),
        None => rfc3339.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{NOW, usages};
    use super::super::{Prices, Query, report};
    use super::text;

    fn by(by: &str) -> String {
        let query = Query { by: by.parse().unwrap(), ..Query::default() };
        text(&report(usages(), &Prices::builtin(), &query, NOW).unwrap())
    }

    #[test]
    fn the_table_is_as_its_golden_file() {
        let written = [by("task"), by("service"), by("tag:team")].join("\n");
        let golden = include_str!("golden.txt");
        assert!(written == golden, "golden.txt should be:\n{written}");
    }

    #[test]
    fn a_report_of_nothing_is_one_line() {
        let nothing = report(Vec::new(), &Prices::builtin(), &Query::default(), NOW).unwrap();
        assert_eq!(text(&nothing), "No task has cost anything until 2026-09-21T14:28:20Z.\n");
    }
}
