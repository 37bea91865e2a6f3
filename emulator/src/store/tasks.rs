//! Tasks, by ARN.

use sqlx::{FromRow, QueryBuilder, SqliteConnection, SqliteExecutor};

use super::{Body, Error};
use crate::clock::Timestamp;

/// Rows of one multi-row insert: seven parameters each, far from SQLite's 32,766.
const CHUNK: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub arn: String,
    pub cluster_arn: String,
    pub task_definition_arn: String,
    pub last_status: String,
    pub stopped_at: Option<Timestamp>,
    pub body: Body,
}

#[derive(FromRow)]
struct Columns {
    arn: String,
    cluster_arn: String,
    task_definition_arn: String,
    last_status: String,
    stopped_at: Option<i64>,
    #[sqlx(flatten)]
    body: Body,
}

impl From<Columns> for Row {
    fn from(columns: Columns) -> Self {
        let Columns { arn, cluster_arn, task_definition_arn, last_status, stopped_at, body } = columns;
        let stopped_at = stopped_at.map(Timestamp);
        Self { arn, cluster_arn, task_definition_arn, last_status, stopped_at, body }
    }
}

/// Creates the task, or replaces the one with its ARN.
pub async fn put(connection: &mut SqliteConnection, row: &Row) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO tasks (arn, cluster_arn, task_definition_arn, last_status, stopped_at, body_version, body)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (arn) DO UPDATE
         SET last_status = excluded.last_status, stopped_at = excluded.stopped_at,
             body_version = excluded.body_version, body = excluded.body",
    )
    .bind(&row.arn)
    .bind(&row.cluster_arn)
    .bind(&row.task_definition_arn)
    .bind(&row.last_status)
    .bind(row.stopped_at.map(Timestamp::millis))
    .bind(row.body.version)
    .bind(&row.body.json)
    .execute(connection)
    .await
    .map_err(Error::attempting("put a task"))?;
    Ok(())
}

/// [`put`] of many. If an ARN comes twice, the later row stays.
pub async fn put_many(connection: &mut SqliteConnection, rows: &[Row]) -> Result<(), Error> {
    for chunk in rows.chunks(CHUNK) {
        let mut insert = QueryBuilder::new(
            "INSERT INTO tasks (arn, cluster_arn, task_definition_arn, last_status, stopped_at, body_version, body) ",
        );
        insert.push_values(chunk, |mut values, row| {
            values
                .push_bind(&row.arn)
                .push_bind(&row.cluster_arn)
                .push_bind(&row.task_definition_arn)
                .push_bind(&row.last_status)
                .push_bind(row.stopped_at.map(Timestamp::millis))
                .push_bind(row.body.version)
                .push_bind(&row.body.json);
        });
        insert.push(
            " ON CONFLICT (arn) DO UPDATE
             SET last_status = excluded.last_status, stopped_at = excluded.stopped_at,
                 body_version = excluded.body_version, body = excluded.body",
        );
        insert.build().execute(&mut *connection).await.map_err(Error::attempting("put tasks"))?;
    }
    Ok(())
}

pub async fn get(executor: impl SqliteExecutor<'_>, arn: &str) -> Result<Option<Row>, Error> {
    sqlx::query_as::<_, Columns>(
        "SELECT arn, cluster_arn, task_definition_arn, last_status, stopped_at, body_version, body FROM tasks WHERE arn = ?",
    )
    .bind(arn)
    .fetch_optional(executor)
    .await
    .map(|columns| columns.map(Row::from))
    .map_err(Error::attempting("get a task"))
}

/// Whether a task of the cluster has not stopped yet.
pub async fn any_live_in_cluster(
    executor: impl SqliteExecutor<'_>,
    cluster_arn: &str,
) -> Result<bool, Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE cluster_arn = ? AND last_status <> 'STOPPED')",
    )
    .bind(cluster_arn)
    .fetch_one(executor)
    .await
    .map_err(Error::attempting("look for a cluster's tasks"))
}

/// Whether a task of the revision has not stopped yet.
pub async fn any_live_of_definition(
    executor: impl SqliteExecutor<'_>,
    task_definition_arn: &str,
) -> Result<bool, Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE task_definition_arn = ? AND last_status <> 'STOPPED')",
    )
    .bind(task_definition_arn)
    .fetch_one(executor)
    .await
    .map_err(Error::attempting("look for a task definition's tasks"))
}

/// Counts a task whose body cannot be read among the stopped ones, so that it blocks the deletion of neither its cluster
/// nor its revision. The body stays as it is.
pub async fn set_aside(connection: &mut SqliteConnection, arn: &str) -> Result<(), Error> {
    sqlx::query("UPDATE tasks SET last_status = 'STOPPED' WHERE arn = ? AND last_status <> 'STOPPED'")
        .bind(arn)
        .execute(connection)
        .await
        .map(drop)
        .map_err(Error::attempting("set a task aside"))
}

/// Every task, in the order of creation.
pub async fn load_all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Row>, Error> {
    sqlx::query_as::<_, Columns>(
        "SELECT arn, cluster_arn, task_definition_arn, last_status, stopped_at, body_version, body FROM tasks ORDER BY rowid",
    )
    .fetch_all(executor)
    .await
    .map(|rows| rows.into_iter().map(Row::from).collect())
    .map_err(Error::attempting("load the tasks"))
}

/// The tasks that stopped before `time`.
pub async fn stopped_before(executor: impl SqliteExecutor<'_>, time: Timestamp) -> Result<Vec<Row>, Error> {
    sqlx::query_as::<_, Columns>(
        "SELECT arn, cluster_arn, task_definition_arn, last_status, stopped_at, body_version, body FROM tasks WHERE stopped_at < ?",
    )
    .bind(time.millis())
    .fetch_all(executor)
    .await
    .map(|rows| rows.into_iter().map(Row::from).collect())
    .map_err(Error::attempting("find stopped tasks"))
}

/// Deletes the tasks.
pub async fn delete_many(connection: &mut SqliteConnection, arns: &[String]) -> Result<(), Error> {
    for chunk in arns.chunks(CHUNK) {
        let mut delete = QueryBuilder::new("DELETE FROM tasks WHERE arn IN (");
        let mut listed = delete.separated(", ");
        for arn in chunk {
            listed.push_bind(arn);
        }
        delete.push(")");
        delete.build().execute(&mut *connection).await.map_err(Error::attempting("delete stopped tasks"))?;
    }
    Ok(())
}
