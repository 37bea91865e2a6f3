//! How far a container's output has been followed: committed with the events that it covers.

use sqlx::{SqliteConnection, SqliteExecutor};

use crate::store::{Body, Error};

/// Sets the container's cursor to `body`.
pub async fn put_cursor(
    connection: &mut SqliteConnection,
    container_id: &str,
    body: &Body,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO log_cursors (container_id, body_version, body) VALUES (?, ?, ?)
         ON CONFLICT DO UPDATE SET body_version = excluded.body_version, body = excluded.body",
    )
    .bind(container_id)
    .bind(body.version)
    .bind(&body.json)
    .execute(connection)
    .await
    .map_err(Error::attempting("put a log cursor"))?;
    Ok(())
}

/// The container's cursor.
pub async fn cursor(executor: impl SqliteExecutor<'_>, container_id: &str) -> Result<Option<Body>, Error> {
    sqlx::query_as("SELECT body_version, body FROM log_cursors WHERE container_id = ?")
        .bind(container_id)
        .fetch_optional(executor)
        .await
        .map_err(Error::attempting("get a log cursor"))
}

/// Forgets the container's cursor.
pub async fn delete_cursor(connection: &mut SqliteConnection, container_id: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM log_cursors WHERE container_id = ?")
        .bind(container_id)
        .execute(connection)
        .await
        .map_err(Error::attempting("delete a log cursor"))?;
    Ok(())
}
