//! The form of a line on the wire, and where the response is cut.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;

use crate::fargate::logs::Event;

/// Turns events into the bytes of the response.
#[derive(Debug)]
pub(super) struct Writer {
    timestamps: bool,
    remaining: Option<u64>,
}

impl Writer {
    /// A writer of lines, with their times in front if `timestamps`, that stops after `limit` bytes.
    #[must_use]
    pub(super) fn new(timestamps: bool, limit: Option<u64>) -> Self {
        Self { timestamps, remaining: limit }
    }

    /// Whether nothing more may be written.
    #[must_use]
    pub(super) fn is_full(&self) -> bool {
        self.remaining == Some(0)
    }

    /// The bytes of these events: each a line with one newline at its end, cut where the limit falls, in the middle
    /// of a line if necessary (the kubelet's `logWriter.write`).
    pub(super) fn write(&mut self, events: &[Event]) -> Bytes {
        let size: usize = events.iter().map(|event| event.message.len() + 1).sum();
        let mut out = BytesMut::with_capacity(size + if self.timestamps { events.len() * 31 } else { 0 });
        for event in events {
            if self.remaining.is_some_and(|left| u64::try_from(out.len()).is_ok_and(|len| len >= left)) {
                break;
            }
            if self.timestamps {
                stamp(&mut out, event.timestamp);
            }
            out.put_slice(event.message.strip_suffix('\n').unwrap_or(&event.message).as_bytes());
            out.put_u8(b'\n');
        }
        if let Some(left) = &mut self.remaining {
            out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= u64::try_from(out.len()).unwrap_or(*left);
        }
        out.freeze()
    }
}

/// RFC 3339 with nine digits of fraction and a space: the kubelet's `RFC3339NanoFixed`.
fn stamp(out: &mut BytesMut, milliseconds: i64) {
    // A time outside the calendar means a broken event; its line matters more than its time.
    let time = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    // Writing into memory that grows cannot fail.
    let _ = write!(out, "{time:.9} ");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(messages: &[&str]) -> Vec<Event> {
        messages
            .iter()
            .zip(1_795_000_000_120..)
            .map(|(message, timestamp)| Event { timestamp, message: (*message).to_owned() })
            .collect()
    }

    #[test]
    fn an_event_is_one_line_whatever_its_end() {
        let written = Writer::new(false, None).write(&events(&["a", "b\n", "", "c\nd"]));
        assert_eq!(written, "a\nb\n\nc\nd\n");
    }

    #[test]
    fn a_time_has_nine_digits_and_a_space() {
        let written = Writer::new(true, None).write(&events(&["a", "b"]));
        assert_eq!(written, "2026-11-18T11:06:40.120000000Z a\n2026-11-18T11:06:40.121000000Z b\n");
    }

    #[test]
    fn the_limit_cuts_at_its_byte_over_any_number_of_writes() {
        let all = events(&["hello", "world", "again"]);
        for limit in 1..=20_u64 {
            let mut writer = Writer::new(false, Some(limit));
            let mut written = Vec::new();
            for event in &all {
                written.extend_from_slice(&writer.write(std::slice::from_ref(event)));
            }
            let whole = b"hello\nworld\nagain\n";
            assert_eq!(written, &whole[..whole.len().min(usize::try_from(limit).unwrap())]);
            assert_eq!(writer.is_full(), limit <= 18);
            assert_eq!(Writer::new(false, Some(limit)).write(&all), written, "in one write");
        }
    }
}
