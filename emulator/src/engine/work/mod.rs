//! Carries out the plans of tasks: one supervisor per task, its actions on the runtime, the logs, the start after a crash.
//!
//! ```text
//! mailbox ──▶ supervisor ──▶ action ──▶ Runtime
//!    ▲            │ next, commit            │ inventory
//!    │            ▼                         ▼
//!    │      ledger ──▶ store, registry    boot, audit: what differs (observation), what has no task (strangers)
//!    └──────────────────────────────────────┘
//! ```

pub(in crate::engine) mod action;
pub(in crate::engine) mod audit;
pub(in crate::engine) mod awslogs;
pub(in crate::engine) mod boot;
mod cpu_limit;
pub(in crate::engine) mod idle;
pub(in crate::engine) mod mailbox;
pub(in crate::engine) mod observation;
pub(in crate::engine) mod registry;
mod retries;
mod seen;
mod strangers;
pub(in crate::engine) mod supervision;
pub(in crate::engine) mod supervisor;
