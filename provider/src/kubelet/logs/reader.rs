//! Reads one stream as a window: the last lines, the lines since a time, new lines.
//!
//! ```text
//! tail:   newest page <- older <- older ...   until enough lines are counted, or the stream begins
//! then:   that page -> its forward token -> ...  until the page's token is returned as it was passed
//! follow: poll that token, until the container has ended and a later read finds no more
//! ```
//!
//! Never more than one page is held: a tail that is longer than a page is counted backwards and then read forward from where
//! the count was reached. Nothing is read before the client wants it, so that a client that is slow, or gone, costs no call.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::fargate::logs::{Error, Event, Page, Position, Request, Source, Stream};

/// Between two polls of a stream that had lines recently: with AWS's own delay a line shows within half a second.
const POLL: Duration = Duration::from_millis(250);

/// Between two polls of a stream that has been quiet for [`QUIET`].
const QUIET_POLL: Duration = Duration::from_millis(400);

/// When a stream counts as quiet.
const QUIET: Duration = Duration::from_secs(60);

/// A page with so many events is a burst: the next one is read without a pause.
const BURST: usize = 1_000;

/// How long after the end of its container a stream may still get lines. The log driver sends its last batch before the end
/// is reported; this covers the different delays of the two.
const SETTLE: Duration = Duration::from_secs(1);

/// Between two calls while CloudWatch Logs does not respond.
const RETRY: Duration = Duration::from_secs(1);

/// The most events that `GetLogEvents` returns at once.
const PAGE_EVENTS: u64 = 10_000;

/// What part of the stream is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Only the last so many events.
    pub(super) tail: Option<u64>,
    /// Only events at or after this time, milliseconds since 1970.
    pub(super) since: Option<i64>,
    /// Continue with new events.
    pub(super) follow: bool,
}

/// Returns whether the container that writes the stream has ended.
pub(super) type Ended = Box<dyn Fn() -> bool + Send + Sync>;

/// A stream that is sent to a client.
pub(super) struct Reader {
    source: Arc<dyn Source>,
    stream: Stream,
    window: Window,
    ended: Ended,
    state: State,
    /// Events still to be skipped: those before the tail in its first page.
    skip: usize,
    /// Events still to be returned, if that is known.
    remaining: Option<u64>,
    /// The time from which to read if the position is lost. A token only expires by age, 24 hours after it was issued: by
    /// then no more events can arrive in the millisecond of the last one.
    resume: Option<i64>,
    /// Whether the stream's end has been seen once.
    caught_up: bool,
    /// When events last arrived.
    active: Instant,
    /// When the container was first seen to have ended.
    ended_at: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Start,
    /// A page to return, and where to continue after it.
    Holding(Vec<Event>, Position),
    /// Continue from there, at once.
    Forward(Position),
    /// Continue from there, after a pause.
    Paused(Position),
    Done,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("stream", &self.stream)
            .field("window", &self.window)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader of `stream`'s `window`; `ended` is asked before each poll.
    #[must_use]
    pub(super) fn new(source: Arc<dyn Source>, stream: Stream, window: Window, ended: Ended) -> Self {
        Self {
            source,
            stream,
            window,
            ended,
            state: State::Start,
            skip: 0,
            remaining: None,
            resume: window.since,
            caught_up: false,
            active: Instant::now(),
            ended_at: None,
        }
    }

    /// Makes the first call, so that its failure can still be reported in the response's status.
    pub(super) async fn open(&mut self) -> Result<(), Error> {
        if matches!(self.state, State::Start) {
            self.state = match self.window.tail {
                Some(lines) => self.rewind(lines).await?,
                None => match self.page(&Position::Head, None).await? {
                    Some(page) => State::Holding(page.events, Position::After(page.forward)),
                    None if self.window.follow => State::Forward(Position::Head),
                    None => State::Done,
                },
            };
        }
        Ok(())
    }

    /// The next events, never an empty list; `None` at the end of the window.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Event>>, Error> {
        self.open().await?;
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Start | State::Done => return Ok(None),
                State::Holding(events, then) => {
                    let trickles = self.caught_up && events.len() < BURST;
                    self.state = if trickles { State::Paused(then) } else { State::Forward(then) };
                    if let Some(events) = self.give(events) {
                        return Ok(Some(events));
                    }
                }
                State::Forward(_) if self.remaining == Some(0) => return Ok(None),
                State::Forward(position) => self.state = self.forward(position).await?,
                State::Paused(position) => {
                    tokio::time::sleep(interval(self.active.elapsed())).await;
                    self.state = State::Forward(position);
                }
            }
        }
    }

    /// One step towards the end of the stream.
    async fn forward(&mut self, position: Position) -> Result<State, Error> {
        let over = self.is_over();
        let page = match self.page(&position, None).await {
            Ok(page) => page,
            Err(Error::Token { .. }) => return Ok(State::Forward(Position::Head)),
            Err(Error::Unavailable { .. }) if self.window.follow => {
                tokio::time::sleep(RETRY).await;
                return Ok(State::Forward(position));
            }
            Err(error) => return Err(error),
        };
        let (at_end, events, then) = match page {
            // A stream that does not exist yet ends where it will begin.
            None => (true, Vec::new(), position),
            Some(page) => {
                let at_end = page.is_end_of(&position) && page.events.is_empty();
                (at_end, page.events, Position::After(page.forward))
            }
        };
        Ok(match at_end {
            false => State::Holding(events, then),
            true if over || !self.window.follow => State::Done,
            true => {
                self.caught_up = true;
                State::Paused(then)
            }
        })
    }

    /// Whether a read that begins now and finds nothing has seen the end.
    fn is_over(&mut self) -> bool {
        if !(self.ended)() {
            self.ended_at = None;
            return false;
        }
        self.ended_at.get_or_insert_with(Instant::now).elapsed() >= SETTLE
    }

    /// The part of a page that goes to the client; `None` if nothing does.
    fn give(&mut self, mut events: Vec<Event>) -> Option<Vec<Event>> {
        let passed = self.skip.min(events.len());
        events.drain(..passed);
        self.skip -= passed;
        if let Some(remaining) = &mut self.remaining {
            events.truncate(usize::try_from(*remaining).unwrap_or(usize::MAX));
            *remaining -= u64::try_from(events.len()).unwrap_or(*remaining);
        }
        if events.is_empty() {
            return None;
        }
        self.resume = after(&events).or(self.resume);
        self.active = Instant::now();
        Some(events)
    }

    /// Finds the position from which `lines` events lead to the stream's end.
    async fn rewind(&mut self, lines: u64) -> Result<State, Error> {
        if lines == 0 && !self.window.follow {
            return Ok(State::Done);
        }
        let Some(mut page) = self.page(&Position::Tail, Some(lines.max(1))).await? else {
            return Ok(if self.window.follow { State::Forward(Position::Head) } else { State::Done });
        };
        if lines == 0 {
            self.resume = after(&page.events).or(self.resume);
            return Ok(State::Forward(Position::After(page.forward)));
        }
        let mut oldest: Option<Page> = None;
        let mut found: u64 = 0;
        loop {
            let count = u64::try_from(page.events.len()).unwrap_or(u64::MAX);
            let before = Position::Before(page.backward.clone());
            found = found.saturating_add(count);
            if count > 0 || oldest.is_none() {
                oldest = Some(page);
            }
            if found >= lines {
                break;
            }
            match self.page(&before, Some(lines - found)).await? {
                Some(next) if !(next.is_end_of(&before) && next.events.is_empty()) => page = next,
                _ => break,
            }
        }
        if !self.window.follow {
            self.remaining = Some(found.min(lines));
        }
        // Only the oldest page can hold more than was requested, if it begins before the position.
        self.skip = usize::try_from(found.saturating_sub(lines)).unwrap_or(usize::MAX);
        Ok(oldest.map_or(State::Done, |page| State::Holding(page.events, Position::After(page.forward))))
    }

    async fn page(&self, position: &Position, limit: Option<u64>) -> Result<Option<Page>, Error> {
        let request = Request {
            position: position.clone(),
            start: if *position == Position::Head { self.resume } else { self.window.since },
            limit: limit.map(|limit| u32::try_from(limit.min(PAGE_EVENTS)).unwrap_or(u32::MAX)),
        };
        self.source.page(&self.stream, &request).await
    }
}

/// The time just after these events.
fn after(events: &[Event]) -> Option<i64> {
    events.last().map(|event| event.timestamp.saturating_add(1))
}

/// How long to wait before the next poll of a stream whose last line came `quiet` ago.
fn interval(quiet: Duration) -> Duration {
    if quiet < QUIET { POLL } else { QUIET_POLL }
}

#[cfg(test)]
mod tests;
