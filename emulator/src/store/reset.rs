//! Back to an empty data directory, for test suites.

use sqlx::SqliteConnection;

use super::{Error, meta};

/// Deletes everything but the data directory's id.
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
        "DELETE FROM log_blocks",
        "DELETE FROM log_streams",
        "DELETE FROM log_groups",
    ] {
        sqlx::query(statement)
            .execute(&mut *connection)
            .await
            .map_err(Error::attempting("reset the database"))?;
    }
    sqlx::query("DELETE FROM meta WHERE key <> ?")
        .bind(meta::INSTANCE_ID)
        .execute(connection)
        .await
        .map_err(Error::attempting("reset the database"))?;
    Ok(())
}
