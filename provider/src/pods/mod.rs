//! The pods bound to the node, each run as a task.
//!
//! ```text
//! watch (spec.nodeName) --+
//! tasks::Table (poll) ----+--> reconcile: decide (pure) -> write status -> act (RunTask, StopTask, Delete)
//! probes::Prober ---------+
//! garbage::Collector: tasks without pods, pods without tasks; at the start and every ten seconds
//! ```
//!
//! The rules: a decision is a value computed before any I/O; a status is written with the version it was made from, so that a
//! decision made from an old pod is lost and made again; the attempt is on the status before its RunTask, and the
//! client token is made of it, so that no attempt is ever two tasks; trouble with AWS changes no pod.

mod act;
pub mod annotations;
mod conditions;
pub mod controller;
pub mod decide;
mod definitions;
pub mod events;
pub mod garbage;
mod hooks;
mod latest;
mod patience;
mod pre_stop;
pub mod probing;
pub mod restart;
mod shape;
pub mod status;
pub mod task;
pub mod tasks;

pub use self::controller::Controller;
