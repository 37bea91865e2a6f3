//! The pods bound to the node, each run as a task.
//!
//! ```text
//! watch (spec.nodeName) --+                                                    +--> act: RunTask, StopTask, Delete
//! tasks::Table (poll) ----+--> controller (queue) --> step --> decide (pure) --+--> act: the pod's status, annotations
//! probes, hooks ----------+                                                    +--> publisher: events
//! garbage::Collector: tasks without pods, pods without tasks; at the start, every ten seconds, after each listing
//! ```
//!
//! The rules: a decision is a value computed before any I/O; a status is written with the version it was made from, so that a
//! decision made from an old pod is lost and made again; the attempt is on the status before its RunTask, and the client token is
//! made of it, so that no attempt ever has two tasks; trouble with AWS changes no pod; what is remembered of a pod is in one
//! place ([`memory`]) and is forgotten with the pod.

mod act;
mod context;
pub mod controller;
pub mod decide;
mod definitions;
mod describe;
mod garbage;
mod hooks;
mod memory;
mod probing;
mod publisher;
mod step;
mod tasks;

pub use self::controller::Controller;
