//! SQLite through sqlx. All SQL is here.
//!
//! ```text
//! write(work) ──▶ one writer: BEGIN IMMEDIATE, each work in its SAVEPOINT, COMMIT ──▶ the results
//! readers()   ──▶ a pool of read-only connections: WAL, so no reader waits for the writer
//! ```
//!
//! One file per table family: plain functions over a connection, so that one [`Store::write`] can join several of them.
//! A row holds the columns that a query needs and a [`Body`] whose shape its owner decides: the store imports none of them.
//!
//! `synchronous=NORMAL`: an acknowledged write outlives `kill -9`, not a power cut.

mod body;
pub mod client_tokens;
pub mod clusters;
mod error;
mod home;
mod lock;
pub mod logs;
pub mod meta;
mod open;
mod private;
mod purge;
pub mod reset;
pub mod sandboxes;
pub mod task_definitions;
pub mod tasks;
pub mod usage;
mod writer;

pub use body::Body;
pub use error::Error;
pub use futures::future::BoxFuture;
pub use lock::Lock;
pub use open::Store;
pub use sqlx::{SqliteConnection, SqliteExecutor, SqlitePool};
