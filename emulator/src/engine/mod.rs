//! What makes a task live: pure decisions, and the shell that carries them out.
//!
//! ```text
//! api ── run, stop ──▶ Engine ── one supervisor a task ──▶ Runtime
//!                        │            ▲      │ events
//!                        ▼            └──────┘ task::next: state × event → state
//!                      store (committed, then published to readers)
//! ```
//!
//! [`task`] decides and nothing else: no I/O, no clock, no await.

pub mod run;
pub mod task;
