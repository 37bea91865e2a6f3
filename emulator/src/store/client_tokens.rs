//! RunTask's client tokens: what each was used for, so that the same token gets the same response.

use std::time::Duration;

use sqlx::{SqliteConnection, SqliteExecutor};

use super::{Body, Error};
use crate::clock::Timestamp;

/// How long a token is remembered.
///
/// Source: Amazon ECS API reference, "Ensuring idempotency": a token is valid for 24 hours.
pub const LIFETIME: Duration = Duration::from_hours(24);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The token is unique within this: the cluster's ARN.
    pub scope: String,
    pub token: String,
    /// Of the request: another request with the same token is a conflict.
    pub digest: String,
    pub task_arns: Vec<String>,
    /// What the request returned. `None` in a row of a release that did not keep it.
    pub answer: Option<Body>,
    pub created_at: Timestamp,
}

/// Remembers the token, in place of an expired one.
pub async fn put(connection: &mut SqliteConnection, row: &Row) -> Result<(), Error> {
    let task_arns = serde_json::Value::from(row.task_arns.clone()).to_string();
    sqlx::query(
        "INSERT INTO client_tokens (scope, token, digest, task_arns, body_version, body, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET digest = excluded.digest, task_arns = excluded.task_arns,
             body_version = excluded.body_version, body = excluded.body, created_at = excluded.created_at",
    )
    .bind(&row.scope)
    .bind(&row.token)
    .bind(&row.digest)
    .bind(task_arns)
    .bind(row.answer.as_ref().map_or(1, |answer| answer.version))
    .bind(row.answer.as_ref().map(|answer| &answer.json))
    .bind(row.created_at.millis())
    .execute(connection)
    .await
    .map_err(Error::attempting("put a client token"))?;
    Ok(())
}

/// The token, unless it has expired by `now`.
pub async fn get(
    executor: impl SqliteExecutor<'_>,
    scope: &str,
    token: &str,
    now: Timestamp,
) -> Result<Option<Row>, Error> {
    let found: Option<(String, String, u32, Option<String>, i64)> = sqlx::query_as(
        "SELECT digest, task_arns, body_version, body, created_at FROM client_tokens
         WHERE scope = ? AND token = ? AND created_at > ?",
    )
    .bind(scope)
    .bind(token)
    .bind(now.minus(LIFETIME).millis())
    .fetch_optional(executor)
    .await
    .map_err(Error::attempting("get a client token"))?;
    found
        .map(|(digest, task_arns, version, json, created_at)| {
            Ok(Row {
                scope: scope.to_owned(),
                token: token.to_owned(),
                digest,
                task_arns: serde_json::from_str(&task_arns)
                    .map_err(Error::corrupt("a client token's tasks"))?,
                answer: json.map(|json| Body { version, json }),
                created_at: Timestamp(created_at),
            })
        })
        .transpose()
}

/// Forgets the tokens that have expired by `now`; returns how many.
pub async fn delete_expired(connection: &mut SqliteConnection, now: Timestamp) -> Result<u64, Error> {
    sqlx::query("DELETE FROM client_tokens WHERE created_at <= ?")
        .bind(now.minus(LIFETIME).millis())
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(Error::attempting("delete expired client tokens"))
}
