//! Facts about the data directory itself: small values by name.

use sqlx::{SqliteConnection, SqliteExecutor};
use uuid::Uuid;

use super::Error;

/// The key of the data directory's id.
pub(super) const INSTANCE_ID: &str = "instance";

/// Present if the data directory is a copy whose tasks the engine has not given up yet.
pub const COPIED: &str = "copied";

/// The data directory's id, created if it has none.
pub(super) async fn instance_id(connection: &mut SqliteConnection) -> Result<String, Error> {
    if let Some(id) = get(&mut *connection, INSTANCE_ID).await? {
        return Ok(id);
    }
    let id = Uuid::new_v4().simple().to_string();
    put(connection, INSTANCE_ID, &id).await?;
    Ok(id)
}

/// The value of `key`.
pub async fn get(executor: impl SqliteExecutor<'_>, key: &str) -> Result<Option<String>, Error> {
    sqlx::query_scalar("SELECT value FROM meta WHERE key = ?")
        .bind(key)
        .fetch_optional(executor)
        .await
        .map_err(Error::attempting("read a meta value"))
}

/// Forgets `key`.
pub async fn delete(connection: &mut SqliteConnection, key: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM meta WHERE key = ?")
        .bind(key)
        .execute(connection)
        .await
        .map(drop)
        .map_err(Error::attempting("delete a meta value"))
}

/// Sets `key` to `value`.
pub async fn put(connection: &mut SqliteConnection, key: &str, value: &str) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(connection)
    .await
    .map_err(Error::attempting("write a meta value"))?;
    Ok(())
}
