//! Follows one container's output into the log store.
//!
//! A log that cannot be read is retried while its container runs. Once the container has ended there are a few more
//! attempts; then an event in the stream reports that the rest is lost, and the follower ends, so that the task can stop.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use regex::Regex;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, info_span, warn};

use super::assembler::{self, Assembler, Progress};
use crate::clock::{Clock, Timestamp};
use crate::engine::context::Context;
use crate::engine::task::AwsLogs;
use crate::runtime::{Error, Observed, Runtime, State};
use crate::store::{self, Body, Store, logs};

/// The most frames, and bytes of frames, that are committed together.
const BATCH: usize = 4096;
const BATCH_BYTES: usize = 256 << 10;

/// How long lines of a multiline event may wait for the next one.
const MULTILINE_WAIT: Duration = Duration::from_secs(1);

/// Before the second attempt at a log that could not be read; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The log of a container that has ended is given up after these attempts without progress and this time: [`UNREADABLE`] if
/// the engine reports that it cannot read it, which may be temporary (its disk is full, it has no file left);
/// [`NO_RESPONSE`] if it does not respond.
const ATTEMPTS: u32 = 3;
const UNREADABLE: Duration = Duration::from_secs(10);
const NO_RESPONSE: Duration = Duration::from_mins(1);

/// How long the engine may take for the next frame of a container that has ended, and to inspect a container.
const RESPONSE: Duration = Duration::from_secs(20);

/// The version of a stored cursor.
const VERSION: u32 = 1;

/// The container whose output is followed, and its log stream.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Source {
    pub(in crate::engine) container_id: String,
    /// Account of the task, which has the log group.
    pub(in crate::engine) account: String,
    /// `prefix/container/task-id`.
    pub(in crate::engine) stream: String,
    pub(in crate::engine) options: AwsLogs,
}

/// A running follower. It ends once the container has stopped and its last line is committed, or when this handle is
/// dropped: what was read and not committed is read again by the next follower.
#[derive(Debug)]
pub(in crate::engine) struct Follower {
    work: AbortOnDropHandle<()>,
    ended: watch::Sender<bool>,
}

impl Follower {
    /// Begins to follow where the last follower of this container, `after`, stopped. Waits for it first: a restarted
    /// container has only one log.
    pub(in crate::engine) fn spawn(context: &Context, source: Source, after: Option<Self>) -> Self {
        let span = info_span!("awslogs", container = %source.container_id, stream = %source.stream);
        let (ended, has_ended) = watch::channel(false);
        let mut worker = Worker {
            store: context.store.clone(),
            runtime: Arc::clone(&context.runtime),
            clock: context.clock.clone(),
            source,
            stream: None,
            has_ended,
        };
        let follow = async move {
            if let Some(mut after) = after {
                let has_ended = async {
                    if worker.has_ended.wait_for(|ended| *ended).await.is_err() {
                        // The handle was dropped, so this is dropped as well.
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    _ = &mut after.work => {}
                    () = has_ended => after.finished().await,
                }
            }
            worker.run().await;
        };
        // Tracked, so that a reset can wait for its last write.
        let work = context.followers.spawn(follow.instrument(span));
        Self { work: AbortOnDropHandle::new(work), ended }
    }

    /// Returns once the last line of the container, which has ended, is committed or given up.
    pub(in crate::engine) async fn finished(self) {
        self.ended.send_replace(true);
        // A follower that panicked has logged it; there is nothing more to wait for.
        let _ = self.work.await;
    }
}

/// Creates the container's log stream. `false` if its log group does not exist and is not to be created.
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
    /// Whether a caller waits for the end of the log, because the container has ended.
    has_ended: watch::Receiver<bool>,
}

/// Attempts at a log since the last one that read something.
struct Attempts {
    count: u32,
    pause: Duration,
    since: Timestamp,
}

impl Worker {
    async fn run(&mut self) {
        let mut attempts: Option<Attempts> = None;
        loop {
            let mut assembler = match self.resume().await {
                Ok(assembler) if assembler.progress().given_up => return,
                Ok(assembler) => assembler,
                Err(reason) => {
                    return self.give_up(Assembler::resume(Progress::default(), None), &reason).await;
                }
            };
            let before = assembler.progress().clone();
            let error = match self.read(&mut assembler).await {
                Ok(()) => {
                    assembler.finish();
                    return self.commit(&mut assembler).await;
                }
                Err(error) => error,
            };
            debug!(%error, "could not read the log to its end");
            if *assembler.progress() != before {
                attempts = None;
            }
            let now = self.clock.now();
            let attempts = attempts.get_or_insert(Attempts { count: 0, pause: FIRST_PAUSE, since: now });
            attempts.count += 1;
            let observed = self.observe().await;
            let is_gone = matches!(observed, Some(None));
            let has_ended = *self.has_ended.borrow()
                || matches!(observed, Some(Some(Observed { state: State::Exited { .. }, .. })));
            let responded = matches!(error, Error::Unreadable { .. });
            let limit = if responded { UNREADABLE } else { NO_RESPONSE };
            let is_hopeless = attempts.count >= ATTEMPTS && now.since(attempts.since) >= limit;
            if is_gone || has_ended && is_hopeless {
                return self.give_up(assembler, &error.to_string()).await;
            }
            self.clock.sleep(attempts.pause).await;
            attempts.pause = (attempts.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What could not be read is lost; the log stream shows it.
    async fn give_up(&mut self, mut assembler: Assembler, reason: &str) {
        warn!(reason, "could not read the rest of a container's output; it is missing in its log stream");
        assembler.give_up(reason, self.clock.now());
        self.commit(&mut assembler).await;
    }

    /// Continues where the last follower stopped.
    ///
    /// # Errors
    /// Why the stored position cannot be read. To begin again would store every line twice.
    async fn resume(&self) -> Result<Assembler, String> {
        let stored = loop {
            match logs::cursor(self.store.readers(), &self.source.container_id).await {
                Ok(stored) => break stored,
                Err(error) => self.trouble("read the log cursor", &error).await,
            }
        };
        let progress = match stored.as_ref().map(read) {
            None => Progress::default(),
            Some(Ok(progress)) => progress,
            Some(Err(error)) => return Err(format!("its stored position cannot be read back: {error}")),
        };
        Ok(Assembler::resume(progress, self.multiline()))
    }

    fn multiline(&self) -> Option<Regex> {
        let pattern = self.source.options.multiline_pattern.as_deref()?;
        Regex::new(pattern)
            .inspect_err(
                |error| warn!(pattern, %error, "could not parse the multiline pattern; each line becomes an event"),
            )
            .ok()
    }

    /// Reads to the end of the log, or until it fails.
    async fn read(&mut self, assembler: &mut Assembler) -> Result<(), Error> {
        let container_id = self.source.container_id.clone();
        let mut frames = self.runtime.logs(&container_id, &assembler.progress().cursor).fuse();
        let (store, mut has_ended) = (self.store.clone(), self.has_ended.clone());
        loop {
            let waits_for_response = *has_ended.borrow_and_update();
            let first = tokio::select! {
                biased;
                first = frames.next() => first,
                () = self.clock.sleep(MULTILINE_WAIT), if assembler.holds_multiline() => {
                    assembler.flush_multiline();
                    self.commit(assembler).await;
                    continue;
                }
                () = self.clock.sleep(RESPONSE), if waits_for_response => {
                    return Err(Error::NoAnswer {
                        attempted: format!("read the output of the container {container_id}"),
                        reason: "the container runtime did not respond".to_owned(),
                    });
                }
                // From now on the wait has a bound.
                Ok(()) = has_ended.changed() => continue,
            };
            let Some(first) = first else { return Ok(()) };
            let _turn = store.logs_in().await;
            let (mut next, mut count, mut bytes, mut broken) = (Some(first), 0, 0, None);
            while let Some(frame) = next {
                match frame {
                    Ok(frame) => {
                        count += 1;
                        bytes += frame.bytes.len();
                        assembler.push(&frame);
                    }
                    Err(error) => broken = Some(error),
                }
                if count == BATCH || bytes >= BATCH_BYTES {
                    break;
                }
                // Frames that are available join this batch; the end of the log shows again at the next poll.
                next = frames.next().now_or_never().flatten();
            }
            self.commit(assembler).await;
            if let Some(error) = broken {
                return Err(error);
            }
        }
    }

    /// What the runtime reports of the container; `None` if it does not respond.
    async fn observe(&self) -> Option<Option<Observed>> {
        let inspected = self.runtime.inspect_container(&self.source.container_id);
        self.clock.timeout(RESPONSE, inspected).await.ok()?.ok()
    }

    /// Commits the complete events together with the position.
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

    /// The store fails (usually a full disk): nothing is dropped, the caller retries.
    async fn trouble(&self, attempted: &str, error: &store::Error) {
        warn!(error = error as &dyn std::error::Error, "could not {attempted}; retrying in 1 s");
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

/// Appends to the stream; one that was deleted meanwhile is created again if its group still exists.
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
        let written: serde_json::Value = serde_json::from_str(&Body::new(1, &progress).json).expect("JSON");
        assert_eq!(written["cursor"]["floor"], 1_795_730_855);
        assert_eq!(written["cursor"]["stored"], serde_json::json!({"1795730865": 2}));
        assert_eq!(written["last"], 1_795_730_865_117_i64);
        assert!(read(&Body { version: VERSION + 1, ..body }).is_err());
    }
}
