//! Clusters. `default` exists in every region from the start.

mod create;
mod delete;
mod describe;
mod find;
mod list;
mod view;

pub(super) use create::Create;
pub(super) use delete::Delete;
pub(super) use describe::Describe;
pub(super) use find::{find_active, named, not_found};
pub(super) use list::List;
pub(super) use view::strategy;
