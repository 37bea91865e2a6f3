//! Follows one container's output into the log store.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use regex::Regex;
use tokio::task::JoinHandle;
use tracing::{Instrument, debug, info_span, warn};

use super::assembler::{self, Assembler, Progress};
use crate::clock::{Clock, Timestamp};
use crate::engine::task::AwsLogs;
use crate::runtime::Runtime;
use crate::store::{self, Body, Store, logs};

/// Frames, and bytes of them, that are committed together at the most.
const BATCH: usize = 4096;
const BATCH_BYTES: usize = 256 << 10;

/// How long lines of a multiline event may wait for the next one.
const MULTILINE_WAIT: Duration = Duration::from_secs(1);

/// Between two looks at a log that the runtime could not give.
const RETRY: Duration = Duration::from_millis(200);

/// The version of a stored cursor.
const VERSION: u32 = 1;

/// Whose output it is, and where it goes.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Source {
    pub(in crate::engine) container_id: String,
    /// Account of the task: its log group lives there.
    pub(in crate::engine) account: String,
    /// `prefix/container/task-id`.
    pub(in crate::engine) stream: String,
    pub(in crate::engine) options: AwsLogs,
}

/// A follower at work. It ends by itself once the container has stopped and its last line is committed.
#[derive(Debug)]
pub(in crate::engine) struct Follower(JoinHandle<()>);

impl Follower {
    /// Begins to follow, where the last one of this container stopped. Waits for `after` first: a container that is
    /// started again has one log.
    pub(in crate::engine) fn spawn(
        store: Store,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
        source: Source,
        after: Option<Self>,
    ) -> Self {
        let span = info_span!("awslogs", container = %source.container_id, stream = %source.stream);
        let follow = async move {
            if let Some(after) = after {
                after.finished().await;
            }
            let mut worker = Worker { store, runtime, clock, source, stream: None };
            worker.run().await;
        };
        Self(tokio::spawn(follow.instrument(span)))
    }

    /// Returns once the last line is committed.
    pub(in crate::engine) async fn finished(self) {
        // A follower that panicked has said so; there is nothing more to wait for.
        let _ = self.0.await;
    }

    /// Ends it where it is. What it has read and not committed is read again by the next.
    pub(in crate::engine) fn abort(&self) {
        self.0.abort();
    }
}

/// Makes the container's log stream. `false`: its log group is not there and was not asked to be made.
pub(in crate::engine) async fn ensure_stream(
    store: &Store,
    clock: &Clock,
    source: &Source,
) -> Result<bool, store::Error> {
    let (source, now) = (source.clone(), clock.now());
    store
        .write(move |connection| {
            Box::pin(async move { stream(connection, &source, now).await.map(|stream| stream.is_some()) })
        })
        .await
}

async fn stream(
    connection: &mut store::SqliteConnection,
    source: &Source,
    now: Timestamp,
) -> Result<Option<logs::StreamId>, store::Error> {
    let AwsLogs { group, region, create_group, .. } = &source.options;
    logs::ensure_stream(connection, &source.account, region, group, &source.stream, *create_group, now).await
}

struct Worker {
    store: Store,
    runtime: Arc<dyn Runtime>,
    clock: Clock,
    source: Source,
    /// The log stream, once it was looked up.
    stream: Option<logs::StreamId>,
}

impl Worker {
    async fn run(&mut self) {
        let mut assembler = self.resume().await;
        while !self.read(&mut assembler).await {
            self.clock.sleep(RETRY).await;
            assembler = self.resume().await;
        }
        assembler.finish();
        self.commit(&mut assembler).await;
    }

    async fn resume(&self) -> Assembler {
        let stored = loop {
            match logs::cursor(self.store.readers(), &self.source.container_id).await {
                Ok(stored) => break stored,
                Err(error) => self.trouble("read the log cursor", &error).await,
            }
        };
        let progress = match stored.as_ref().map(read) {
            None => Progress::default(),
            Some(Ok(progress)) => progress,
            Some(Err(error)) => {
                let container = &self.source.container_id;
                warn!(%error, container, "could not read how far the log was followed; it is stored again whole");
                Progress::default()
            }
        };
        Assembler::resume(progress, self.multiline())
    }

    fn multiline(&self) -> Option<Regex> {
        let pattern = self.source.options.multiline_pattern.as_deref()?;
        Regex::new(pattern)
            .inspect_err(
                |error| warn!(pattern, %error, "the multiline pattern is left out: it cannot be read"),
            )
            .ok()
    }

    /// Reads to the end of the log. `false` where it broke off and must be read again.
    async fn read(&mut self, assembler: &mut Assembler) -> bool {
        let mut frames = self.runtime.logs(&self.source.container_id, assembler.since(), true).fuse();
        let store = self.store.clone();
        loop {
            let first = tokio::select! {
                first = frames.next() => first,
                () = self.clock.sleep(MULTILINE_WAIT), if assembler.holds_multiline() => {
                    assembler.flush_multiline();
                    self.commit(assembler).await;
                    continue;
                }
            };
            let Some(first) = first else { return true };
            let _turn = store.logs_in().await;
            let (mut next, mut count, mut bytes, mut whole) = (Some(first), 0, 0, true);
            while let Some(frame) = next {
                match frame {
                    Ok(frame) => {
                        count += 1;
                        bytes += frame.bytes.len();
                        assembler.push(&frame);
                    }
                    Err(error) => {
                        debug!(%error, "the log broke off");
                        whole = false;
                    }
                }
                if count == BATCH || bytes >= BATCH_BYTES {
                    break;
                }
                // What is there already goes along; the end of the log shows again at the next look.
                next = frames.next().now_or_never().flatten();
            }
            self.commit(assembler).await;
            if !whole {
                return !self.still_there().await;
            }
        }
    }

    async fn still_there(&self) -> bool {
        !matches!(self.runtime.inspect_container(&self.source.container_id).await, Ok(None))
    }

    /// Commits the complete events together with how far we are.
    async fn commit(&mut self, assembler: &mut Assembler) {
        let event =
            |event: assembler::Event| logs::Event { timestamp: event.timestamp, message: event.message };
        let events: Arc<[logs::Event]> = assembler.take().into_iter().map(event).collect();
        let progress = Body::new(VERSION, assembler.progress());
        let count = events.len();
        loop {
            let (events, progress, source) = (Arc::clone(&events), progress.clone(), self.source.clone());
            let (known, now) = (self.stream, self.clock.now());
            let committed = self
                .store
                .write(move |connection| {
                    Box::pin(async move {
                        let stream = append(connection, known, &source, &events, now).await?;
                        logs::put_cursor(connection, &source.container_id, &progress).await?;
                        Ok(stream)
                    })
                })
                .await;
            match committed {
                Ok(stream) => {
                    if stream.is_none() && count > 0 {
                        warn!(
                            lost = count,
                            "the log group was deleted while its task runs: output is dropped"
                        );
                    }
                    self.stream = stream;
                    return;
                }
                Err(error) => self.trouble("commit log events", &error).await,
            }
        }
    }

    /// The store is in trouble (a full disk, as a rule): nothing is dropped, it is tried again.
    async fn trouble(&self, attempted: &str, error: &store::Error) {
        warn!(error = error as &dyn std::error::Error, "could not {attempted}; trying again");
        self.clock.sleep(Duration::from_secs(1)).await;
    }
}

/// The cursor of a row.
fn read(body: &Body) -> Result<Progress, store::Error> {
    match body.version {
        VERSION => body.parse("a log cursor"),
        _ => Err(body.newer("a log cursor", VERSION)),
    }
}

/// Appends to the stream; one that was deleted meanwhile is made again, as long as there is its group.
async fn append(
    connection: &mut store::SqliteConnection,
    known: Option<logs::StreamId>,
    source: &Source,
    events: &[logs::Event],
    now: Timestamp,
) -> Result<Option<logs::StreamId>, store::Error> {
    if let Some(stream) = known
        && matches!(logs::append(connection, stream, events, now).await?, logs::Appended::Taken)
    {
        return Ok(known);
    }
    let made = stream(connection, source, now).await?;
    if let Some(stream) = made {
        logs::append(connection, stream, events, now).await?;
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_release_0_1_0_is_read_and_one_of_a_newer_release_is_refused() {
        let json = r#"{"cursor":{"floor":1795730855,"stored":{"1795730865":2}},"stdout":null,"stderr":null,"multiline":null,"last":1795730865117}"#;
        let body = Body { version: 1, json: json.to_owned() };
        let progress = read(&body).expect("the cursor");
        assert_eq!(Body::new(1, &progress).json, json);
        assert!(read(&Body { version: VERSION + 1, ..body }).is_err());
    }
}
