//! Reading a container's lines back from CloudWatch Logs, page by page.
//!
//! `awslogs` puts a container's output into the stream `prefix/container/task-id`. `GetLogEvents` returns pages of
//! it: short or even empty ones are allowed anywhere, and the only sign of an end is a token that is returned as
//! it was passed (CloudWatch Logs API reference, `GetLogEvents`). What the pages mean to a reader is decided in
//! [`crate::kubelet`]; this file has only the call, its rate and its errors.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::{Client, ecs, quota::Bucket};

/// Calls per second over all readers. AWS's quota is 25 per second, account and region ("CloudWatch Logs quotas",
/// `GetLogEvents`); with [`BURST`] no second ever holds more than that.
const RATE: u32 = 20;

/// Calls that may go out at once after a quiet time.
const BURST: u32 = 5;

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

/// The position of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// The oldest events.
    Head,
    /// The newest events.
    Tail,
    /// After the end of a page: its `nextForwardToken`.
    After(String),
    /// Before the beginning of a page: its `nextBackwardToken`.
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
    /// At most so many events, 1 to 10,000; as many as 1 MB holds if absent.
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
    /// Whether no events follow in the direction of the request that returned this page.
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
    #[error("reading log stream {stream}: CloudWatch Logs does not respond")]
    Unavailable {
        /// The stream.
        stream: Stream,
        /// What was seen.
        source: ecs::Error,
    },
    /// The token is too old (they live for 24 hours) or invalid: the position must be found again.
    #[error("reading log stream {stream}: the page token is no longer valid")]
    Token {
        /// The stream.
        stream: Stream,
    },
    /// AWS refuses, and would refuse again: no permission, no such parameter.
    #[error("reading log stream {stream}: CloudWatch Logs refuses")]
    Refused {
        /// The stream.
        stream: Stream,
        /// AWS's error.
        source: ecs::Error,
    },
}

/// A source of pages.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Reads one page; `None` if the stream, or its group, does not exist (yet).
    async fn page(&self, stream: &Stream, request: &Request) -> Result<Option<Page>, Error>;
}

/// CloudWatch Logs itself; cheap to clone. All clones share one rate limit.
#[derive(Debug, Clone)]
pub struct CloudWatch {
    client: Client,
    pace: Arc<Bucket>,
}

impl CloudWatch {
    /// Reads through `client`, and records there whether AWS responded.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, pace: Arc::new(Bucket::new(BURST, RATE)) }
    }
}

#[async_trait]
impl Source for CloudWatch {
    async fn page(&self, stream: &Stream, request: &Request) -> Result<Option<Page>, Error> {
        self.pace.take().await;
        let answer = self
            .client
            .logs()
            .get_log_events()
            .log_group_name(&stream.group)
            .log_stream_name(&stream.name)
            .start_from_head(matches!(request.position, Position::Head | Position::After(_)))
            .set_start_time(request.start)
            .set_limit(request.limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
            .set_next_token(request.position.token().map(ToOwned::to_owned))
            .send()
            .await;
        let output = match self.client.record("GetLogEvents", answer) {
            Ok(output) => output,
            Err(error) => return not_read(stream.clone(), &request.position, error),
        };
        Ok(Some(Page {
            forward: output.next_forward_token.unwrap_or_default(),
            backward: output.next_backward_token.unwrap_or_default(),
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
fn not_read(stream: Stream, position: &Position, error: ecs::Error) -> Result<Option<Page>, Error> {
    match &error {
        ecs::Error::Refused { code, .. } if code == "ResourceNotFoundException" => Ok(None),
        ecs::Error::Refused { code, .. }
            if code == "InvalidParameterException" && position.token().is_some() =>
        {
            Err(Error::Token { stream })
        }
        ecs::Error::Trouble { .. } | ecs::Error::Denied { .. } => {
            Err(Error::Unavailable { stream, source: error })
        }
        _ => Err(Error::Refused { stream, source: error }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_second_holds_more_calls_than_the_quota() {
        let pace = Bucket::new(BURST, RATE);
        let begin = Instant::now();
        let mut turns = Vec::new();
        for _ in 0..100 {
            pace.take().await;
            turns.push(begin.elapsed());
        }
        assert!(turns[4] < Duration::from_millis(2), "the burst waits: {:?}", turns[4]);
        for window in turns.windows(26) {
            assert!(window[25] - window[0] > Duration::from_millis(995), "26 calls within a second");
        }
    }

    #[test]
    fn an_error_is_the_streams_absence_the_tokens_age_a_trouble_or_a_refusal() {
        let stream = Stream { group: "g".into(), name: "pods/web/0123".into() };
        let refused = |code: &str| ecs::Error::Refused {
            operation: "GetLogEvents",
            code: code.to_owned(),
            message: String::new(),
        };
        let after = Position::After("f/1/s".into());
        let sorted = |position: &Position, error| not_read(stream.clone(), position, error);
        assert!(matches!(sorted(&after, refused("ResourceNotFoundException")), Ok(None)));
        assert!(matches!(sorted(&after, refused("InvalidParameterException")), Err(Error::Token { .. })));
        assert!(matches!(
            sorted(&Position::Head, refused("InvalidParameterException")),
            Err(Error::Refused { .. })
        ));
        assert!(matches!(sorted(&after, refused("AccessDeniedException")), Err(Error::Refused { .. })));
        let trouble = ecs::Error::Trouble { operation: "GetLogEvents", message: "503".into() };
        assert!(matches!(sorted(&after, trouble), Err(Error::Unavailable { .. })));
    }
}
