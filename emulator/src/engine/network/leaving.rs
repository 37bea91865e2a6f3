//! A sandbox that is to be removed, as [`super::removal`] keeps it.

use super::subnet::Slot;
use crate::store::sandboxes;

/// A sandbox that is no longer in the pool and no task's, and holds its slot until it is removed.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Leaving {
    pub(super) sandbox_id: String,
    pub(super) subnet_id: String,
    pub(super) slot: Slot,
}

impl Leaving {
    pub(super) fn of(row: &sandboxes::Row) -> Self {
        let sandboxes::Row { sandbox_id, subnet_id, address, .. } = row;
        Self { sandbox_id: sandbox_id.clone(), subnet_id: subnet_id.clone(), slot: address.parse().ok() }
    }
}
