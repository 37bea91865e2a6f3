//! Log streams, by group and name.

use sqlx::{FromRow, SqliteConnection, SqliteExecutor};

use super::groups::{GroupId, NewGroup, create_group};
use crate::clock::Timestamp;
use crate::store::{Error, purge};

/// Identifies a log stream here. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub i64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub id: StreamId,
    pub name: String,
    pub created_at: Timestamp,
    pub first_event_at: Option<Timestamp>,
    pub last_event_at: Option<Timestamp>,
    pub last_ingestion_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Columns {
    id: i64,
    name: String,
    created_at: i64,
    first_event_at: Option<i64>,
    last_event_at: Option<i64>,
    last_ingestion_at: Option<i64>,
}

impl From<Columns> for Stream {
    fn from(columns: Columns) -> Self {
        let Columns { id, name, created_at, first_event_at, last_event_at, last_ingestion_at } = columns;
        Self {
            id: StreamId(id),
            name,
            created_at: Timestamp(created_at),
            first_event_at: first_event_at.map(Timestamp),
            last_event_at: last_event_at.map(Timestamp),
            last_ingestion_at: last_ingestion_at.map(Timestamp),
        }
    }
}

/// The result of creating a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Stream(StreamId),
    /// There is one of this name.
    Exists(StreamId),
    GroupMissing,
}

/// Creates the stream.
pub async fn create_stream(
    connection: &mut SqliteConnection,
    account: &str,
    region: &str,
    group: &str,
    name: &str,
    now: Timestamp,
) -> Result<Created, Error> {
    let attempted = Error::attempting("create a log stream");
    let created: Option<i64> = sqlx::query_scalar(
        "INSERT INTO log_streams (group_id, name, created_at)
         SELECT id, ?4, ?5 FROM log_groups WHERE account = ?1 AND region = ?2 AND name = ?3
         ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(account)
    .bind(region)
    .bind(group)
    .bind(name)
    .bind(now.millis())
    .fetch_optional(&mut *connection)
    .await
    .map_err(&attempted)?;
    if let Some(id) = created {
        return Ok(Created::Stream(StreamId(id)));
    }
    let existing: Option<i64> = sqlx::query_scalar(
        "SELECT log_streams.id FROM log_groups JOIN log_streams ON group_id = log_groups.id AND log_streams.name = ?4
         WHERE account = ?1 AND region = ?2 AND log_groups.name = ?3",
    )
    .bind(account)
    .bind(region)
    .bind(group)
    .bind(name)
    .fetch_optional(connection)
    .await
    .map_err(&attempted)?;
    Ok(existing.map_or(Created::GroupMissing, |id| Created::Exists(StreamId(id))))
}

/// The stream of this name, created if it is missing; with `create_group` its group too. `None` if there
/// is no such group.
///
/// What the `awslogs` driver does before a container starts, with `awslogs-create-group`.
pub async fn ensure_stream(
    connection: &mut SqliteConnection,
    account: &str,
    region: &str,
    group: &str,
    name: &str,
    create_group_too: bool,
    now: Timestamp,
) -> Result<Option<StreamId>, Error> {
    if create_group_too {
        create_group(connection, &NewGroup::standard(account, region, group, now)).await?;
    }
    Ok(match create_stream(connection, account, region, group, name, now).await? {
        Created::Stream(id) | Created::Exists(id) => Some(id),
        Created::GroupMissing => None,
    })
}

/// The stream that a name's events are written to and read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of the group.
    pub retention_days: Option<i64>,
    /// `None`: there is no such stream.
    pub stream: Option<StreamId>,
}

/// Looks a stream up by its names; `None` if there is no such group.
pub async fn place(
    executor: impl SqliteExecutor<'_>,
    account: &str,
    region: &str,
    group: &str,
    name: &str,
) -> Result<Option<Place>, Error> {
    let found: Option<(Option<i64>, Option<i64>)> = sqlx::query_as(
        "SELECT retention_days, log_streams.id
         FROM log_groups LEFT JOIN log_streams ON group_id = log_groups.id AND log_streams.name = ?4
         WHERE account = ?1 AND region = ?2 AND log_groups.name = ?3",
    )
    .bind(account)
    .bind(region)
    .bind(group)
    .bind(name)
    .fetch_optional(executor)
    .await
    .map_err(Error::attempting("look a log stream up"))?;
    Ok(found.map(|(retention_days, id)| Place { retention_days, stream: id.map(StreamId) }))
}

pub async fn stream(
    executor: impl SqliteExecutor<'_>,
    group: GroupId,
    name: &str,
) -> Result<Option<Stream>, Error> {
    sqlx::query_as::<_, Columns>(
        "SELECT id, name, created_at, first_event_at, last_event_at, last_ingestion_at
         FROM log_streams WHERE group_id = ? AND name = ?",
    )
    .bind(group.0)
    .bind(name)
    .fetch_optional(executor)
    .await
    .map(|columns| columns.map(Stream::from))
    .map_err(Error::attempting("get a log stream"))
}

/// How DescribeLogStreams sorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamOrder {
    Name,
    /// By the last event's timestamp, then name; a stream without events is before all others.
    LastEvent,
}

/// What DescribeLogStreams asks for.
#[derive(Clone, Copy, Debug)]
pub struct StreamFilter<'a> {
    pub group: GroupId,
    pub prefix: &'a str,
    pub order: StreamOrder,
    pub descending: bool,
    /// The last stream of the previous page: its last event's timestamp, -1 if it has none, and its name.
    pub after: Option<(i64, &'a str)>,
    pub limit: u32,
}

/// A page of streams.
pub async fn streams(
    executor: impl SqliteExecutor<'_>,
    filter: StreamFilter<'_>,
) -> Result<Vec<Stream>, Error> {
    let StreamFilter { group, prefix, order, descending, after, limit } = filter;
    let statement = match (order, descending) {
        (StreamOrder::Name, false) => {
            "SELECT id, name, created_at, first_event_at, last_event_at, last_ingestion_at
             FROM log_streams
             WHERE group_id = ?1 AND name BETWEEN ?2 AND ?2 || char(1114111) AND (?4 IS NULL OR name > ?4)
             ORDER BY name LIMIT ?5"
        }
        (StreamOrder::Name, true) => {
            "SELECT id, name, created_at, first_event_at, last_event_at, last_ingestion_at
             FROM log_streams
             WHERE group_id = ?1 AND name BETWEEN ?2 AND ?2 || char(1114111) AND (?4 IS NULL OR name < ?4)
             ORDER BY name DESC LIMIT ?5"
        }
        (StreamOrder::LastEvent, false) => {
            "SELECT id, name, created_at, first_event_at, last_event_at, last_ingestion_at
             FROM log_streams
             WHERE group_id = ?1 AND name BETWEEN ?2 AND ?2 || char(1114111)
               AND (?4 IS NULL OR (coalesce(last_event_at, -1), name) > (?3, ?4))
             ORDER BY coalesce(last_event_at, -1), name LIMIT ?5"
        }
        (StreamOrder::LastEvent, true) => {
            "SELECT id, name, created_at, first_event_at, last_event_at, last_ingestion_at
             FROM log_streams
             WHERE group_id = ?1 AND name BETWEEN ?2 AND ?2 || char(1114111)
               AND (?4 IS NULL OR (coalesce(last_event_at, -1), name) < (?3, ?4))
             ORDER BY coalesce(last_event_at, -1) DESC, name DESC LIMIT ?5"
        }
    };
    sqlx::query_as::<_, Columns>(statement)
        .bind(group.0)
        .bind(prefix)
        .bind(after.map(|(last_event_at, _)| last_event_at))
        .bind(after.map(|(_, name)| name))
        .bind(limit)
        .fetch_all(executor)
        .await
        .map(|rows| rows.into_iter().map(Stream::from).collect())
        .map_err(Error::attempting("list the log streams"))
}

/// Every stream whose name starts with `prefix` and that has events from `start` (inclusive) to `end` (exclusive), or
/// may have some: by name.
pub async fn streams_within(
    executor: impl SqliteExecutor<'_>,
    group: GroupId,
    prefix: &str,
    start: Timestamp,
    end: Timestamp,
) -> Result<Vec<Stream>, Error> {
    sqlx::query_as::<_, Columns>(
        "SELECT id, name, created_at, first_event_at, last_event_at, last_ingestion_at
         FROM log_streams
         WHERE group_id = ?1 AND name BETWEEN ?2 AND ?2 || char(1114111) AND last_event_at >= ?3 AND first_event_at < ?4
         ORDER BY name",
    )
    .bind(group.0)
    .bind(prefix)
    .bind(start.millis())
    .bind(end.millis())
    .fetch_all(executor)
    .await
    .map(|rows| rows.into_iter().map(Stream::from).collect())
    .map_err(Error::attempting("find the log streams of a time"))
}

/// Deletes the stream with its events; these are deleted piece by piece afterwards ([`crate::store::Store::purge`]).
pub async fn delete_stream(connection: &mut SqliteConnection, stream: StreamId) -> Result<(), Error> {
    purge::discard_stream(connection, stream.0).await
}
