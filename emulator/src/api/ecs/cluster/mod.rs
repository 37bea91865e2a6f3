//! Clusters. `default` exists in every region from the start.

mod create;
mod delete;
mod describe;
mod list;
mod record;

pub(super) use create::Create;
pub(super) use delete::Delete;
pub(super) use describe::Describe;
pub(super) use list::List;
pub(super) use record::{Record, find_active, named};
