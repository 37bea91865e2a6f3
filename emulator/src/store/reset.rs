//! Resets to an empty data directory, for test suites.

use sqlx::SqliteConnection;

use super::{Error, home, meta, purge};

/// Deletes everything but the data directory's id and home. Log events are deleted piece by piece
/// afterwards ([`super::Store::purge`]).
pub async fn everything(connection: &mut SqliteConnection) -> Result<(), Error> {
    for statement in [
        "DELETE FROM clusters",
        "DELETE FROM families",
        "DELETE FROM task_definitions",
        "DELETE FROM tasks",
        "DELETE FROM usage",
        "DELETE FROM client_tokens",
        "DELETE FROM sandboxes",
        "DELETE FROM log_cursors",
    ] {
        sqlx::query(statement)
            .execute(&mut *connection)
            .await
            .map_err(Error::attempting("reset the database"))?;
    }
    purge::discard_streams(connection, None).await?;
    sqlx::query("DELETE FROM log_groups WHERE id <> ?")
        .bind(purge::TRASH)
        .execute(&mut *connection)
        .await
        .map_err(Error::attempting("reset the database"))?;
    sqlx::query("DELETE FROM meta WHERE key NOT IN (?, ?)")
        .bind(meta::INSTANCE_ID)
        .bind(home::HOME)
        .execute(connection)
        .await
        .map_err(Error::attempting("reset the database"))?;
    Ok(())
}
