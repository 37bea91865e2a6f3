//! AWS's own SDK for Rust against the router, in one process and without a socket, on the simulated runtime.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

mod clusters;
mod cost;
mod golden;
mod malformed;
mod query;
mod run_task_rules;
mod support;
mod tags;
mod task_definition_rules;
mod task_definitions;
mod tasks;
