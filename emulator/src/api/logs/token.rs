//! Page tokens: opaque to callers, readable here.
//!
//! Those of GetLogEvents have AWS's form, `f/<56 digits>/s` and `b/<56 digits>/s`. The digits are a stream and a place
//! between two of its events, so that a token stays valid while events arrive on either side of it.

use crate::clock::Timestamp;
use crate::store::logs::{Position, StreamId};

/// The 56 digits: timestamp, stream, sequence. Also a FilterLogEvents `eventId`.
pub(super) fn digits(stream: StreamId, position: Position) -> String {
    let Position { timestamp, sequence } = position;
    format!("{:020}{:016}{sequence:020}", timestamp.millis(), stream.0)
}

fn of_digits(digits: &str) -> Option<(StreamId, Position)> {
    if digits.len() != 56 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| digits[range].parse::<i64>().ok();
    let position = Position { timestamp: Timestamp(number(0..20)?), sequence: number(36..56)? };
    Some((StreamId(number(20..36)?), position))
}

/// A token of GetLogEvents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// What is at this place and after it.
    Forward(Position),
    /// What is before this place.
    Backward(Position),
}

impl Turn {
    pub(super) fn token(self, stream: StreamId) -> String {
        match self {
            Self::Forward(place) => format!("f/{}/s", digits(stream, place)),
            Self::Backward(place) => format!("b/{}/s", digits(stream, place)),
        }
    }

    /// `None` if `token` is not a token of this stream.
    pub(super) fn of(token: &str, stream: StreamId) -> Option<Self> {
        let (direction, rest) = token.split_once('/')?;
        let (of_stream, place) = of_digits(rest.strip_suffix("/s")?)?;
        match direction {
            _ if of_stream != stream => None,
            "f" => Some(Self::Forward(place)),
            "b" => Some(Self::Backward(place)),
            _ => None,
        }
    }
}

/// A token of FilterLogEvents: the last event that was looked at, and whether the newest come first.
pub(super) fn after_event(stream: StreamId, position: Position, newest_first: bool) -> String {
    let digits = digits(stream, position);
    if newest_first { format!("b/{digits}") } else { digits }
}

pub(super) fn event_of(token: &str) -> Option<((StreamId, Position), bool)> {
    match token.strip_prefix("b/") {
        Some(digits) => of_digits(digits).map(|event| (event, true)),
        None => of_digits(token).map(|event| (event, false)),
    }
}

/// A token of DescribeLogStreams: the order it belongs to, and the last stream's place in it.
pub(super) fn after_stream(order: &str, last_event_at: Option<Timestamp>, name: &str) -> String {
    format!("{order}/{}/{name}", last_event_at.map_or(-1, Timestamp::millis))
}

/// The last stream's place, if `token` belongs to `order`.
pub(super) fn stream_of<'t>(token: &'t str, order: &str) -> Option<(i64, &'t str)> {
    let (of_order, rest) = token.split_once('/')?;
    let (last_event_at, name) = rest.split_once('/')?;
    (of_order == order && !name.is_empty()).then_some(())?;
    Some((last_event_at.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_of_its_own_stream_alone() {
        let place = Position { timestamp: Timestamp(1_763_724_591_123), sequence: 42 };
        for turn in [Turn::Forward(place), Turn::Backward(place)] {
            let token = turn.token(StreamId(7));
            assert_eq!(token.len(), 60);
            assert_eq!(Turn::of(&token, StreamId(7)), Some(turn));
            assert_eq!(Turn::of(&token, StreamId(8)), None);
        }
        for wrong in ["", "f", "f//s", "f/12/s", "x/00/s", "b/-1/s", "f/\u{665}/s"] {
            assert_eq!(Turn::of(wrong, StreamId(7)), None, "{wrong}");
        }
    }
}
