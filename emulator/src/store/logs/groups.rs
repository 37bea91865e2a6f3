//! Log groups, by account, region and name.

use std::collections::BTreeMap;

use sqlx::{FromRow, SqliteConnection, SqliteExecutor};

use crate::clock::Timestamp;
use crate::store::Error;

/// Names a log group here. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub i64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub id: GroupId,
    pub name: String,
    /// `STANDARD`, `INFREQUENT_ACCESS` or `DELIVERY`.
    pub class: String,
    pub created_at: Timestamp,
    /// `None`: events never expire.
    pub retention_days: Option<i64>,
    pub tags: BTreeMap<String, String>,
    /// Messages and overhead of all its events.
    pub stored_bytes: i64,
}

#[derive(FromRow)]
struct Columns {
    id: i64,
    name: String,
    class: String,
    created_at: i64,
    retention_days: Option<i64>,
    tags: String,
    stored_bytes: i64,
}

impl TryFrom<Columns> for Group {
    type Error = Error;

    fn try_from(columns: Columns) -> Result<Self, Error> {
        let Columns { id, name, class, created_at, retention_days, tags, stored_bytes } = columns;
        Ok(Self {
            id: GroupId(id),
            name,
            class,
            created_at: Timestamp(created_at),
            retention_days,
            tags: serde_json::from_str(&tags).map_err(Error::corrupt("a log group's tags"))?,
            stored_bytes,
        })
    }
}

/// Makes the log group; `None` where there is one of this name.
pub async fn create_group(
    connection: &mut SqliteConnection,
    account: &str,
    region: &str,
    name: &str,
    class: &str,
    tags: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Option<GroupId>, Error> {
    sqlx::query_scalar(
        "INSERT INTO log_groups (account, region, name, class, created_at, tags) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(account)
    .bind(region)
    .bind(name)
    .bind(class)
    .bind(now.millis())
    .bind(to_json(tags))
    .fetch_optional(connection)
    .await
    .map(|id| id.map(GroupId))
    .map_err(Error::attempting("create a log group"))
}

pub async fn group(
    executor: impl SqliteExecutor<'_>,
    account: &str,
    region: &str,
    name: &str,
) -> Result<Option<Group>, Error> {
    sqlx::query_as::<_, Columns>(
        "SELECT id, name, class, created_at, retention_days, tags,
                (SELECT coalesce(sum(stored_bytes), 0) FROM log_streams WHERE group_id = log_groups.id) AS stored_bytes
         FROM log_groups WHERE account = ? AND region = ? AND name = ?",
    )
    .bind(account)
    .bind(region)
    .bind(name)
    .fetch_optional(executor)
    .await
    .map_err(Error::attempting("get a log group"))?
    .map(Group::try_from)
    .transpose()
}

/// What DescribeLogGroups asks for.
#[derive(Clone, Copy, Debug)]
pub struct GroupFilter<'a> {
    pub account: &'a str,
    pub region: &'a str,
    pub prefix: &'a str,
    /// Anywhere in the name, in its case.
    pub pattern: Option<&'a str>,
    pub class: Option<&'a str>,
    /// The last name of the page before.
    pub after: Option<&'a str>,
    pub limit: u32,
}

/// A page of log groups, by name.
pub async fn groups(executor: impl SqliteExecutor<'_>, filter: GroupFilter<'_>) -> Result<Vec<Group>, Error> {
    let GroupFilter { account, region, prefix, pattern, class, after, limit } = filter;
    sqlx::query_as::<_, Columns>(
        "SELECT id, name, class, created_at, retention_days, tags,
                (SELECT coalesce(sum(stored_bytes), 0) FROM log_streams WHERE group_id = log_groups.id) AS stored_bytes
         FROM log_groups
         WHERE account = ?1 AND region = ?2 AND name BETWEEN ?3 AND ?3 || char(1114111)
           AND (?4 IS NULL OR instr(name, ?4) > 0) AND (?5 IS NULL OR class = ?5)
           AND name > coalesce(?6, '')
         ORDER BY name LIMIT ?7",
    )
    .bind(account)
    .bind(region)
    .bind(prefix)
    .bind(pattern)
    .bind(class)
    .bind(after)
    .bind(limit)
    .fetch_all(executor)
    .await
    .map_err(Error::attempting("list the log groups"))?
    .into_iter()
    .map(Group::try_from)
    .collect()
}

/// Deletes the log group with all its streams and events. Whether there was one.
pub async fn delete_group(
    connection: &mut SqliteConnection,
    account: &str,
    region: &str,
    name: &str,
) -> Result<bool, Error> {
    sqlx::query("DELETE FROM log_groups WHERE account = ? AND region = ? AND name = ?")
        .bind(account)
        .bind(region)
        .bind(name)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(Error::attempting("delete a log group"))
}

/// Sets for how many days events are kept; `None` is for ever. Whether there is such a group.
pub async fn set_retention(
    connection: &mut SqliteConnection,
    account: &str,
    region: &str,
    name: &str,
    days: Option<i64>,
) -> Result<bool, Error> {
    sqlx::query("UPDATE log_groups SET retention_days = ?4 WHERE account = ?1 AND region = ?2 AND name = ?3")
        .bind(account)
        .bind(region)
        .bind(name)
        .bind(days)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(Error::attempting("set a log group's retention"))
}

/// Puts `tags` in place of the group's.
pub async fn set_tags(
    connection: &mut SqliteConnection,
    group: GroupId,
    tags: &BTreeMap<String, String>,
) -> Result<(), Error> {
    sqlx::query("UPDATE log_groups SET tags = ? WHERE id = ?")
        .bind(to_json(tags))
        .bind(group.0)
        .execute(connection)
        .await
        .map_err(Error::attempting("tag a log group"))?;
    Ok(())
}

fn to_json(tags: &BTreeMap<String, String>) -> String {
    let tags: serde_json::Map<_, _> =
        tags.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    serde_json::Value::Object(tags).to_string()
}
