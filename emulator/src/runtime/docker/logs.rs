//! The output of a container, in the order of the engine's file, to its true end.
//!
//! An engine that follows a log can leave its last lines unsaid when the container ends (it stops at the end of the
//! container, not at the end of the file). So after the end the file is read once more, from a moment before the
//! last frame that came, and what has come already is skipped: the order is the same on every read.
//!
//! ```text
//! follow ─▶ the answer ends ─▶ the container still runs? ─▶ follow on
//!                              it has ended? ─▶ read the rest ─▶ end
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use bollard::query_parameters::LogsOptions;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::Inner;
use super::client::{failed, status};
use crate::runtime::{Error, Frame, State, Stream};

/// The engine's largest frame: it cuts a longer line into parts of this many bytes.
const LARGEST_FRAME: usize = 16 * 1024;

/// Seconds by which two streams of one container may be out of the order of their timestamps.
const OUT_OF_ORDER: i64 = 2;

const NANOSECONDS: i64 = 1_000_000_000;

pub(super) fn read(
    inner: Arc<Inner>,
    container_id: &str,
    since: i64,
    follow: bool,
) -> BoxStream<'static, Result<Frame, Error>> {
    let phase = if follow { Phase::Following } else { Phase::Rest };
    let reader = Reader {
        inner,
        container_id: container_id.to_owned(),
        phase,
        source: None,
        position: Position::new(since),
        skip: 0,
        ready: VecDeque::new(),
    };
    stream::unfold(reader, |mut reader| async { Some((reader.next().await?, reader)) }).boxed()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Following,
    /// What there is, and then the end.
    Rest,
    Ended,
}

struct Reader {
    inner: Arc<Inner>,
    container_id: String,
    phase: Phase,
    source: Option<BoxStream<'static, Result<LogOutput, DockerError>>>,
    position: Position,
    /// Frames of this source that came from an earlier one.
    skip: u64,
    ready: VecDeque<Frame>,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Frame, Error>> {
        loop {
            while let Some(frame) = self.ready.pop_front() {
                if self.skip > 0 {
                    self.skip -= 1;
                    continue;
                }
                self.position.pass(frame.timestamp);
                return Some(Ok(frame));
            }
            if self.phase == Phase::Ended {
                return None;
            }
            let source = match &mut self.source {
                Some(source) => source,
                None => self.open(),
            };
            match source.next().await {
                Some(Ok(output)) => match frames(output) {
                    Some(frames) => self.ready = frames,
                    None => return Some(Err(self.fail("a frame has no timestamp".to_owned()))),
                },
                // The container was removed, and its log with it.
                Some(Err(error)) if status(&error) == Some(404) => self.phase = Phase::Ended,
                Some(Err(error)) => {
                    self.phase = Phase::Ended;
                    return Some(Err(failed(&self.inner.host, self.attempted())(error)));
                }
                None => {
                    self.source = None;
                    if let Err(error) = self.turn().await {
                        self.phase = Phase::Ended;
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    fn open(&mut self) -> &mut BoxStream<'static, Result<LogOutput, DockerError>> {
        let (since, skip) = self.position.resume();
        self.skip = skip;
        let options = LogsOptions {
            follow: self.phase == Phase::Following,
            stdout: true,
            stderr: true,
            since: i32::try_from(since).unwrap_or(i32::MAX),
            until: 0,
            timestamps: true,
            tail: "all".to_owned(),
        };
        self.source.insert(self.inner.docker.logs(&self.container_id, Some(options)).boxed())
    }

    /// The answer has ended: what now?
    async fn turn(&mut self) -> Result<(), Error> {
        self.phase = match self.phase {
            Phase::Following => match self.inner.inspect_container(&self.container_id).await? {
                Some(observed) if matches!(observed.state, State::Running { .. }) => Phase::Following,
                Some(_) => Phase::Rest,
                None => Phase::Ended,
            },
            Phase::Rest | Phase::Ended => Phase::Ended,
        };
        Ok(())
    }

    fn fail(&mut self, reason: String) -> Error {
        self.phase = Phase::Ended;
        Error::Failed { attempted: self.attempted(), reason }
    }

    fn attempted(&self) -> String {
        format!("read the output of the container {}", self.container_id)
    }
}

/// What has been delivered: enough to ask again from a whole second and to skip what has come since it.
#[derive(Debug)]
struct Position {
    since: i64,
    /// Frames delivered by the second of their timestamp, of the last few seconds.
    delivered: BTreeMap<i64, u64>,
}

impl Position {
    fn new(since: i64) -> Self {
        Self { since, delivered: BTreeMap::new() }
    }

    fn pass(&mut self, timestamp: i64) {
        let second = timestamp.div_euclid(NANOSECONDS);
        *self.delivered.entry(second).or_default() += 1;
        if let Some((last, _)) = self.delivered.last_key_value() {
            let oldest = last - OUT_OF_ORDER;
            if self.delivered.first_key_value().is_some_and(|(first, _)| *first < oldest) {
                self.delivered = self.delivered.split_off(&oldest);
            }
        }
    }

    /// The second to ask from, and how many frames from there on are known.
    fn resume(&self) -> (i64, u64) {
        match self.delivered.last_key_value() {
            Some((last, _)) => {
                let since = self.since.max(last - OUT_OF_ORDER);
                (since, self.delivered.range(since..).map(|(_, count)| count).sum())
            }
            None => (self.since, 0),
        }
    }
}

/// The frames in a piece of the engine's answer; `None` where it does not begin with a timestamp. The raw output
/// of a terminal has no headers: parts of a long line follow each other without a newline, each with its timestamp.
fn frames(output: LogOutput) -> Option<VecDeque<Frame>> {
    let (stream, mut rest) = match output {
        LogOutput::StdErr { message } => return Some(VecDeque::from([frame(Stream::Stderr, message)?])),
        LogOutput::StdOut { message } => return Some(VecDeque::from([frame(Stream::Stdout, message)?])),
        LogOutput::StdIn { message } | LogOutput::Console { message } => (Stream::Stdout, message),
    };
    let mut frames = VecDeque::new();
    loop {
        let mut next = frame(stream, rest)?;
        if next.bytes.len() <= LARGEST_FRAME || timestamp(&next.bytes[LARGEST_FRAME..]).is_none() {
            frames.push_back(next);
            return Some(frames);
        }
        rest = next.bytes.split_off(LARGEST_FRAME);
        frames.push_back(next);
    }
}

fn frame(stream: Stream, mut message: Bytes) -> Option<Frame> {
    let (timestamp, length) = timestamp(&message)?;
    Some(Frame { stream, timestamp, bytes: message.split_off(length) })
}

/// The timestamp before a frame, in nanoseconds since the epoch, and the bytes that it takes with its blank.
fn timestamp(bytes: &[u8]) -> Option<(i64, usize)> {
    // RFC 3339 with nine digits of a second: 30 bytes in UTC, 35 with an offset.
    let blank = bytes.iter().take(36).position(|byte| *byte == b' ')?;
    let text = std::str::from_utf8(bytes.get(..blank)?).ok()?;
    let time: jiff::Timestamp = text.parse().ok()?;
    Some((i64::try_from(time.as_nanosecond()).ok()?, blank + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: String) -> LogOutput {
        LogOutput::Console { message: Bytes::from(text) }
    }

    #[test]
    fn a_frame_is_parted_from_its_timestamp() {
        let message = Bytes::from_static(b"2026-11-21T11:30:31.000000005Z  hello \xff\n");
        let frames = frames(LogOutput::StdErr { message }).unwrap();
        let expected = Frame {
            stream: Stream::Stderr,
            timestamp: 1_795_260_631_000_000_005,
            bytes: Bytes::from_static(b" hello \xff\n"),
        };
        assert_eq!(frames, [expected]);
    }

    #[test]
    fn an_empty_line_is_a_frame() {
        let message = Bytes::from_static(b"2026-11-21T11:30:31.000000005Z \n");
        assert_eq!(frames(LogOutput::StdOut { message }).unwrap()[0].bytes, "\n");
    }

    #[test]
    fn the_parts_of_a_long_line_of_a_terminal_are_parted() {
        let (first, second) = ("2026-11-21T11:30:31.000000001Z ", "2026-11-21T11:30:31.000000002Z ");
        let long = "x".repeat(LARGEST_FRAME);
        let parts = frames(console(format!("{first}{long}{second}end\r\n"))).unwrap();
        let lengths: Vec<usize> = parts.iter().map(|frame| frame.bytes.len()).collect();
        assert_eq!(lengths, [LARGEST_FRAME, 5]);
        assert_eq!(parts[1].timestamp - parts[0].timestamp, 1);
    }

    #[test]
    fn what_has_no_timestamp_is_refused() {
        assert_eq!(frames(console("hello\n".to_owned())), None);
    }

    #[test]
    fn a_position_resumes_a_little_before_its_last_frame() {
        let mut position = Position::new(10);
        assert_eq!(position.resume(), (10, 0));
        for second in [10, 10, 11, 12, 15, 14, 15] {
            position.pass(second * NANOSECONDS + 5);
        }
        assert_eq!(position.resume(), (13, 3));
        let mut late = Position::new(100);
        late.pass(101 * NANOSECONDS);
        assert_eq!(late.resume(), (100, 1), "never before what was asked for");
    }
}
