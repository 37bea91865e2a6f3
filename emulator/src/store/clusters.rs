//! Clusters, by ARN.

use sqlx::{FromRow, SqliteConnection, SqliteExecutor};

use super::{Body, Error};

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Row {
    pub arn: String,
    pub account: String,
    pub region: String,
    pub name: String,
    /// `ACTIVE` or `INACTIVE`.
    pub status: String,
    #[sqlx(flatten)]
    pub body: Body,
}

/// Creates the cluster, or replaces the one with its ARN.
pub async fn put(connection: &mut SqliteConnection, row: &Row) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO clusters (arn, account, region, name, status, body_version, body) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (arn) DO UPDATE
         SET status = excluded.status, body_version = excluded.body_version, body = excluded.body",
    )
    .bind(&row.arn)
    .bind(&row.account)
    .bind(&row.region)
    .bind(&row.name)
    .bind(&row.status)
    .bind(row.body.version)
    .bind(&row.body.json)
    .execute(connection)
    .await
    .map_err(Error::attempting("put a cluster"))?;
    Ok(())
}

pub async fn get(executor: impl SqliteExecutor<'_>, arn: &str) -> Result<Option<Row>, Error> {
    sqlx::query_as(
        "SELECT arn, account, region, name, status, body_version, body FROM clusters WHERE arn = ?",
    )
    .bind(arn)
    .fetch_optional(executor)
    .await
    .map_err(Error::attempting("get a cluster"))
}

/// Every cluster, by account, region and name.
pub async fn load_all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Row>, Error> {
    sqlx::query_as(
        "SELECT arn, account, region, name, status, body_version, body FROM clusters ORDER BY account, region, name",
    )
    .fetch_all(executor)
    .await
    .map_err(Error::attempting("load the clusters"))
}

/// At most `limit` clusters of `status` in a region, by name, only those after `after`.
pub async fn list(
    executor: impl SqliteExecutor<'_>,
    account: &str,
    region: &str,
    status: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Row>, Error> {
    sqlx::query_as(
        "SELECT arn, account, region, name, status, body_version, body FROM clusters
         WHERE account = ? AND region = ? AND name > ? AND status = ? ORDER BY name LIMIT ?",
    )
    .bind(account)
    .bind(region)
    .bind(after.unwrap_or_default())
    .bind(status)
    .bind(limit)
    .fetch_all(executor)
    .await
    .map_err(Error::attempting("list the clusters"))
}

/// Deletes the cluster; whether there was one.
pub async fn delete(connection: &mut SqliteConnection, arn: &str) -> Result<bool, Error> {
    sqlx::query("DELETE FROM clusters WHERE arn = ?")
        .bind(arn)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(Error::attempting("delete a cluster"))
}
