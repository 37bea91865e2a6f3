//! Everything that is decided about a pod, and what the decisions are made of: pure functions of values.
//!
//! ```text
//! decision (what is to be done) --> status, pre_stop, restart, events
//! outcome (what a RunTask's error means) --> status, events
//! status --> shape --> conditions
//! following (what is known of the task, when it is asked for again) --> claim
//! annotations, task, recorded, seen, phase, sight, refusal, allowance: what the others read and write
//! ```
//!
//! No I/O, no await and no lock: what a decision needs is handed in, and what follows from it is a value.

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
mod sight;
pub mod status;
pub mod task;

pub use self::{
    decision::{Decision, Question, Then, decide},
    phase::Phase,
    recorded::{attempt, has_run, last_run, waiting_reason},
    seen::Seen,
    shape::{Facts, Readiness},
    sight::{Condemned, Sight},
};
