//! The Docker runtime against the real engine: every test has an instance of its own there and leaves nothing.
//! Without an engine they are skipped on a laptop and fail in CI.

#![expect(clippy::disallowed_methods, reason = "a test waits for a state of the real engine")]
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics there")]

mod calls;
mod clean;
mod containers;
mod events;
mod images;
mod instances;
mod kind;
mod limits;
mod logs;
mod network;
mod oom;
mod raw;
mod support;
