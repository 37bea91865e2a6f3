//! Log groups, by account, region and name.

use std::collections::BTreeMap;

use sqlx::{FromRow, SqliteConnection, SqliteExecutor};

use crate::clock::Timestamp;
use crate::store::{Error, purge};

/// Identifies a log group here. Never reused.
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
    pub kms_key_id: Option<String>,
    /// Protected against deletion.
    pub is_protected: bool,
    pub tags: BTreeMap<String, String>,
}

#[derive(FromRow)]
struct Columns {
    id: i64,
    name: String,
    class: String,
    created_at: i64,
    retention_days: Option<i64>,
    kms_key_id: Option<String>,
    is_protected: bool,
    tags: String,
}

impl TryFrom<Columns> for Group {
    type Error = Error;

    fn try_from(columns: Columns) -> Result<Self, Error> {
        let Columns { id, name, class, created_at, retention_days, kms_key_id, is_protected, tags } = columns;
        Ok(Self {
            id: GroupId(id),
            name,
            class,
            created_at: Timestamp(created_at),
            retention_days,
            kms_key_id,
            is_protected,
            tags: serde_json::from_str(&tags).map_err(Error::corrupt("a log group's tags"))?,
        })
    }
}

/// A log group to be created.
#[derive(Clone, Debug)]
pub struct NewGroup {
    pub account: String,
    pub region: String,
    pub name: String,
    pub class: String,
    pub kms_key_id: Option<String>,
    pub is_protected: bool,
    pub tags: BTreeMap<String, String>,
    pub created_at: Timestamp,
}

impl NewGroup {
    /// One with CloudWatch's defaults.
    pub fn standard(account: &str, region: &str, name: &str, created_at: Timestamp) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            name: name.to_owned(),
            class: "STANDARD".to_owned(),
            kms_key_id: None,
            is_protected: false,
            tags: BTreeMap::new(),
            created_at,
        }
    }
}

/// Creates the log group; `None` if there is one of this name.
pub async fn create_group(
    connection: &mut SqliteConnection,
    group: &NewGroup,
) -> Result<Option<GroupId>, Error> {
    let NewGroup { account, region, name, class, kms_key_id, is_protected, tags, created_at } = group;
    sqlx::query_scalar(
        "INSERT INTO log_groups (account, region, name, class, kms_key_id, is_protected, tags, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(account)
    .bind(region)
    .bind(name)
    .bind(class)
    .bind(kms_key_id)
    .bind(is_protected)
    .bind(to_json(tags))
    .bind(created_at.millis())
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
        "SELECT id, name, class, created_at, retention_days, kms_key_id, is_protected, tags
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

/// Messages and overhead of all events of the group.
pub async fn stored_bytes(executor: impl SqliteExecutor<'_>, group: GroupId) -> Result<i64, Error> {
    sqlx::query_scalar("SELECT coalesce(sum(stored_bytes), 0) FROM log_streams WHERE group_id = ?")
        .bind(group.0)
        .fetch_one(executor)
        .await
        .map_err(Error::attempting("add up a log group"))
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
    /// The last name of the previous page.
    pub after: Option<&'a str>,
    pub limit: u32,
}

/// A page of log groups, by name.
pub async fn groups(executor: impl SqliteExecutor<'_>, filter: GroupFilter<'_>) -> Result<Vec<Group>, Error> {
    let GroupFilter { account, region, prefix, pattern, class, after, limit } = filter;
    sqlx::query_as::<_, Columns>(
        "SELECT id, name, class, created_at, retention_days, kms_key_id, is_protected, tags
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

/// Deletes the log group with all its streams and events; these are deleted piece by piece
/// afterwards ([`crate::store::Store::purge`]).
pub async fn delete_group(connection: &mut SqliteConnection, group: GroupId) -> Result<(), Error> {
    purge::discard_streams(connection, Some(group.0)).await?;
    sqlx::query("DELETE FROM log_groups WHERE id = ?")
        .bind(group.0)
        .execute(connection)
        .await
        .map_err(Error::attempting("delete a log group"))?;
    Ok(())
}

/// Sets for how many days events are kept; `None` is for ever.
pub async fn set_retention(
    connection: &mut SqliteConnection,
    group: GroupId,
    days: Option<i64>,
) -> Result<(), Error> {
    sqlx::query("UPDATE log_groups SET retention_days = ? WHERE id = ?")
        .bind(days)
        .bind(group.0)
        .execute(connection)
        .await
        .map_err(Error::attempting("set a log group's retention"))?;
    Ok(())
}

/// Sets whether the group is protected against deletion.
pub async fn set_protection(
    connection: &mut SqliteConnection,
    group: GroupId,
    is_protected: bool,
) -> Result<(), Error> {
    sqlx::query("UPDATE log_groups SET is_protected = ? WHERE id = ?")
        .bind(is_protected)
        .bind(group.0)
        .execute(connection)
        .await
        .map_err(Error::attempting("protect a log group"))?;
    Ok(())
}

/// Replaces the group's tags by `tags`.
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
