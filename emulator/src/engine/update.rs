//! The change of a record: read, decided and written in one transaction; and why it failed.

use futures::future::BoxFuture;

use crate::clock::Elapsed;
use crate::store::{self, SqliteConnection, Store};

/// What the store keeps by its ARN.
pub(super) trait Record: Sized + Send + Sync + 'static {
    fn find(
        connection: &mut SqliteConnection,
        arn: &str,
    ) -> impl Future<Output = Result<Option<Self>, store::Error>> + Send;

    fn put(&self, connection: &mut SqliteConnection)
    -> impl Future<Output = Result<(), store::Error>> + Send;
}

/// Changes the record by `change`, which sees it as it is in the transaction that writes it.
///
/// # Errors
/// There is no such record; `change` refuses; the store fails. Nothing is written then.
pub(super) async fn change<T, R, E>(
    store: &Store,
    arn: &str,
    change: impl FnOnce(&mut T) -> Result<R, E> + Send + 'static,
) -> Result<R, Error<E>>
where
    T: Record,
    R: Send + 'static,
    E: Send + 'static,
{
    with(store, arn, |connection, mut record: T| {
        Box::pin(async move {
            match change(&mut record) {
                Ok(result) => record.put(connection).await.map(|()| Ok(result)),
                Err(refusal) => Ok(Err(refusal)),
            }
        })
    })
    .await
}

/// Passes the record to `decide`, which reads and writes in the same transaction.
///
/// # Errors
/// There is no such record; `decide` refuses, and must not have written anything; the store fails.
pub(super) async fn with<T, R, E, F>(store: &Store, arn: &str, decide: F) -> Result<R, Error<E>>
where
    T: Record,
    R: Send + 'static,
    E: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection, T) -> BoxFuture<'c, Result<Result<R, E>, store::Error>>
        + Send
        + 'static,
{
    let arn = arn.to_owned();
    let written = store.write(move |connection| {
        Box::pin(async move {
            match T::find(&mut *connection, &arn).await? {
                Some(record) => Ok(decide(connection, record).await?.map_err(Error::Refused)),
                None => Ok(Err(Error::NotFound)),
            }
        })
    });
    written.await.map_err(Error::Store)?
}

/// Nothing was written, unless a variant documents otherwise.
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
    #[error("the change of the record did not complete in time")]
    Unanswered(#[source] Elapsed),
}
