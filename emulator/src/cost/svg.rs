//! The report as a picture: vCPU over time, and what it has cost so far. Self-contained, no script.

use std::fmt::Write as _;
use std::time::Duration;

use super::report::{Report, Sample};
use crate::clock::Timestamp;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 600.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 872.0;

const FARGATE: &str = "#0b66c3";
const EC2: &str = "#d9730d";

/// Distances of marks on the time axis, in seconds.
const TIMES: [u64; 22] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
    604_800, 2_592_000, 31_536_000,
];

/// Marks on the time axis at most.
const MARKS: u64 = 8;

/// One of the two plots.
struct Panel {
    top: f64,
    bottom: f64,
    /// The value at the top.
    most: f64,
    from: Timestamp,
    span: f64,
}

impl Panel {
    fn x(&self, at: Timestamp) -> f64 {
        LEFT + (RIGHT - LEFT) * at.since(self.from).as_secs_f64() / self.span
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * value / self.most
    }

    /// Points of a line; as steps, a value holds from the previous point.
    fn points(&self, samples: &[Sample], steps: bool, value: impl Fn(&Sample) -> f64) -> String {
        let mut points = String::new();
        let mut before = None;
        for sample in samples {
            let (x, y) = (self.x(sample.at), self.y(value(sample)));
            if let (true, Some(before)) = (steps, before) {
                let _ = write!(points, "{before:.1},{y:.1} ");
            }
            let _ = write!(points, "{x:.1},{y:.1} ");
            before = Some(x);
        }
        points
    }
}

/// The picture.
pub fn svg(report: &Report) -> String {
    let Report { by: _, generated_at: _, from, until, prices, groups: _, total, ec2, timeline } = report;
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="12" fill="#333">
<rect width="100%" height="100%" fill="#fff"/>
<text x="{LEFT}" y="30" font-size="18" font-weight="600" fill="#111">What the tasks cost</text>
"##
    );
    if timeline.is_empty() {
        let _ = write!(out, r#"<text x="{LEFT}" y="60">No task has cost anything so far.</text>"#);
        return out + "\n</svg>\n";
    }
    let subtitle = format!(
        "{} tasks, {} running · Fargate ${:.4} · EC2 {} ${:.4} · prices of {}",
        total.tasks, total.running_tasks, total.bill.dollars, ec2.instance_type, ec2.dollars, prices.date,
    );
    let _ = writeln!(out, r##"<text x="{LEFT}" y="50" fill="#666">{}</text>"##, escape(&subtitle));

    let rented = |sample: &Sample| f64::from(sample.instances) * f64::from(ec2.vcpu);
    let span = until.since(*from).as_secs_f64().max(0.001);
    let most = |value: &dyn Fn(&Sample) -> f64| timeline.iter().map(value).fold(0.0, f64::max);
    let vcpu = Panel { top: 96.0, bottom: 280.0, most: 0.0, from: *from, span };
    let dollars = Panel { top: 360.0, bottom: 544.0, most: 0.0, from: *from, span };

    let vcpu = axes(&mut out, vcpu, "vCPU", most(&|sample| sample.vcpu.max(rented(sample))), *until);
    let line = vcpu.points(timeline, true, |sample| sample.vcpu);
    let (left, right, bottom) = (vcpu.x(*from), vcpu.x(*until), vcpu.bottom);
    let _ = writeln!(
        out,
        r#"<polygon points="{left:.1},{bottom} {line}{right:.1},{bottom}" fill="{FARGATE}" fill-opacity="0.16"/>"#
    );
    stroke(&mut out, &line, FARGATE, false);
    stroke(&mut out, &vcpu.points(timeline, true, rented), EC2, true);
    let owned = format!("of the {} instances that hold them", ec2.instance_type);
    legend(&mut out, &vcpu, [(FARGATE, false, "reserved by tasks"), (EC2, true, &owned)]);

    let top = most(&|sample| sample.fargate_dollars.max(sample.ec2_dollars));
    let dollars = axes(&mut out, dollars, "US dollars so far", top, *until);
    stroke(&mut out, &dollars.points(timeline, false, |sample| sample.ec2_dollars), EC2, true);
    stroke(&mut out, &dollars.points(timeline, false, |sample| sample.fargate_dollars), FARGATE, false);
    let on_ec2 = format!("EC2 {}", ec2.instance_type);
    legend(&mut out, &dollars, [(FARGATE, false, "Fargate"), (EC2, true, &on_ec2)]);
    let _ = writeln!(out, r##"<text x="{RIGHT}" y="588" text-anchor="end" fill="#666">time, UTC</text>"##);
    out + "</svg>\n"
}

/// Draws the axes of a panel up to a round value above `most`, and returns the panel so scaled.
fn axes(out: &mut String, panel: Panel, title: &str, most: f64, until: Timestamp) -> Panel {
    let step = round_step(most);
    let panel = Panel { most: (most / step).ceil().max(1.0) * step, ..panel };
    let _ = writeln!(
        out,
        r##"<text x="{LEFT}" y="{}" font-weight="600" fill="#111">{title}</text>"##,
        panel.top - 14.0
    );
    let mut value = 0.0;
    while value <= panel.most + step / 2.0 {
        let y = panel.y(value);
        let _ = writeln!(
            out,
            r##"<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}" stroke="{}"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"##,
            if value == 0.0 { "#888" } else { "#e4e4e4" },
            LEFT - 8.0,
            y + 4.0,
            label(value, step),
        );
        value += step;
    }
    for at in marks(panel.from, until) {
        let x = panel.x(at);
        let (bottom, below, text) = (panel.bottom, panel.bottom + 5.0, clock(at, panel.span));
        let _ = writeln!(
            out,
            r##"<line x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{below}" stroke="#888"/><text x="{x:.1}" y="{}" text-anchor="middle">{text}</text>"##,
            panel.bottom + 20.0,
        );
    }
    panel
}

fn stroke(out: &mut String, points: &str, colour: &str, dashed: bool) {
    let dash = if dashed { r#" stroke-dasharray="6 4""# } else { "" };
    let _ = writeln!(
        out,
        r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"{dash}/>"#
    );
}

/// Above the panel, from the right.
fn legend(out: &mut String, panel: &Panel, entries: [(&str, bool, &str); 2]) {
    let y = panel.top - 14.0;
    let mut right = RIGHT;
    for (colour, dashed, text) in entries.into_iter().rev() {
        let dash = if dashed { r#" stroke-dasharray="6 4""# } else { "" };
        // Some 6.6 units per letter, at this size.
        let left = right - 6.6 * text.chars().map(|_| 1.0).sum::<f64>() - 34.0;
        let _ = writeln!(
            out,
            r#"<line x1="{left:.1}" x2="{:.1}" y1="{:.1}" y2="{:.1}" stroke="{colour}" stroke-width="2"{dash}/><text x="{:.1}" y="{y:.1}">{}</text>"#,
            left + 26.0,
            y - 4.0,
            y - 4.0,
            left + 32.0,
            escape(text),
        );
        right = left - 20.0;
    }
}

/// A distance of 1, 2 or 5 times a power of ten that gives about four marks up to `most`.
fn round_step(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let rough = most / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|step| *step >= rough).unwrap_or(10.0 * power)
}

/// With as many decimals as the distance of marks needs.
fn label(value: f64, step: f64) -> String {
    match step {
        step if step >= 1.0 => format!("{value:.0}"),
        step if step >= 0.1 => format!("{value:.1}"),
        step if step >= 0.01 => format!("{value:.2}"),
        step if step >= 0.001 => format!("{value:.3}"),
        step if step >= 0.0001 => format!("{value:.4}"),
        _ => format!("{value:.6}"),
    }
}

/// Round times between `from` and `until`.
fn marks(from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let span = until.since(from).as_secs();
    let step = TIMES.into_iter().find(|step| span / step < MARKS).unwrap_or_else(|| span.max(1));
    let millis = i64::try_from(step.saturating_mul(1000)).unwrap_or(i64::MAX);
    let first =
        Timestamp((from.millis().saturating_add(millis - 1)).div_euclid(millis).saturating_mul(millis));
    let next = |at: &Timestamp| Some(at.plus(Duration::from_secs(step)));
    std::iter::successors(Some(first), next).take_while(|at| *at <= until).collect()
}

/// A time, as precisely as the whole span needs.
fn clock(at: Timestamp, span: f64) -> String {
    let format = match span {
        span if span < 480.0 => "%H:%M:%S",
        span if span < 86_400.0 => "%H:%M",
        span if span < 8.0 * 86_400.0 => "%d %b %H:%M",
        _ => "%d %b %Y",
    };
    jiff::Timestamp::from_millisecond(at.millis())
        .map(|at| at.strftime(format).to_string())
        .unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{NOW, usages};
    use super::super::{Prices, Query, report};
    use super::*;

    #[test]
    fn the_picture_draws_both_lines_of_both_plots_within_its_frame() {
        let drawn = svg(&report(usages(), &Prices::builtin(), &Query::default(), NOW).unwrap());
        assert_eq!(drawn.matches("<polyline").count(), 4, "{drawn}");
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        let points = drawn.split("points=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for point in points.flat_map(str::split_whitespace) {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((LEFT..=RIGHT).contains(&x) && (96.0..=544.0).contains(&y), "{point}");
        }
    }

    #[test]
    fn marks_are_round_and_few() {
        for (most, step) in [(0.0, 1.0), (3.25, 1.0), (40.0, 10.0), (0.0007, 0.0002), (9.0, 5.0)] {
            assert!((round_step(most) - step).abs() < 1e-12, "{most}: {}", round_step(most));
        }
        for seconds in [0, 1, 59, 3600, 86_400, 40_000_000] {
            let marks = marks(Timestamp(500), Timestamp(500 + seconds * 1000));
            assert!(marks.len() <= 9, "{seconds}: {}", marks.len());
        }
    }
}
