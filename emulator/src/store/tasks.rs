//! Tasks, by ARN.

use sqlx::{FromRow, QueryBuilder, SqliteConnection, SqliteExecutor};

use super::Error;
use crate::clock::Timestamp;

/// Rows of one multi-row insert: five parameters each, far from SQLite's 32,766.
const CHUNK: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub arn: String,
    pub cluster_arn: String,
    pub last_status: String,
    pub stopped_at: Option<Timestamp>,
    pub body: String,
}

#[derive(FromRow)]
struct Columns {
    arn: String,
    cluster_arn: String,
    last_status: String,
    stopped_at: Option<i64>,
    body: String,
}

impl From<Columns> for Row {
    fn from(columns: Columns) -> Self {
        let Columns { arn, cluster_arn, last_status, stopped_at, body } = columns;
        Self { arn, cluster_arn, last_status, stopped_at: stopped_at.map(Timestamp), body }
    }
}

/// Makes the task, or puts it in place of the one with its ARN.
pub async fn put(connection: &mut SqliteConnection, row: &Row) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO tasks (arn, cluster_arn, last_status, stopped_at, body) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (arn) DO UPDATE
         SET last_status = excluded.last_status, stopped_at = excluded.stopped_at, body = excluded.body",
    )
    .bind(&row.arn)
    .bind(&row.cluster_arn)
    .bind(&row.last_status)
    .bind(row.stopped_at.map(Timestamp::millis))
    .bind(&row.body)
    .execute(connection)
    .await
    .map_err(Error::attempting("put a task"))?;
    Ok(())
}

/// [`put`] of many. Where an ARN comes twice, the later row stays.
pub async fn put_many(connection: &mut SqliteConnection, rows: &[Row]) -> Result<(), Error> {
    for chunk in rows.chunks(CHUNK) {
        let mut insert =
            QueryBuilder::new("INSERT INTO tasks (arn, cluster_arn, last_status, stopped_at, body) ");
        insert.push_values(chunk, |mut values, row| {
            values
                .push_bind(&row.arn)
                .push_bind(&row.cluster_arn)
                .push_bind(&row.last_status)
                .push_bind(row.stopped_at.map(Timestamp::millis))
                .push_bind(&row.body);
        });
        insert.push(
            " ON CONFLICT (arn) DO UPDATE
             SET last_status = excluded.last_status, stopped_at = excluded.stopped_at, body = excluded.body",
        );
        insert.build().execute(&mut *connection).await.map_err(Error::attempting("put tasks"))?;
    }
    Ok(())
}

pub async fn get(executor: impl SqliteExecutor<'_>, arn: &str) -> Result<Option<Row>, Error> {
    sqlx::query_as::<_, Columns>(
        "SELECT arn, cluster_arn, last_status, stopped_at, body FROM tasks WHERE arn = ?",
    )
    .bind(arn)
    .fetch_optional(executor)
    .await
    .map(|columns| columns.map(Row::from))
    .map_err(Error::attempting("get a task"))
}

/// Every task, in the order in which they were made.
pub async fn load_all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Row>, Error> {
    sqlx::query_as::<_, Columns>(
        "SELECT arn, cluster_arn, last_status, stopped_at, body FROM tasks ORDER BY rowid",
    )
    .fetch_all(executor)
    .await
    .map(|rows| rows.into_iter().map(Row::from).collect())
    .map_err(Error::attempting("load the tasks"))
}

/// The tasks that stopped before `time`.
pub async fn stopped_before(executor: impl SqliteExecutor<'_>, time: Timestamp) -> Result<Vec<Row>, Error> {
    sqlx::query_as::<_, Columns>(
        "SELECT arn, cluster_arn, last_status, stopped_at, body FROM tasks WHERE stopped_at < ?",
    )
    .bind(time.millis())
    .fetch_all(executor)
    .await
    .map(|rows| rows.into_iter().map(Row::from).collect())
    .map_err(Error::attempting("find stopped tasks"))
}

/// Deletes the tasks that stopped before `time` and answers their ARNs.
pub async fn delete_stopped_before(
    connection: &mut SqliteConnection,
    time: Timestamp,
) -> Result<Vec<String>, Error> {
    sqlx::query_scalar("DELETE FROM tasks WHERE stopped_at < ? RETURNING arn")
        .bind(time.millis())
        .fetch_all(connection)
        .await
        .map_err(Error::attempting("delete stopped tasks"))
}
