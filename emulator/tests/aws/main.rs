//! AWS's own SDK against the router, in this process: no socket, no container, a clock that does not move.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod filter_log_events;
mod get_log_events;
mod log_groups;
mod log_streams;
mod put_log_events;
mod world;
