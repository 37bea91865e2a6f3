//! Why a record was not changed.

use crate::store;

/// Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    #[error("there is no such record")]
    NotFound,
    /// The change itself refused.
    #[error(transparent)]
    Refused(E),
    #[error("could not read or write the record")]
    Store(#[source] store::Error),
}
