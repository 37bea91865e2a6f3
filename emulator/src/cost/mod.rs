//! What the tasks cost: on Fargate, and beside it on EC2. Pure: no I/O, no clock, no await.
//!
//! ```text
//! usages ─┬─ bill (each task, by prices) ── group (task, service, cluster, tag) ─┐
//!         └─ ec2 (pack by time, instances by the second) ────────────────────────┴─▶ Report ─▶ JSON, text, svg
//! ```
//!
//! Money is `f64` dollars: sums of millions of tasks stay exact to far below a cent.

pub mod bill;
pub mod ec2;
pub mod prices;
pub mod report;
pub mod svg;
pub mod text;
pub mod usage;

pub use prices::Prices;
pub use report::{By, Query, Report, report};
pub use usage::Usage;
