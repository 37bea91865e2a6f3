//! Task definitions.
//!
//! ```text
//! register: rules (names, containers) ─▶ fargate (what Fargate accepts) ─▶ size ─▶ normal form ─▶ revision, record
//! ```

mod containers;
mod delete;
mod deregister;
mod describe;
mod families;
mod fargate;
mod list;
mod normal;
mod record;
mod register;
mod size;

pub(super) use delete::Delete;
pub(super) use deregister::Deregister;
pub(super) use describe::Describe;
pub(super) use families::ListFamilies;
pub(super) use fargate::ephemeral_storage;
pub(super) use list::List;
pub(super) use normal::role_arn;
pub(super) use record::{find, shown};
pub(super) use register::Register;
pub(super) use size::{cpu_units, known, memory_mib};
