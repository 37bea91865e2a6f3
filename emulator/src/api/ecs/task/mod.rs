//! Tasks.
//!
//! ```text
//! RunTask: rules ─▶ cluster, definition ─▶ launch (type, provider, platform) ─▶ overrides ─▶ supported ─▶ spec ─▶ Engine::run
//! Task of the engine ─▶ view ─▶ Task of the wire
//! ```

mod datetime;
mod describe;
mod identity;
mod launch;
mod list;
mod overrides;
mod run;
mod spec;
mod stop;
mod supported;
mod view;

pub(super) use describe::Describe;
pub(super) use identity::Identity;
pub(super) use list::List;
pub(super) use run::Run;
pub(super) use stop::Stop;
