//! Reading a container's lines back from CloudWatch Logs, a page at a time.
//!
//! `awslogs` puts a container's output into the stream `prefix/container/task-id`. `GetLogEvents` answers pages of
//! it: short or even empty ones are allowed anywhere, and the only sign of an end is a token that comes back as
//! it was passed (CloudWatch Logs API reference, `GetLogEvents`). What the pages mean to a reader is decided
//! in [`crate::kubelet`]; here is only the call, its pace and its errors.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::{error::SdkError, operation::get_log_events::GetLogEventsError};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Client, Outcome};

/// Calls a second over all readers. AWS's quota is 25 a second, account and region ("CloudWatch Logs
/// quotas", `GetLogEvents`); with [`BURST`] no second ever holds more than that.
const RATE: u32 = 20;

/// Calls that may go out at once after a quiet time.
const BURST: u32 = 5;

/// Where the output of this provider's containers goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// `awslogs-group`.
    pub group: String,
    /// `awslogs-stream-prefix`.
    pub prefix: String,
}

impl Location {
    /// The stream of one container of one task.
    #[must_use]
    pub fn stream(&self, container: &str, task_id: &str) -> Stream {
        Stream { group: self.group.clone(), name: format!("{}/{container}/{task_id}", self.prefix) }
    }
}

/// One log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The group's name.
    pub group: String,
    /// The stream's name.
    pub name: String,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.group, self.name)
    }
}

/// One line of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The line.
    pub message: String,
}

/// Where a page lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// The oldest events.
    Head,
    /// The newest events.
    Tail,
    /// After what a page ended with: its `nextForwardToken`.
    After(String),
    /// Before what a page began with: its `nextBackwardToken`.
    Before(String),
}

impl Position {
    fn token(&self) -> Option<&str> {
        match self {
            Self::Head | Self::Tail => None,
            Self::After(token) | Self::Before(token) => Some(token),
        }
    }
}

/// What one call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which page.
    pub position: Position,
    /// Only events at or after this time, milliseconds since 1970.
    pub start: Option<i64>,
    /// At most so many events, 1 to 10,000; as many as 1 MB holds where absent.
    pub limit: Option<u32>,
}

/// One page, oldest event first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events; there may be none though more follow.
    pub events: Vec<Event>,
    /// Token of what follows.
    pub forward: String,
    /// Token of what precedes.
    pub backward: String,
}

impl Page {
    /// Whether nothing lies beyond, in the direction of the request that got this page.
    #[must_use]
    pub fn is_end_of(&self, position: &Position) -> bool {
        match position {
            Position::Head | Position::Tail => false,
            Position::After(token) => *token == self.forward,
            Position::Before(token) => *token == self.backward,
        }
    }
}

/// Why a page was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// AWS is silent, overloaded or broken: the same call may succeed later.
    #[error("reading log stream {stream}: CloudWatch Logs does not answer")]
    Unavailable {
        /// The stream.
        stream: Stream,
        /// What was seen.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The token is too old (they live for 24 hours) or not one at all: the place must be found anew.
    #[error("reading log stream {stream}: the page token is no longer valid")]
    Token {
        /// The stream.
        stream: Stream,
        /// What AWS said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// AWS refuses, and would again: no permission, no such parameter.
    #[error("reading log stream {stream}: CloudWatch Logs refuses")]
    Refused {
        /// The stream.
        stream: Stream,
        /// What AWS said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where pages come from.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Reads one page; `None` where the stream, or its group, does not exist (yet).
    async fn page(&self, stream: &Stream, request: &Request) -> Result<Option<Page>, Error>;
}

/// CloudWatch Logs itself; cheap to clone. All clones share one pace.
#[derive(Debug, Clone)]
pub struct CloudWatch {
    client: Client,
    pace: Arc<Pace>,
}

impl CloudWatch {
    /// Reads through `client`, and records there whether AWS answered.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, pace: Arc::new(Pace::new(RATE, BURST)) }
    }
}

#[async_trait]
impl Source for CloudWatch {
    async fn page(&self, stream: &Stream, request: &Request) -> Result<Option<Page>, Error> {
        self.pace.turn().await;
        let forward = matches!(request.position, Position::Head | Position::After(_));
        let answer = self
            .client
            .logs()
            .get_log_events()
            .log_group_name(&stream.group)
            .log_stream_name(&stream.name)
            .start_from_head(forward)
            .set_start_time(request.start)
            .set_limit(request.limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
            .set_next_token(request.position.token().map(ToOwned::to_owned))
            .send()
            .await;
        let output = match answer {
            Ok(output) => output,
            Err(error) => {
                let kind = Kind::of(&error);
                self.client.health().record(match kind {
                    Kind::Unavailable => Outcome::Trouble(format!(
                        "GetLogEvents: {}",
                        aws_smithy_types::error::display::DisplayErrorContext(&error)
                    )),
                    Kind::NotThere | Kind::Parameter | Kind::Refused => Outcome::Answered,
                });
                let (stream, source) = (stream.clone(), error.into());
                return match kind {
                    Kind::NotThere => Ok(None),
                    Kind::Unavailable => Err(Error::Unavailable { stream, source }),
                    Kind::Parameter if request.position.token().is_some() => {
                        Err(Error::Token { stream, source })
                    }
                    Kind::Parameter | Kind::Refused => Err(Error::Refused { stream, source }),
                };
            }
        };
        self.client.health().record(Outcome::Answered);
        Ok(Some(Page {
            forward: output.next_forward_token().unwrap_or_default().to_owned(),
            backward: output.next_backward_token().unwrap_or_default().to_owned(),
            events: output
                .events
                .unwrap_or_default()
                .into_iter()
                .map(|event| Event {
                    timestamp: event.timestamp.unwrap_or_default(),
                    message: event.message.unwrap_or_default(),
                })
                .collect(),
        }))
    }
}

/// What an error of `GetLogEvents` means to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotThere,
    Parameter,
    Unavailable,
    Refused,
}

impl Kind {
    fn of(error: &SdkError<GetLogEventsError>) -> Self {
        let SdkError::ServiceError(answer) = error else {
            return match error {
                SdkError::ConstructionFailure(_) => Self::Refused,
                _ => Self::Unavailable,
            };
        };
        let throttled = answer.err().meta().code().is_some_and(|code| code.contains("Throttl"));
        match answer.err() {
            _ if throttled || answer.raw().status().is_server_error() => Self::Unavailable,
            GetLogEventsError::ResourceNotFoundException(_) => Self::NotThere,
            GetLogEventsError::InvalidParameterException(_) => Self::Parameter,
            GetLogEventsError::ServiceUnavailableException(_) => Self::Unavailable,
            _ => Self::Refused,
        }
    }
}

/// Gives out turns, first come first served: `burst` at once after a quiet time, then `rate` a second.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    lead: Duration,
    /// When the next turn would fall due if there were no burst.
    due: Mutex<Instant>,
}

impl Pace {
    fn new(rate: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / rate;
        Self { interval, lead: interval * burst.saturating_sub(1), due: Mutex::new(Instant::now()) }
    }

    /// Waits for the caller's turn.
    async fn turn(&self) {
        let now = Instant::now();
        let at = {
            let mut due = self.due.lock();
            let mine = (*due).max(now);
            *due = mine + self.interval;
            mine.checked_sub(self.lead).unwrap_or(now)
        };
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_a_burst_and_then_at_the_rate_and_never_above_the_quota() {
        let pace = Pace::new(RATE, BURST);
        tokio::time::advance(Duration::from_secs(60)).await;
        let begin = Instant::now();
        let mut turns = Vec::new();
        for _ in 0..100 {
            pace.turn().await;
            turns.push(begin.elapsed());
        }
        assert!(turns[4] < Duration::from_millis(2), "the burst waits: {:?}", turns[4]);
        for window in turns.windows(26) {
            assert!(window[25] - window[0] > Duration::from_millis(995), "26 turns within a second");
        }
        let last = turns[99].as_millis();
        assert!((4_740..=4_760).contains(&last), "95 turns after the burst at 20 a second, took {last} ms");
    }

    #[test]
    fn a_stream_is_named_as_awslogs_names_it() {
        let location = Location { group: "/fargate".into(), prefix: "pods".into() };
        assert_eq!(location.stream("web", "0123abcd").to_string(), "/fargate:pods/web/0123abcd");
    }
}
