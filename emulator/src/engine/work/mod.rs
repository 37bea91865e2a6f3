//! What carries a task's plan out: one supervisor per task, its actions on the runtime, the logs, the start after a crash.
//!
//! ```text
//! mailbox ──▶ supervisor ──▶ action ──▶ Runtime
//!                 │ next, commit
//!                 ▼
//!              record ──▶ store, then registry: what readers see
//! ```

pub(in crate::engine) mod action;
pub(in crate::engine) mod awslogs;
pub(in crate::engine) mod boot;
pub(in crate::engine) mod mailbox;
pub(in crate::engine) mod record;
pub(in crate::engine) mod registry;
pub(in crate::engine) mod supervisor;
