//! The removal of idle sandboxes when the process ends, including those that the engine has not adopted.

use std::collections::HashSet;

use futures::StreamExt;
use tracing::warn;

use crate::engine::context::Context;
use crate::runtime;
use crate::store::{self, sandboxes};

/// Removals at a time.
const AT_ONCE: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read the sandboxes from the store")]
    Read(#[source] store::Error),
    #[error("could not list what the container engine holds: a sandbox that was being created may be left")]
    Inventory(#[source] runtime::Error),
    #[error("could not remove {left} idle sandboxes")]
    Left { left: usize, source: Box<dyn std::error::Error + Send + Sync> },
}

/// Removes every sandbox that no task has. Allowed only once nothing claims or creates sandboxes.
///
/// # Errors
/// Some sandboxes are left; all others are removed.
pub(in crate::engine) async fn remove_all(context: &Context) -> Result<(), Error> {
    let rows = sandboxes::load_all(context.store.readers()).await.map_err(Error::Read)?;
    let known: HashSet<String> = rows.iter().map(|row| row.sandbox_id.clone()).collect();
    let mut idle: Vec<String> = rows
        .into_iter()
        .filter(|row| row.state == sandboxes::State::Idle)
        .map(|row| row.sandbox_id)
        .collect();
    // Created, and not committed when the engine was halted.
    let inventory = context.inventory().await.map_err(Error::Inventory);
    let without_row = inventory.iter().flat_map(|inventory| &inventory.sandboxes);
    let without_row = without_row.map(|sandbox| &sandbox.sandbox_id);
    idle.extend(without_row.filter(|sandbox_id| !known.contains(*sandbox_id)).cloned());

    let removals = idle.into_iter().map(|sandbox_id| async move { remove(context, &sandbox_id).await });
    let removed: Vec<_> = futures::stream::iter(removals).buffer_unordered(AT_ONCE).collect().await;
    let mut failed: Vec<_> = removed.into_iter().filter_map(Result::err).collect();
    let left = failed.len();
    match failed.pop() {
        Some(source) => Err(Error::Left { left, source }),
        None => inventory.map(drop),
    }
}

/// Removes the sandbox before its row: one that is left keeps its row, and the next process uses or removes it.
async fn remove(context: &Context, sandbox_id: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if let Err(error) = context.runtime.remove_sandbox(sandbox_id).await {
        warn!(sandbox = sandbox_id, %error, "could not remove an idle sandbox: it is left for the next start");
        return Err(error.into());
    }
    let id = sandbox_id.to_owned();
    let write = context
        .store
        .write(move |connection| Box::pin(async move { sandboxes::withdraw(connection, &id).await }));
    write.await.map(drop).map_err(Into::into)
}
