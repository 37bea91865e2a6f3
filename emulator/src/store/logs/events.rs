//! The events of a stream: taking them in, and reading them in order, a page at a time.

use futures::TryStreamExt;
use sqlx::{FromRow, SqliteConnection, SqlitePool};

use super::block::{self, Event, OVERHEAD, Position, Stored};
use super::streams::StreamId;
use crate::clock::Timestamp;
use crate::store::{Error, purge};

/// The last block of a stream takes further events until it has this many bytes. Small, because every event that arrives
/// alone rewrites it.
const FILL: i64 = 8 * 1024;

/// Whether the events had a stream to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Taken,
    /// The stream was deleted meanwhile.
    StreamMissing,
}

/// Adds `events` to the stream. They are numbered in the order of arrival, and read by timestamp.
pub async fn append(
    connection: &mut SqliteConnection,
    stream: StreamId,
    events: &[Event],
    ingested_at: Timestamp,
) -> Result<Appended, Error> {
    let mut events: Vec<&Event> = events.iter().collect();
    // Stable: of two with one timestamp, the one that arrived first stays first. Nothing to do in the usual case.
    events.sort_by_key(|event| event.timestamp);
    // `None`, if there are no events, leaves the times as they are.
    let first = events.first().map(|event| event.timestamp.millis());
    let last = events.last().map(|event| event.timestamp.millis());
    let bytes: usize = events.iter().map(|event| event.message.len() + OVERHEAD).sum();
    let next_sequence: Option<i64> = sqlx::query_scalar(
        "UPDATE log_streams SET
             first_event_at = coalesce(min(first_event_at, ?2), first_event_at, ?2),
             last_event_at = coalesce(max(last_event_at, ?3), last_event_at, ?3),
             last_ingestion_at = iif(?6 > 0, ?4, last_ingestion_at),
             stored_bytes = stored_bytes + ?5,
             next_sequence = next_sequence + ?6
         WHERE id = ?1 AND group_id <> ?7 RETURNING next_sequence",
    )
    .bind(stream.0)
    .bind(first)
    .bind(last)
    .bind(ingested_at.millis())
    .bind(count(bytes))
    .bind(count(events.len()))
    .bind(purge::TRASH)
    .fetch_optional(&mut *connection)
    .await
    .map_err(Error::attempting("update a log stream"))?;
    let Some(next_sequence) = next_sequence else { return Ok(Appended::StreamMissing) };
    let mut sequence = next_sequence - count(events.len());

    let mut rest = &events[..];
    while let Some(first) = rest.first() {
        let home = Home::of(connection, stream, first.timestamp).await?;
        let run =
            home.bound.map_or(rest.len(), |bound| rest.partition_point(|event| event.timestamp < bound));
        let mut packed = Vec::new();
        for event in &rest[..run] {
            block::push(&mut packed, event, sequence, ingested_at)?;
            sequence += 1;
        }
        home.take(connection, stream, &packed).await?;
        rest = &rest[run..];
    }
    Ok(Appended::Taken)
}

/// The block that a new event belongs to: the last one whose first event is not later.
struct Home {
    /// The block to merge with: `None` if it may stay as it is, because it is full and ends before the new event,
    /// or because there is none.
    open: Option<(i64, Vec<u8>)>,
    /// Where the next block begins: events from there on belong to that one.
    bound: Option<Timestamp>,
}

impl Home {
    async fn of(
        connection: &mut SqliteConnection,
        stream: StreamId,
        timestamp: Timestamp,
    ) -> Result<Self, Error> {
        #[derive(FromRow)]
        struct Columns {
            id: Option<i64>,
            events: Option<Vec<u8>>,
            bound: Option<i64>,
        }
        // A new event comes after all that have its timestamp, so the last block that begins with it or earlier.
        let Columns { id, events, bound } = sqlx::query_as(
            "SELECT home.id, home.events,
                    (SELECT min(first_timestamp) FROM log_blocks WHERE stream_id = ?1 AND first_timestamp > ?2) AS bound
             FROM (SELECT 1) LEFT JOIN (
                 SELECT id, CASE WHEN last_timestamp > ?2 OR length(events) < ?3 THEN events END AS events
                 FROM log_blocks WHERE stream_id = ?1 AND first_timestamp <= ?2
                 ORDER BY first_timestamp DESC, first_sequence DESC LIMIT 1) AS home",
        )
        .bind(stream.0)
        .bind(timestamp.millis())
        .bind(FILL)
        .fetch_one(connection)
        .await
        .map_err(Error::attempting("find a block of log events"))?;
        Ok(Self { open: id.zip(events), bound: bound.map(Timestamp) })
    }

    async fn take(
        self,
        connection: &mut SqliteConnection,
        stream: StreamId,
        packed: &[u8],
    ) -> Result<(), Error> {
        let attempted = Error::attempting("write log events");
        let (mut id, old) = self.open.map_or((None, Vec::new()), |(id, events)| (Some(id), events));
        for block in block::merge(&old, packed)? {
            // The first replaces the old one, with whose first event it begins; the rest follow it.
            let written = if let Some(id) = id.take() {
                sqlx::query("UPDATE log_blocks SET last_timestamp = ?, events = ? WHERE id = ?")
                    .bind(block.last_timestamp.millis())
                    .bind(block.events)
                    .bind(id)
                    .execute(&mut *connection)
                    .await
            } else {
                sqlx::query(
                    "INSERT INTO log_blocks (stream_id, first_timestamp, first_sequence, last_timestamp, events)
                     VALUES (?, ?, ?, ?, ?)",
                )
                .bind(stream.0)
                .bind(block.first.timestamp.millis())
                .bind(block.first.sequence)
                .bind(block.last_timestamp.millis())
                .bind(block.events)
                .execute(&mut *connection)
                .await
            };
            written.map_err(&attempted)?;
        }
        Ok(())
    }
}

/// A part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Inclusive.
    pub from: Position,
    /// Exclusive.
    pub to: Position,
}

impl Span {
    fn contains(self, position: Position) -> bool {
        self.from <= position && position < self.to
    }
}

/// How much of a span to read.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// From the end of the span instead of its beginning. The events are in order either way.
    pub newest: bool,
    pub events: usize,
    /// Messages and [`OVERHEAD`]. A single event may be larger.
    pub bytes: usize,
}

/// A page of the events within `span`, in order.
pub async fn page(
    readers: &SqlitePool,
    stream: StreamId,
    span: Span,
    page: Page,
) -> Result<Vec<Stored>, Error> {
    let attempted = Error::attempting("read log events");
    // Blocks are disjoint: of those that begin before the span, only the last can reach into it.
    let reaching: Option<(i64, i64)> = sqlx::query_as(
        "SELECT first_timestamp, first_sequence FROM log_blocks
         WHERE stream_id = ?1 AND (first_timestamp, first_sequence) < (?2, ?3)
         ORDER BY first_timestamp DESC, first_sequence DESC LIMIT 1",
    )
    .bind(stream.0)
    .bind(span.from.timestamp.millis())
    .bind(span.from.sequence)
    .fetch_optional(readers)
    .await
    .map_err(&attempted)?;
    let (timestamp, sequence) =
        reaching.unwrap_or_else(|| (span.from.timestamp.millis(), span.from.sequence));
    let mut blocks = sqlx::query_scalar::<_, Vec<u8>>(if page.newest {
        "SELECT events FROM log_blocks
         WHERE stream_id = ?1 AND (first_timestamp, first_sequence) >= (?2, ?3)
           AND (first_timestamp, first_sequence) < (?4, ?5)
         ORDER BY first_timestamp DESC, first_sequence DESC"
    } else {
        "SELECT events FROM log_blocks
         WHERE stream_id = ?1 AND (first_timestamp, first_sequence) >= (?2, ?3)
           AND (first_timestamp, first_sequence) < (?4, ?5)
         ORDER BY first_timestamp, first_sequence"
    })
    .bind(stream.0)
    .bind(timestamp)
    .bind(sequence)
    .bind(span.to.timestamp.millis())
    .bind(span.to.sequence)
    .fetch(readers);

    let mut events: Vec<Stored> = Vec::new();
    let mut bytes = 0;
    'page: while let Some(block) = blocks.try_next().await.map_err(&attempted)? {
        let mut inside = block::unpack(&block)
            .filter(|event| event.as_ref().map_or(true, |event| span.contains(event.position)))
            .collect::<Result<Vec<_>, _>>()?;
        if page.newest {
            inside.reverse();
        }
        for event in inside {
            if events.len() == page.events || (bytes + event.size() > page.bytes && !events.is_empty()) {
                break 'page;
            }
            bytes += event.size();
            events.push(event.to_stored());
        }
        if events.len() == page.events {
            break;
        }
    }
    if page.newest {
        events.reverse();
    }
    Ok(events)
}

/// Blocks that one [`delete_expired`] deletes.
const EXPIRED: u32 = 512;

/// Deletes some of what is older than its group's retention: only blocks all of whose events are, so that an expired
/// event may stay as long as its neighbours. Returns whether there may be more.
pub async fn delete_expired(connection: &mut SqliteConnection, now: Timestamp) -> Result<bool, Error> {
    let attempted = Error::attempting("delete expired log events");
    // CROSS JOIN keeps SQLite to this order: few groups have a retention, and of their blocks only the old are touched.
    let mut streams: Vec<i64> = sqlx::query_scalar(
        "DELETE FROM log_blocks WHERE id IN (
             SELECT block.id FROM log_groups
             CROSS JOIN log_streams AS stream ON stream.group_id = log_groups.id
             CROSS JOIN log_blocks AS block ON block.stream_id = stream.id
                 AND block.first_timestamp < ?1 - retention_days * 86400000
             WHERE retention_days IS NOT NULL AND block.last_timestamp < ?1 - retention_days * 86400000
             LIMIT ?2)
         RETURNING stream_id",
    )
    .bind(now.millis())
    .bind(EXPIRED)
    .fetch_all(&mut *connection)
    .await
    .map_err(&attempted)?;
    let is_full = streams.len() >= usize::try_from(EXPIRED).unwrap_or(usize::MAX);
    streams.sort_unstable();
    streams.dedup();
    for stream in streams {
        sqlx::query(
            "UPDATE log_streams SET (stored_bytes, first_event_at, last_event_at) = (
                 SELECT coalesce(sum(length(events)), 0), min(first_timestamp), max(last_timestamp)
                 FROM log_blocks WHERE stream_id = ?1)
             WHERE id = ?1",
        )
        .bind(stream)
        .execute(&mut *connection)
        .await
        .map_err(&attempted)?;
    }
    Ok(is_full)
}

/// A length as SQLite's integer.
fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::Store;
    use crate::store::logs::{
        Group, NewGroup, create_group, delete_group, ensure_stream, group, set_retention, stored_bytes,
        stream,
    };

    const END: Position = Position { timestamp: Timestamp(i64::MAX), sequence: 0 };

    async fn store_with_stream(dir: &std::path::Path) -> (Store, StreamId) {
        let store = Store::open(dir).await.unwrap();
        let stream = store
            .write(|connection| {
                Box::pin(async move {
                    ensure_stream(connection, "0", "r", "group", "stream", true, Timestamp(0)).await
                })
            })
            .await
            .unwrap()
            .unwrap();
        (store, stream)
    }

    async fn put(store: &Store, stream: StreamId, events: Vec<Event>) -> Appended {
        store
            .write(move |connection| {
                Box::pin(async move { append(connection, stream, &events, Timestamp(99)).await })
            })
            .await
            .unwrap()
    }

    /// Batches of events, as they arrive: timestamps mostly rise, and sometimes don't.
    fn batches() -> impl Strategy<Value = Vec<Vec<Event>>> {
        let event = (0_i64..40, prop_oneof![9 => 0_usize..100, 1 => 3_000_usize..40_000]);
        let batch = (0_i64..200, prop::collection::vec(event, 1..40)).prop_map(|(start, events)| {
            let event = |(offset, length): (i64, usize)| Event {
                timestamp: Timestamp(start + offset),
                message: format!("{length}-{offset}").repeat(1 + length / 5),
            };
            events.into_iter().map(event).collect()
        });
        prop::collection::vec(batch, 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn pages_both_ways_give_every_event_once_in_order_however_they_came(
            batches in batches(),
            events in 1_usize..50,
            bytes in 1_usize..50_000,
            from in 0_i64..100,
            to in 60_i64..260,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let dir = tempfile::tempdir().unwrap();
                let (store, stream) = store_with_stream(dir.path()).await;
                let mut expected: Vec<Event> = batches.concat();
                for batch in batches {
                    prop_assert_eq!(put(&store, stream, batch).await, Appended::Taken);
                }
                expected.sort_by_key(|event| event.timestamp);
                let all = expected.clone();
                expected.retain(|event| (from..to).contains(&event.timestamp.millis()));

                for newest in [false, true] {
                    let mut span = Span {
                        from: Position::start_of(Timestamp(from)),
                        to: Position::start_of(Timestamp(to)),
                    };
                    let mut pages: Vec<Vec<Stored>> = Vec::new();
                    loop {
                        let read = page(store.readers(), stream, span, Page { newest, events, bytes }).await.unwrap();
                        let (Some(first), Some(last)) = (read.first(), read.last()) else { break };
                        prop_assert!(read.len() <= events);
                        let size: usize = read.iter().map(|event| event.message.len() + OVERHEAD).sum();
                        prop_assert!(size <= bytes || read.len() == 1);
                        if newest {
                            span.to = first.position;
                        } else {
                            span.from = last.position.next();
                        }
                        pages.push(read);
                    }
                    if newest {
                        pages.reverse();
                    }
                    let read: Vec<Event> = pages
                        .concat()
                        .into_iter()
                        .map(|event| Event { timestamp: event.position.timestamp, message: event.message })
                        .collect();
                    prop_assert_eq!(&read, &expected);
                }

                let stored = stored_bytes(store.readers(), group_of(&store).await.id).await.unwrap();
                let size: usize = all.iter().map(|event| event.message.len() + OVERHEAD).sum();
                prop_assert_eq!(stored, count(size));
                let packed: i64 = sqlx::query_scalar("SELECT sum(length(events)) FROM log_blocks")
                    .fetch_one(store.readers()).await.unwrap();
                prop_assert_eq!(stored, packed);
                Ok(())
            })?;
        }
    }

    #[tokio::test]
    async fn events_that_come_alone_share_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let (store, stream) = store_with_stream(dir.path()).await;
        for number in 0..1000 {
            put(&store, stream, vec![Event { timestamp: Timestamp(number), message: "x".repeat(60) }]).await;
        }
        let blocks: i64 =
            sqlx::query_scalar("SELECT count(*) FROM log_blocks").fetch_one(store.readers()).await.unwrap();
        assert!(blocks <= 11, "{blocks} blocks for 86 KB");
    }

    #[tokio::test]
    async fn events_for_a_deleted_stream_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = store_with_stream(dir.path()).await;
        let event = Event { timestamp: Timestamp(1), message: "late".into() };
        assert_eq!(put(&store, StreamId(999), vec![event]).await, Appended::StreamMissing);
    }

    #[tokio::test]
    async fn expiry_takes_whole_blocks_and_corrects_the_sums() {
        const DAY: i64 = 86_400_000;
        let dir = tempfile::tempdir().unwrap();
        let (store, id) = store_with_stream(dir.path()).await;
        let event = |day: i64| Event { timestamp: Timestamp(day * DAY), message: "x".repeat(20_000) };
        for day in [10, 11, 12, 13] {
            put(&store, id, vec![event(day)]).await;
        }
        let group = group_of(&store).await.id;
        let expire = async |now: i64, days: Option<i64>| {
            store
                .write(move |connection| {
                    Box::pin(async move {
                        set_retention(connection, group, days).await?;
                        delete_expired(connection, Timestamp(now * DAY)).await
                    })
                })
                .await
                .unwrap();
            let stream = stream(store.readers(), group, "stream").await.unwrap().unwrap();
            let days = |at: Option<Timestamp>| at.map(|at| at.millis() / DAY);
            let stored = stored_bytes(store.readers(), group).await.unwrap();
            (days(stream.first_event_at), days(stream.last_event_at), stored)
        };
        assert_eq!(expire(100, None).await, (Some(10), Some(13), 4 * 20_026));
        assert_eq!(expire(15, Some(3)).await, (Some(12), Some(13), 2 * 20_026));
        assert_eq!(expire(100, Some(3)).await, (None, None, 0));
    }

    #[tokio::test]
    async fn a_name_is_given_to_one_group_only() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = store_with_stream(dir.path()).await;
        let second = NewGroup::standard("0", "r", "group", Timestamp(5));
        let taken = store
            .write(move |connection| Box::pin(async move { create_group(connection, &second).await }))
            .await
            .unwrap();
        assert_eq!(taken, None);
    }

    async fn group_of(store: &Store) -> Group {
        group(store.readers(), "0", "r", "group").await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_group_takes_its_streams_and_their_events_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (store, stream) = store_with_stream(dir.path()).await;
        put(&store, stream, vec![Event { timestamp: Timestamp(1), message: "gone".into() }]).await;
        let group = group_of(&store).await.id;
        store
            .write(move |connection| {
                Box::pin(async move {
                    delete_group(connection, group).await?;
                    while purge::step(connection).await? {}
                    Ok(())
                })
            })
            .await
            .unwrap();
        let span = Span { from: Position::start_of(Timestamp(0)), to: END };
        let all = Page { newest: false, events: 10, bytes: 1000 };
        assert_eq!(page(store.readers(), stream, span, all).await.unwrap(), []);
    }
}
