//! The meaning of a sequence of outcomes. Pure.

use std::fmt;

/// Which of a container's three probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Which {
    /// The others wait until it succeeds.
    Startup,
    /// If it fails, the container is restarted.
    Liveness,
    /// If it fails, the pod gets no traffic.
    Readiness,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        })
    }
}

/// One probe's count of outcomes.
#[derive(Debug)]
pub(super) struct Machine {
    which: Which,
    success_threshold: u32,
    failure_threshold: u32,
    /// The latest outcome, and how often it occurred in a row.
    last: Option<bool>,
    run: u32,
    /// The probe's current verdict; none before the first threshold.
    verdict: Option<bool>,
}

/// What an outcome changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Keep,
    /// This is the probe's verdict from now on.
    Says(bool),
    /// The same, and the probe ends for this attempt.
    Ends(bool),
}

impl Machine {
    /// A probe with this verdict before its first outcome.
    pub(super) fn new(
        which: Which,
        success_threshold: u32,
        failure_threshold: u32,
        verdict: Option<bool>,
    ) -> Self {
        Self { which, success_threshold, failure_threshold, last: None, run: 0, verdict }
    }

    /// Counts an outcome (`worker.doProbe` in the kubelet's `pkg/kubelet/prober/worker.go`).
    pub(super) fn observe(&mut self, success: bool) -> Step {
        if self.last == Some(success) {
            self.run = self.run.saturating_add(1);
        } else {
            (self.last, self.run) = (Some(success), 1);
        }
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        if self.run < threshold {
            return Step::Keep;
        }
        match self.which {
            Which::Startup => Step::Ends(success),
            Which::Liveness if !success => Step::Ends(false),
            Which::Liveness | Which::Readiness if self.verdict == Some(success) => Step::Keep,
            Which::Liveness | Which::Readiness => {
                self.verdict = Some(success);
                Step::Says(success)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outcomes as `+` and `-`, steps as `.` (keep), `R`/`r` (says), `E`/`e` (ends); upper case is success.
    fn run(which: Which, success: u32, failure: u32, verdict: Option<bool>, outcomes: &str) -> String {
        let mut machine = Machine::new(which, success, failure, verdict);
        outcomes
            .chars()
            .map(|outcome| match machine.observe(outcome == '+') {
                Step::Keep => '.',
                Step::Says(true) => 'R',
                Step::Says(false) => 'r',
                Step::Ends(true) => 'E',
                Step::Ends(false) => 'e',
            })
            .collect()
    }

    #[test]
    fn a_threshold_counts_outcomes_in_a_row_and_a_verdict_is_reported_once() {
        use Which::{Liveness, Readiness, Startup};
        for (which, success, failure, verdict, outcomes, steps) in [
            (Readiness, 1, 3, Some(false), "+++", "R.."),
            (Readiness, 1, 3, Some(false), "---+", "...R"),
            (Readiness, 1, 3, Some(true), "--+---+", ".....rR"),
            (Readiness, 1, 3, Some(true), "+", "."),
            (Readiness, 3, 1, Some(false), "++-+++-", ".....Rr"),
            (Readiness, 2, 2, Some(true), "-+-+--", ".....r"),
            (Liveness, 1, 3, Some(true), "+--+--", "......"),
            (Liveness, 1, 3, Some(true), "---", "..e"),
            (Liveness, 1, 1, Some(true), "-", "e"),
            (Startup, 1, 3, None, "--+", "..E"),
            (Startup, 1, 3, None, "---", "..e"),
            (Startup, 1, 30, None, "+", "E"),
        ] {
            assert_eq!(
                run(which, success, failure, verdict, outcomes),
                steps,
                "{which} {success}/{failure} {outcomes}"
            );
        }
    }
}
