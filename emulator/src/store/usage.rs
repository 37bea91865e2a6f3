//! What tasks that are no longer shown are billed for, by ARN. Kept until a reset.

use sqlx::{FromRow, QueryBuilder, SqliteConnection, SqliteExecutor};

use super::Error;
use crate::clock::Timestamp;

/// Rows of one multi-row insert: three parameters each, far from SQLite's 32,766.
const CHUNK: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub task_arn: String,
    pub stopped_at: Timestamp,
    pub body: String,
}

#[derive(FromRow)]
struct Columns {
    task_arn: String,
    stopped_at: i64,
    body: String,
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
        let mut insert = QueryBuilder::new("INSERT INTO usage (task_arn, stopped_at, body) ");
        insert.push_values(chunk, |mut values, row| {
            values.push_bind(&row.task_arn).push_bind(row.stopped_at.millis()).push_bind(&row.body);
        });
        insert.push(" ON CONFLICT (task_arn) DO NOTHING");
        insert.build().execute(&mut *connection).await.map_err(Error::attempting("keep usage"))?;
    }
    Ok(())
}

/// Everything that is kept.
pub async fn load_all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Row>, Error> {
    sqlx::query_as::<_, Columns>("SELECT task_arn, stopped_at, body FROM usage")
        .fetch_all(executor)
        .await
        .map(|rows| rows.into_iter().map(Row::from).collect())
        .map_err(Error::attempting("load usage"))
}
