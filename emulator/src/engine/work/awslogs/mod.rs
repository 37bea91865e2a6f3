//! The `awslogs` driver: a container's output becomes CloudWatch Logs events, in order, each once.
//!
//! ```text
//! Runtime::logs, after the cursor ─▶ Assembler: join frames to lines, lines to events
//!                     │ events + cursor
//!                     ▼
//!                  Store::write: both in one transaction
//! ```
//!
//! The cursor counts frames and does not compare them: the engine returns the frames in the same order each time, so what
//! was stored is a prefix of what it returns again. See [`crate::runtime::logs`].

mod assembler;
mod follower;

pub(in crate::engine) use follower::{Follower, Source, ensure_stream};
