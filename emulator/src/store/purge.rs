//! Deletion in pieces: what is deleted is hidden at once and removed piece by piece, each in its own write, so that no
//! other write waits for more than one piece. Free pages are returned to the file system the same way.
//!
//! A log stream is deleted by moving it to a group that no name finds.

use std::sync::Arc;

use sqlx::SqliteConnection;
use tokio::sync::{Notify, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::{Error, writer};

/// The group of streams that are deleted. Groups are numbered from 1.
pub(super) const TRASH: i64 = 0;

/// Blocks per piece: some tens of kilobytes each.
const BLOCKS: u32 = 128;

/// Streams per piece, whose blocks are gone.
const STREAMS: u32 = 1000;

/// Free pages per piece, of 4 KiB each.
const PAGES: u32 = 1024;

/// Free pages that stay for what is written next, beside an eighth of the file.
const PAGES_KEPT: u32 = 4096;

/// Moves the streams of `group` to the trash; all streams if it is `None`.
pub(super) async fn discard_streams(
    connection: &mut SqliteConnection,
    group: Option<i64>,
) -> Result<(), Error> {
    let attempted = Error::attempting("discard log streams");
    make_trash(connection).await?;
    sqlx::query(
        "UPDATE log_streams SET group_id = ?1, name = CAST(id AS TEXT)
         WHERE group_id <> ?1 AND (?2 IS NULL OR group_id = ?2)",
    )
    .bind(TRASH)
    .bind(group)
    .execute(connection)
    .await
    .map(drop)
    .map_err(attempted)
}

/// Moves one stream to the trash.
pub(super) async fn discard_stream(connection: &mut SqliteConnection, stream: i64) -> Result<(), Error> {
    make_trash(connection).await?;
    sqlx::query("UPDATE log_streams SET group_id = ?1, name = CAST(id AS TEXT) WHERE id = ?2")
        .bind(TRASH)
        .bind(stream)
        .execute(connection)
        .await
        .map(drop)
        .map_err(Error::attempting("discard a log stream"))
}

/// The group of the trash, which the streams in it refer to.
async fn make_trash(connection: &mut SqliteConnection) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO log_groups (id, account, region, name, class, created_at, is_protected, tags)
         SELECT ?1, '', '', '', '', 0, 0, '{}' WHERE EXISTS (SELECT 1 FROM log_streams)
         ON CONFLICT DO NOTHING",
    )
    .bind(TRASH)
    .execute(connection)
    .await
    .map(drop)
    .map_err(Error::attempting("discard log streams"))
}

/// Deletes a piece of what was discarded, else returns a piece of the free pages. Returns whether there may be more.
pub(super) async fn step(connection: &mut SqliteConnection) -> Result<bool, Error> {
    let blocks = delete(
        connection,
        "DELETE FROM log_blocks WHERE id IN (
             SELECT block.id FROM log_streams AS stream CROSS JOIN log_blocks AS block ON block.stream_id = stream.id
             WHERE stream.group_id = ?1 LIMIT ?2)",
        BLOCKS,
    );
    if blocks.await? > 0 {
        return Ok(true);
    }
    let streams = delete(
        connection,
        "DELETE FROM log_streams WHERE id IN (SELECT id FROM log_streams WHERE group_id = ?1 LIMIT ?2)",
        STREAMS,
    );
    if streams.await? > 0 {
        return Ok(true);
    }
    let (free, all) =
        (pragma(connection, "PRAGMA freelist_count").await?, pragma(connection, "PRAGMA page_count").await?);
    // Without `auto_vacuum` the pragma does nothing, and this would never end.
    let gives_back = pragma(connection, "PRAGMA auto_vacuum").await? == 2;
    if !gives_back || free <= PAGES_KEPT.max(all / 8).saturating_add(PAGES) {
        return Ok(false);
    }
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({PAGES})")))
        .execute(connection)
        .await
        .map(|_| true)
        .map_err(Error::attempting("give free pages back"))
}

async fn delete(
    connection: &mut SqliteConnection,
    statement: &'static str,
    limit: u32,
) -> Result<u64, Error> {
    sqlx::query(statement)
        .bind(TRASH)
        .bind(limit)
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(Error::attempting("delete what was discarded"))
}

pub(super) async fn pragma(connection: &mut SqliteConnection, statement: &'static str) -> Result<u32, Error> {
    sqlx::query_scalar(statement)
        .fetch_one(connection)
        .await
        .map_err(Error::attempting("read the database's size"))
}

/// Purges at the start and after each notice, until the writer is closed or the handle is dropped.
pub(super) fn start(writer: writer::Handle, notice: Arc<Notify>) -> AbortOnDropHandle<()> {
    // What an earlier process discarded.
    notice.notify_one();
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            notice.notified().await;
            loop {
                let (reply, answer) = oneshot::channel();
                let message = writer::request(|connection| Box::pin(step(connection)), reply);
                if writer.send(message).await.is_err() {
                    return;
                }
                match answer.await.unwrap_or(Err(Error::Closed)) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(Error::Closed) => return,
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "could not delete log events that were discarded; retrying with the next deletion"
                        );
                        break;
                    }
                }
            }
        }
    }))
}
