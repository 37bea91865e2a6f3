//! Tags, and the operations that change them on any resource.

mod convert;
mod operations;
mod rules;

pub(super) use operations::{List, Tag, Untag};
pub(super) use rules::broken;
