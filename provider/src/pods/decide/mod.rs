//! Everything that is decided about a pod, and the inputs of the decisions: pure functions of values.
//!
//! ```text
//! decision (what is to be done) --> status, pre_stop, restart, events
//! outcome (what a RunTask's error means) --> status, events
//! status --> shape --> conditions
//! following (what is known of the task, when it is polled again) --> claim
//! annotations, task, recorded, seen, phase, task_view, refusal, allowance: what the others read and write
//! ```
//!
//! No I/O, no await and no lock: what a decision needs is passed in, and its result is a value.

pub(super) mod allowance;
pub mod annotations;
pub(super) mod claim;
mod conditions;
mod decision;
pub mod events;
pub(super) mod following;
pub(super) mod outcome;
mod phase;
pub(super) mod pre_stop;
mod recorded;
pub(super) mod refusal;
pub mod restart;
mod seen;
mod shape;
pub mod status;
pub mod task;
mod task_view;

pub use self::{
    decision::{Decision, NextAction, Question, decide},
    phase::Phase,
    recorded::{attempt, has_run, last_run, waiting_reason},
    seen::Seen,
    shape::{Facts, Readiness},
    task_view::{Condemned, TaskView},
};
