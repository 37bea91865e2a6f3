//! The complete output of a container, in the order of the engine's file.
//!
//! An engine that follows a log can omit its last lines when the container ends (it stops at the end of the container, not
//! at the end of the file). So after the end the file is read once more from the cursor.
//!
//! ```text
//! follow ─▶ the response ends ─▶ the container still runs ─▶ follow again
//!                                it has ended ─▶ read the rest ─▶ end
//! ```
//!
//! An engine that cannot read a file reports it within its response (moby `api/server/httputils/write_log_stream.go`:
//! a frame of stream 3, in the raw output of a terminal a line without a timestamp). And if a file has fewer frames than
//! were read before, it is another file: the first one was removed, and its unread frames are lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use bollard::query_parameters::LogsOptions;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::Inner;
use super::client::{failed, status};
use crate::runtime::logs::Cursor;
use crate::runtime::{Error, Frame, State, Stream};

/// The engine's largest frame: it cuts a longer line into parts of this many bytes.
const LARGEST_FRAME: usize = 16 * 1024;

/// How often the clock is checked while no output arrives.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// The stream of the engine's own messages (moby `pkg/stdcopy`, `Systemerr`), and the length of a frame's header.
const ENGINE: u8 = 3;
const HEADER: usize = 8;

pub(super) fn read(
    inner: Arc<Inner>,
    container_id: &str,
    after: &Cursor,
) -> BoxStream<'static, Result<Frame, Error>> {
    let reader = Reader {
        inner,
        container_id: container_id.to_owned(),
        phase: Phase::Following,
        source: None,
        cursor: after.clone(),
        skip: 0,
        ready: VecDeque::new(),
        checked_at: 0,
    };
    stream::unfold(reader, |mut reader| async { Some((reader.next().await?, reader)) }).boxed()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Following,
    /// Reading what is left in the file.
    Rest,
    Ended,
}

struct Reader {
    inner: Arc<Inner>,
    container_id: String,
    phase: Phase,
    source: Option<BoxStream<'static, Result<LogOutput, DockerError>>>,
    /// After the last frame that was delivered.
    cursor: Cursor,
    /// Frames of this source that an earlier source delivered.
    skip: u64,
    ready: VecDeque<Frame>,
    /// The second at which the clock was last checked.
    checked_at: i64,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Frame, Error>> {
        loop {
            while let Some(frame) = self.ready.pop_front() {
                if self.skip > 0 {
                    self.skip -= 1;
                    continue;
                }
                self.cursor.advance(frame.timestamp);
                return Some(Ok(frame));
            }
            if self.phase == Phase::Ended {
                return None;
            }
            let clock = self.inner.clock.clone();
            let source = match &mut self.source {
                Some(source) => source,
                None => self.open(),
            };
            let Ok(next) = clock.timeout(CLOCK_INTERVAL, source.next()).await else {
                if self.clock_went_back() && self.phase == Phase::Following {
                    self.source = None;
                }
                continue;
            };
            match next {
                Some(Ok(output)) => match frames(output) {
                    Ok(frames) => self.ready = frames,
                    Err(reason) => return Some(Err(self.unreadable(reason))),
                },
                // The container was removed, and its log with it.
                Some(Err(error)) if status(&error) == Some(404) => self.phase = Phase::Ended,
                // The engine could not open the file: the whole response is an error.
                Some(Err(DockerError::DockerResponseServerError { status_code: 500, message })) => {
                    return Some(Err(self.unreadable(message)));
                }
                Some(Err(error)) => {
                    self.phase = Phase::Ended;
                    return Some(Err(failed(&self.inner.host, self.attempted())(error)));
                }
                None => {
                    self.source = None;
                    if let Err(error) = self.next_phase().await {
                        self.phase = Phase::Ended;
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    fn open(&mut self) -> &mut BoxStream<'static, Result<LogOutput, DockerError>> {
        self.checked_at = self.now();
        let (since, skip) = self.cursor.resume(self.checked_at);
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

    /// The current second on the clock.
    fn now(&self) -> i64 {
        self.inner.clock.now().millis().div_euclid(1000)
    }

    /// Whether the clock went back since the last check. Then the engine omits frames with a timestamp before the requested
    /// second, until its clock has caught up.
    fn clock_went_back(&mut self) -> bool {
        let now = self.now();
        now < std::mem::replace(&mut self.checked_at, now)
    }

    /// Selects the next phase after the end of a response.
    async fn next_phase(&mut self) -> Result<(), Error> {
        self.phase = match self.phase {
            Phase::Following => match self.inner.inspect_container(&self.container_id).await? {
                Some(observed) if matches!(observed.state, State::Running { .. }) => Phase::Following,
                Some(_) => Phase::Rest,
                None => Phase::Ended,
            },
            Phase::Rest if self.skip > 0 => {
                return Err(self.unreadable(format!(
                    "the log was removed: it lacks {} of the frames that were read from it before",
                    self.skip
                )));
            }
            Phase::Rest | Phase::Ended => Phase::Ended,
        };
        Ok(())
    }

    fn unreadable(&mut self, reason: String) -> Error {
        self.phase = Phase::Ended;
        Error::Unreadable { container_id: self.container_id.clone(), reason }
    }

    fn attempted(&self) -> String {
        format!("read the output of the container {}", self.container_id)
    }
}

/// The frames in a piece of the engine's response; the engine's own message as the error. The raw output of a terminal has no
/// headers: parts of a long line follow each other without a newline, each with its timestamp.
fn frames(output: LogOutput) -> Result<VecDeque<Frame>, String> {
    let (stream, mut rest) = match output {
        LogOutput::StdErr { message } => return Ok(VecDeque::from([frame(Stream::Stderr, message)?])),
        LogOutput::StdOut { message } => return Ok(VecDeque::from([frame(Stream::Stdout, message)?])),
        LogOutput::StdIn { message } | LogOutput::Console { message } => (Stream::Stdout, message),
    };
    let mut frames = VecDeque::new();
    loop {
        let mut next = frame(stream, rest)?;
        if next.bytes.len() <= LARGEST_FRAME || timestamp(&next.bytes[LARGEST_FRAME..]).is_none() {
            frames.push_back(next);
            return Ok(frames);
        }
        rest = next.bytes.split_off(LARGEST_FRAME);
        frames.push_back(next);
    }
}

/// A frame and its timestamp. Text without one is the engine's own message, returned as the error.
fn frame(stream: Stream, mut message: Bytes) -> Result<Frame, String> {
    match timestamp(&message) {
        Some((timestamp, length)) => Ok(Frame { stream, timestamp, bytes: message.split_off(length) }),
        None => {
            let text = if message.first() == Some(&ENGINE) { message.get(HEADER..) } else { None };
            let text = String::from_utf8_lossy(text.unwrap_or(&message));
            let text = text.trim();
            Err(text.strip_prefix("Error grabbing logs: ").unwrap_or(text).to_owned())
        }
    }
}

/// The timestamp before a frame, in nanoseconds since the epoch, and its length in bytes with the blank after it.
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
    fn a_frame_is_separated_from_its_timestamp() {
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
    fn the_parts_of_a_terminals_long_line_are_separate_frames() {
        let (first, second) = ("2026-11-21T11:30:31.000000001Z ", "2026-11-21T11:30:31.000000002Z ");
        let long = "x".repeat(LARGEST_FRAME);
        let parts = frames(console(format!("{first}{long}{second}end\r\n"))).unwrap();
        let lengths: Vec<usize> = parts.iter().map(|frame| frame.bytes.len()).collect();
        assert_eq!(lengths, [LARGEST_FRAME, 5]);
        assert_eq!(parts[1].timestamp - parts[0].timestamp, 1);
    }

    #[test]
    fn text_without_a_timestamp_is_the_engines_own_message() {
        assert_eq!(frames(console("hello\n".to_owned())), Err("hello".to_owned()));
        let message = "Error grabbing logs: invalid character 'x'\n";
        assert_eq!(frames(console(message.to_owned())), Err("invalid character 'x'".to_owned()));
        let framed = format!("\u{3}\0\0\0\0\0\0\u{2b}{message}");
        assert_eq!(frames(console(framed)), Err("invalid character 'x'".to_owned()));
    }
}
