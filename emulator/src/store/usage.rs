//! The billed usage of tasks that are no longer shown, by ARN. Kept until a reset, the newest [`MOST`] of them.

use sqlx::{FromRow, QueryBuilder, SqliteConnection, SqliteExecutor};

use super::{Body, Error};
use crate::clock::Timestamp;

/// Rows of one multi-row insert: four parameters each, far from SQLite's 32,766.
const CHUNK: usize = 200;

/// Tasks whose usage is kept at most: the bill of that many is computed in about a second.
pub const MOST: u32 = 100_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub task_arn: String,
    pub stopped_at: Timestamp,
    pub body: Body,
}

#[derive(FromRow)]
struct Columns {
    task_arn: String,
    stopped_at: i64,
    #[sqlx(flatten)]
    body: Body,
}

impl From<Columns> for Row {
    fn from(columns: Columns) -> Self {
        let Columns { task_arn, stopped_at, body } = columns;
        Self { task_arn, stopped_at: Timestamp(stopped_at), body }
    }
}

/// Keeps the rows. An ARN that is there already stays as it is: a task is billed once.
pub async fn keep_many(connection: &mut SqliteConnection, rows: &[Row]) -> Result<(), Error> {
    for chunk in rows.chunks(CHUNK) {
        let mut insert = QueryBuilder::new("INSERT INTO usage (task_arn, stopped_at, body_version, body) ");
        insert.push_values(chunk, |mut values, row| {
            values
                .push_bind(&row.task_arn)
                .push_bind(row.stopped_at.millis())
                .push_bind(row.body.version)
                .push_bind(&row.body.json);
        });
        insert.push(" ON CONFLICT (task_arn) DO NOTHING");
        insert.build().execute(&mut *connection).await.map_err(Error::attempting("keep usage"))?;
    }
    Ok(())
}

/// Forgets the usage that is older than the newest `most`; returns how many rows.
pub async fn trim(connection: &mut SqliteConnection, most: u32) -> Result<u64, Error> {
    sqlx::query(
        "DELETE FROM usage WHERE task_arn IN (
             SELECT task_arn FROM usage ORDER BY stopped_at DESC, task_arn DESC LIMIT -1 OFFSET ?)",
    )
    .bind(most)
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
    .map_err(Error::attempting("forget old usage"))
}

/// Everything that is kept.
pub async fn load_all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Row>, Error> {
    sqlx::query_as::<_, Columns>("SELECT task_arn, stopped_at, body_version, body FROM usage")
        .fetch_all(executor)
        .await
        .map(|rows| rows.into_iter().map(Row::from).collect())
        .map_err(Error::attempting("load usage"))
}
