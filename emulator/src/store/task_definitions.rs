//! Task definitions, by ARN; families and their revisions.

use sqlx::{FromRow, SqliteConnection, SqliteExecutor};

use super::{Body, Error};

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Row {
    pub arn: String,
    pub account: String,
    pub region: String,
    pub family: String,
    pub revision: i64,
    /// `ACTIVE`, `INACTIVE` or `DELETE_IN_PROGRESS`.
    pub status: String,
    #[sqlx(flatten)]
    pub body: Body,
}

/// The next revision of a family: one more than any that was ever assigned, deleted ones too. The first is
/// 1.
pub async fn next_revision(
    connection: &mut SqliteConnection,
    account: &str,
    region: &str,
    family: &str,
) -> Result<i64, Error> {
    sqlx::query_scalar(
        "INSERT INTO families (account, region, family, last_revision) VALUES (?, ?, ?, 1)
         ON CONFLICT DO UPDATE SET last_revision = last_revision + 1 RETURNING last_revision",
    )
    .bind(account)
    .bind(region)
    .bind(family)
    .fetch_one(connection)
    .await
    .map_err(Error::attempting("number a revision"))
}

/// Creates the task definition, or replaces the one with its ARN.
pub async fn put(connection: &mut SqliteConnection, row: &Row) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO task_definitions (arn, account, region, family, revision, status, body_version, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (arn) DO UPDATE
         SET status = excluded.status, body_version = excluded.body_version, body = excluded.body",
    )
    .bind(&row.arn)
    .bind(&row.account)
    .bind(&row.region)
    .bind(&row.family)
    .bind(row.revision)
    .bind(&row.status)
    .bind(row.body.version)
    .bind(&row.body.json)
    .execute(connection)
    .await
    .map_err(Error::attempting("put a task definition"))?;
    Ok(())
}

pub async fn get(executor: impl SqliteExecutor<'_>, arn: &str) -> Result<Option<Row>, Error> {
    sqlx::query_as(
        "SELECT arn, account, region, family, revision, status, body_version, body FROM task_definitions WHERE arn = ?",
    )
    .bind(arn)
    .fetch_optional(executor)
    .await
    .map_err(Error::attempting("get a task definition"))
}

/// The latest `ACTIVE` revision of a family: what `family` without a revision means.
pub async fn latest_active(
    executor: impl SqliteExecutor<'_>,
    account: &str,
    region: &str,
    family: &str,
) -> Result<Option<Row>, Error> {
    sqlx::query_as(
        "SELECT arn, account, region, family, revision, status, body_version, body FROM task_definitions
         WHERE account = ? AND region = ? AND family = ? AND status = 'ACTIVE' ORDER BY revision DESC LIMIT 1",
    )
    .bind(account)
    .bind(region)
    .bind(family)
    .fetch_optional(executor)
    .await
    .map_err(Error::attempting("get a family's latest task definition"))
}

/// Every task definition, by family and revision.
pub async fn load_all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Row>, Error> {
    sqlx::query_as(
        "SELECT arn, account, region, family, revision, status, body_version, body FROM task_definitions
         ORDER BY account, region, family, revision",
    )
    .fetch_all(executor)
    .await
    .map_err(Error::attempting("load the task definitions"))
}

/// What ListTaskDefinitions asks for.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    pub account: &'a str,
    pub region: &'a str,
    /// The whole name of a family: ListTaskDefinitions' `familyPrefix` is that, despite its name.
    pub family: Option<&'a str>,
    pub status: &'a str,
    /// By family and revision, both descending instead of ascending.
    pub descending: bool,
    /// Family and revision of the last one on the previous page.
    pub after: Option<(&'a str, i64)>,
    pub limit: u32,
}

/// A page of task definitions: ARN, family and revision of each.
pub async fn list(
    executor: impl SqliteExecutor<'_>,
    filter: Filter<'_>,
) -> Result<Vec<(String, String, i64)>, Error> {
    let Filter { account, region, family, status, descending, after, limit } = filter;
    let statement = if descending {
        "SELECT arn, family, revision FROM task_definitions
         WHERE account = ?1 AND region = ?2 AND status = ?3 AND (?4 IS NULL OR family = ?4)
           AND (?5 IS NULL OR (family, revision) < (?5, ?6))
         ORDER BY family DESC, revision DESC LIMIT ?7"
    } else {
        "SELECT arn, family, revision FROM task_definitions
         WHERE account = ?1 AND region = ?2 AND status = ?3 AND (?4 IS NULL OR family = ?4)
           AND (?5 IS NULL OR (family, revision) > (?5, ?6))
         ORDER BY family, revision LIMIT ?7"
    };
    sqlx::query_as(statement)
        .bind(account)
        .bind(region)
        .bind(status)
        .bind(family)
        .bind(after.map(|(family, _)| family))
        .bind(after.map(|(_, revision)| revision))
        .bind(limit)
        .fetch_all(executor)
        .await
        .map_err(Error::attempting("list the task definitions"))
}

/// `status` of ListTaskDefinitionFamilies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyStatus {
    /// With an `ACTIVE` revision.
    Active,
    /// With revisions, none of them `ACTIVE`.
    Inactive,
    /// With any revision.
    All,
}

/// At most `limit` families whose name starts with `prefix`, by name, only those after `after`.
pub async fn families(
    executor: impl SqliteExecutor<'_>,
    account: &str,
    region: &str,
    prefix: &str,
    status: FamilyStatus,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>, Error> {
    sqlx::query_scalar(
        "SELECT family FROM task_definitions
         WHERE account = ?1 AND region = ?2 AND family >= ?3 AND substr(family, 1, length(?3)) = ?3 AND family > ?4
         GROUP BY family HAVING ?5 IS NULL OR max(status = 'ACTIVE') = ?5
         ORDER BY family LIMIT ?6",
    )
    .bind(account)
    .bind(region)
    .bind(prefix)
    .bind(after.unwrap_or_default())
    .bind(match status {
        FamilyStatus::Active => Some(true),
        FamilyStatus::Inactive => Some(false),
        FamilyStatus::All => None,
    })
    .bind(limit)
    .fetch_all(executor)
    .await
    .map_err(Error::attempting("list the families"))
}

/// Deletes the task definition; whether there was one. Its revision is not assigned again.
pub async fn delete(connection: &mut SqliteConnection, arn: &str) -> Result<bool, Error> {
    sqlx::query("DELETE FROM task_definitions WHERE arn = ?")
        .bind(arn)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(Error::attempting("delete a task definition"))
}
