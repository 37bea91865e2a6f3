//! Frames to lines, lines to events: what Docker's own awslogs driver does, as a function of values.
//!
//! Source: moby `daemon/logger/awslogs/cloudwatchlogs.go`: a line longer than an event may be is cut; empty lines are
//! not events; a line that matches the multiline pattern begins a new event.

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::runtime::logs::Cursor;
use crate::runtime::{Frame, Stream};

/// Bytes of an event: 256 KiB less CloudWatch's 26 bytes of overhead, as the driver cuts.
const MAX_EVENT: usize = 262_118;

/// What must survive a restart: the position, and text that is not yet an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) cursor: Cursor,
    stdout: Option<Piece>,
    stderr: Option<Piece>,
    multiline: Option<Piece>,
    /// The timestamp of the last event, in milliseconds.
    #[serde(default)]
    last: i64,
    /// The rest of the output could not be read, and the log stream reports it: nothing more is read.
    #[serde(default)]
    pub(super) given_up: bool,
}

/// Text that waits for its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    timestamp: i64,
    text: Vec<u8>,
}

/// One event for CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) timestamp: Timestamp,
    pub(super) message: String,
}

/// Turns the frames of one container into events.
#[derive(Debug)]
pub(super) struct Assembler {
    progress: Progress,
    begins_event: Option<Regex>,
    ready: Vec<Event>,
}

impl Assembler {
    /// Continues from `progress`: the frames that follow are those after its cursor.
    pub(super) fn resume(progress: Progress, begins_event: Option<Regex>) -> Self {
        Self { progress, begins_event, ready: Vec::new() }
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether there is text that only waits for more lines of the same event.
    pub(super) fn holds_multiline(&self) -> bool {
        self.progress.multiline.is_some()
    }

    pub(super) fn push(&mut self, frame: &Frame) {
        self.progress.cursor.advance(frame.timestamp);
        let (text, ends) = match frame.bytes.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (&frame.bytes[..], false),
        };
        let begun = match frame.stream {
            Stream::Stdout => &mut self.progress.stdout,
            Stream::Stderr => &mut self.progress.stderr,
        };
        let mut piece =
            begun.take().unwrap_or_else(|| Piece { timestamp: frame.timestamp, text: Vec::new() });
        piece.text.extend_from_slice(text);
        if ends {
            self.line(piece);
        } else if piece.text.len() >= MAX_EVENT {
            let rest = piece.text.split_off(MAX_EVENT);
            *begun = (!rest.is_empty()).then_some(Piece { timestamp: frame.timestamp, text: rest });
            self.line(piece);
        } else {
            *begun = Some(piece);
        }
    }

    /// The lines so far are an event: no further line came for a while.
    pub(super) fn flush_multiline(&mut self) {
        if let Some(piece) = self.progress.multiline.take() {
            self.emit(piece);
        }
    }

    /// The output has ended: incomplete text becomes events.
    pub(super) fn finish(&mut self) {
        let begun = [self.progress.stdout.take(), self.progress.stderr.take()];
        for piece in begun.into_iter().flatten() {
            self.line(piece);
        }
        self.flush_multiline();
    }

    /// The rest of the output cannot be read: incomplete text becomes events, and one more event has the reason.
    pub(super) fn give_up(&mut self, reason: &str, now: Timestamp) {
        self.finish();
        let text = format!("neargate: the rest of this output could not be read: {reason}").into_bytes();
        self.emit(Piece { timestamp: now.millis().saturating_mul(1_000_000), text });
        self.progress.given_up = true;
    }

    /// The events that are complete by now.
    pub(super) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.ready)
    }

    fn line(&mut self, piece: Piece) {
        let Some(begins_event) = &self.begins_event else {
            self.emit(piece);
            return;
        };
        let begins = begins_event.is_match(&String::from_utf8_lossy(&piece.text));
        match &mut self.progress.multiline {
            Some(event) if !begins && event.text.len() + piece.text.len() < MAX_EVENT => {
                event.text.push(b'\n');
                event.text.extend_from_slice(&piece.text);
            }
            _ => {
                self.flush_multiline();
                self.progress.multiline = Some(piece);
            }
        }
    }

    /// Timestamps never decrease within a container's log stream. The two outputs of a container, and lines that came in
    /// parts, are slightly out of order; a reader that continues from a token reads by timestamp, and would miss an event
    /// that came later with an earlier timestamp.
    fn emit(&mut self, piece: Piece) {
        self.progress.last = self.progress.last.max(piece.timestamp.div_euclid(1_000_000));
        let timestamp = Timestamp(self.progress.last);
        let text = String::from_utf8_lossy(&piece.text);
        let mut rest: &str = &text;
        while !rest.is_empty() {
            let (message, after) = rest.split_at(rest.floor_char_boundary(MAX_EVENT));
            self.ready.push(Event { timestamp, message: message.to_owned() });
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn frame(stream: Stream, second: i64, text: &str) -> Frame {
        Frame { stream, timestamp: second * SECOND, bytes: text.to_owned().into() }
    }

    fn messages(assembler: &mut Assembler) -> Vec<String> {
        assembler.take().into_iter().map(|event| event.message).collect()
    }

    #[test]
    fn parts_of_a_line_are_joined_separately_for_each_stream() {
        let mut assembler = Assembler::resume(Progress::default(), None);
        for frame in [
            frame(Stream::Stdout, 1, "out "),
            frame(Stream::Stderr, 1, "err "),
            frame(Stream::Stderr, 2, "line\n"),
            frame(Stream::Stdout, 3, "line\n"),
            frame(Stream::Stdout, 4, "\n"),
            frame(Stream::Stdout, 5, "no end"),
        ] {
            assembler.push(&frame);
        }
        assert_eq!(messages(&mut assembler), ["err line", "out line"], "an empty line is not an event");
        assembler.finish();
        assert_eq!(messages(&mut assembler), ["no end"]);
    }

    #[test]
    fn a_restart_in_the_middle_of_a_line_loses_and_doubles_nothing() {
        let frames = [
            frame(Stream::Stdout, 1, "a\n"),
            frame(Stream::Stdout, 1, "half "),
            frame(Stream::Stderr, 1, "b\n"),
            frame(Stream::Stdout, 1, "line\n"),
            frame(Stream::Stderr, 2, "c\n"),
        ];
        for stop in 0..=frames.len() {
            let mut first = Assembler::resume(Progress::default(), None);
            frames[..stop].iter().for_each(|frame| first.push(frame));
            let mut all = messages(&mut first);
            let stored = serde_json::to_string(first.progress()).expect("serialises");
            let mut second = Assembler::resume(serde_json::from_str(&stored).expect("parses"), None);
            let (since, skip) = second.progress().cursor.resume(i64::MAX);
            assert_eq!(since, 0);
            frames.iter().skip(usize::try_from(skip).expect("fits")).for_each(|frame| second.push(frame));
            all.extend(messages(&mut second));
            assert_eq!(all, ["a", "b", "half line", "c"], "stopped after {stop} frames");
        }
    }

    #[test]
    fn lines_up_to_the_next_match_of_the_multiline_pattern_are_one_event() {
        let pattern = Regex::new("^INFO|^ERROR").expect("a pattern");
        let mut assembler = Assembler::resume(Progress::default(), Some(pattern));
        for line in ["INFO one\n", "ERROR two\n", "  at a\n", "  at b\n", "INFO three\n"] {
            assembler.push(&frame(Stream::Stdout, 1, line));
        }
        assert_eq!(messages(&mut assembler), ["INFO one", "ERROR two\n  at a\n  at b"]);
        assert!(assembler.holds_multiline());
        assembler.flush_multiline();
        assert_eq!(messages(&mut assembler), ["INFO three"]);
    }

    #[test]
    fn a_line_longer_than_an_event_is_cut_and_nothing_is_lost() {
        let mut assembler = Assembler::resume(Progress::default(), None);
        let part = "x".repeat(16 * 1024);
        for _ in 0..20 {
            assembler.push(&frame(Stream::Stdout, 1, &part));
        }
        assembler.push(&frame(Stream::Stdout, 1, "end\n"));
        let lengths: Vec<usize> = messages(&mut assembler).iter().map(String::len).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 20 * 16 * 1024 + 3);
        assert!(lengths.iter().all(|length| *length <= MAX_EVENT));
        assert_eq!(lengths.len(), 2);
    }

    #[test]
    fn timestamps_never_decrease_though_the_two_outputs_are_out_of_order() {
        let mut assembler = Assembler::resume(Progress::default(), None);
        assembler.push(&frame(Stream::Stdout, 5, "half "));
        assembler.push(&frame(Stream::Stderr, 9, "a\n"));
        assembler.push(&frame(Stream::Stderr, 8, "b\n"));
        assembler.push(&frame(Stream::Stdout, 9, "line\n"));
        let events = assembler.take();
        let seen: Vec<(i64, &str)> =
            events.iter().map(|event| (event.timestamp.0, event.message.as_str())).collect();
        assert_eq!(seen, [(9000, "a"), (9000, "b"), (9000, "half line")]);
    }

    #[test]
    fn the_progress_that_an_earlier_release_stored_is_read() {
        let golden = r#"{"cursor":{"floor":1700000000,"stored":{"1700000000":2}},"stdout":{"timestamp":1700000000000000001,"text":[104,105]},"stderr":null,"multiline":null,"last":1700000000000}"#;
        let progress: Progress = serde_json::from_str(golden).expect("it parses");
        let mut assembler = Assembler::resume(progress, None);
        assembler.push(&frame(Stream::Stdout, 1_700_000_001, " there\n"));
        assert_eq!(messages(&mut assembler), ["hi there"]);
    }

    #[test]
    fn an_output_that_is_given_up_ends_with_an_event_that_reports_it() {
        let mut assembler = Assembler::resume(Progress::default(), None);
        assembler.push(&frame(Stream::Stdout, 1, "half"));
        assembler.give_up("the disk", Timestamp(1000));
        let expected = ["half", "neargate: the rest of this output could not be read: the disk"];
        assert_eq!(messages(&mut assembler), expected);
        assert!(assembler.progress().given_up);
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_replaced() {
        let mut assembler = Assembler::resume(Progress::default(), None);
        let bytes = bytes::Bytes::from_static(b"a\xffb\n");
        assembler.push(&Frame { stream: Stream::Stdout, timestamp: SECOND, bytes });
        assert_eq!(messages(&mut assembler), ["a\u{fffd}b"]);
    }
}
