//! Runs tasks: pure decisions, and the shell that carries them out.
//!
//! ```text
//! api ── run, stop ──▶ Engine ── one supervisor per task ──▶ Runtime
//!                        │            ▲      │ events
//!                        ▼            └──────┘ task::next: state × event → state
//!                      store (committed, then published to readers)
//! ```
//!
//! In addition to the events there is a full pass, the audit: events are fast but may be lost, and the pass finds what
//! they missed. All loops are driven by one driver ([`background`]).
//!
//! [`task`] and [`vpc`] decide and nothing else: no I/O, no clock, no await. Rules: a change is committed before
//! it is visible; the process may be killed between any two lines.

mod accept;
mod background;
mod changes;
pub mod cluster;
mod context;
pub mod definition;
#[expect(clippy::module_inception, reason = "the engine's handle is the noun of this folder")]
mod engine;
mod events;
mod forget;
mod health;
mod ledger;
mod lifetime;
mod load;
mod network;
mod options;
mod place;
mod readiness;
mod record;
mod request;
pub mod run;
pub mod tag;
pub mod task;
#[cfg(test)]
mod tests;
pub mod update;
mod usage;
pub mod vpc;
mod vpc_view;
mod work;

pub use background::Activity;
pub use changes::{Change, News, Subscription};
pub use engine::{Engine, Error};
pub use health::Health;
pub use network::ports::Binding;
pub use options::Options;
pub use readiness::NotReady;
pub use work::registry::Counts;
