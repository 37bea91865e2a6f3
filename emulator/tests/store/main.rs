//! The store's promises: isolation of writes that share a transaction, results after the commit, one process per
//! directory, and no acknowledged write lost to a kill.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod directory;
mod logs;
mod records;
mod writes;

use std::path::Path;

use neargate::store::{Error, Store, meta};

async fn open(dir: &Path) -> Store {
    Store::open(dir).await.unwrap()
}

async fn put(store: &Store, key: &'static str, value: &'static str) -> Result<(), Error> {
    store.write(move |connection| Box::pin(meta::put(connection, key, value))).await
}

async fn get(store: &Store, key: &str) -> Option<String> {
    meta::get(store.readers(), key).await.unwrap()
}
