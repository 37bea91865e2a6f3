//! Why a record was not changed.

use crate::clock::Elapsed;
use crate::store;

/// Nothing was written, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    #[error("there is no such record")]
    NotFound,
    /// The change itself refused.
    #[error(transparent)]
    Refused(E),
    #[error("could not read or write the record")]
    Store(#[source] store::Error),
    /// Whether it was written is not known.
    #[error("the change of the record was not answered")]
    Unanswered(#[source] Elapsed),
}
