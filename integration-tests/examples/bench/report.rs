//! The printed table of results.

/// One measured budget.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) measured: String,
    /// The value that it is compared with, from the same run.
    pub(crate) reference: String,
    pub(crate) budget: String,
    pub(crate) within: bool,
}

/// Prints rows as they are measured, and counts those over their budget.
#[derive(Debug)]
pub(crate) struct Report {
    rows: usize,
    over: usize,
    failed: usize,
}

impl Report {
    pub(crate) fn begin() -> Self {
        println!("{:<8}{:<47}{:<45}{:<65}budget", "", "what", "measured", "reference");
        Self { rows: 0, over: 0, failed: 0 }
    }

    /// Prints the rows of one measurement, or why there are none.
    pub(crate) fn add(&mut self, name: &str, rows: anyhow::Result<Vec<Row>>) {
        match rows {
            Ok(rows) => {
                for Row { what, measured, reference, budget, within } in rows {
                    let mark = if within { "ok" } else { "OVER" };
                    println!("{mark:<8}{what:<46} {measured:<44} {reference:<64} {budget}");
                    self.rows += 1;
                    self.over += usize::from(!within);
                }
            }
            Err(error) => {
                println!("{:<8}{name}: {error:#}", "FAILED");
                self.failed += 1;
            }
        }
    }

    pub(crate) fn end(&self) {
        println!("{} rows, {} over budget, {} not measured", self.rows, self.over, self.failed);
    }
}

/// The middle of the samples.
pub(crate) fn median(samples: &mut [f64]) -> f64 {
    percentile(samples, 0.5)
}

/// The sample below which `part` of all samples are.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a list of samples"
)]
pub(crate) fn percentile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1);
    samples.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}
