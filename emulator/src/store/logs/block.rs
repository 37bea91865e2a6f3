//! A block: events in order, packed one after the other. Pure.
//!
//! ```text
//! timestamp i64 │ ingestion time i64 │ sequence, 6 bytes │ length u32 │ message, UTF-8      (little endian)
//! ```
//!
//! The 26 bytes before the message are also what CloudWatch Logs counts for an event besides its message: the length
//! of a block is its part of `storedBytes`.

use crate::clock::Timestamp;
use crate::store::Error;

/// What CloudWatch Logs counts for an event besides its message, and what we spend on it.
///
/// Source: PutLogEvents, "the sum of all event messages in UTF-8, plus 26 bytes for each log event".
pub const OVERHEAD: usize = 26;

/// Bytes of a sequence number: enough for 280,000,000,000,000 events.
const SEQUENCE: usize = 6;

/// A block that a write makes is closed once it has this many bytes: large enough that a page of 10,000 events takes
/// few of them, small enough that one out of order rewrites little.
pub(super) const TARGET: usize = 32 * 1024;

/// An event to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub timestamp: Timestamp,
    pub message: String,
}

/// An event's position in its stream: by timestamp, ties by ingestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub timestamp: Timestamp,
    /// Sequence number of the event within its stream, in order of ingestion.
    pub sequence: i64,
}

impl Position {
    /// Before every event of `timestamp`, after every earlier one.
    pub fn start_of(timestamp: Timestamp) -> Self {
        Self { timestamp, sequence: 0 }
    }

    /// Directly after this one: no event fits between.
    #[must_use]
    pub fn next(self) -> Self {
        // A position may come from a caller's token.
        Self { sequence: self.sequence.saturating_add(1), ..self }
    }
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub position: Position,
    pub ingested_at: Timestamp,
    pub message: String,
}

/// An event within a block's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed<'a> {
    pub(super) position: Position,
    ingested_at: Timestamp,
    message: &'a str,
    /// The whole of it, header and message.
    bytes: &'a [u8],
}

impl Packed<'_> {
    /// Message and [`OVERHEAD`].
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn to_stored(self) -> Stored {
        Stored { position: self.position, ingested_at: self.ingested_at, message: self.message.to_owned() }
    }
}

/// Appends one more event to `packed`.
pub(super) fn push(
    packed: &mut Vec<u8>,
    event: &Event,
    sequence: i64,
    ingested_at: Timestamp,
) -> Result<(), Error> {
    let length = u32::try_from(event.message.len()).map_err(Error::corrupt("a message of 4 GiB"))?;
    packed.reserve(OVERHEAD + event.message.len());
    packed.extend_from_slice(&event.timestamp.millis().to_le_bytes());
    packed.extend_from_slice(&ingested_at.millis().to_le_bytes());
    packed.extend_from_slice(&sequence.to_le_bytes()[..SEQUENCE]);
    packed.extend_from_slice(&length.to_le_bytes());
    packed.extend_from_slice(event.message.as_bytes());
    Ok(())
}

/// The events of a block, in order.
pub(super) fn unpack(block: &[u8]) -> Unpack<'_> {
    Unpack(block)
}

#[derive(Debug)]
pub(super) struct Unpack<'a>(&'a [u8]);

impl<'a> Unpack<'a> {
    fn event(&mut self) -> Option<Packed<'a>> {
        let block = self.0;
        let (timestamp, rest) = block.split_first_chunk()?;
        let (ingested_at, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk::<SEQUENCE>()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (message, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        let mut wide = [0; 8];
        wide[..SEQUENCE].copy_from_slice(sequence);
        Some(Packed {
            position: Position {
                timestamp: Timestamp(i64::from_le_bytes(*timestamp)),
                sequence: i64::from_le_bytes(wide),
            },
            ingested_at: Timestamp(i64::from_le_bytes(*ingested_at)),
            message: std::str::from_utf8(message).ok()?,
            bytes: &block[..OVERHEAD + length],
        })
    }
}

impl<'a> Iterator for Unpack<'a> {
    type Item = Result<Packed<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let event = self.event();
        if event.is_none() {
            self.0 = &[];
        }
        Some(event.ok_or_else(|| Error::corrupt("a block of log events")("it is cut off or not UTF-8")))
    }
}

/// A block, ready to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) first: Position,
    pub(super) last_timestamp: Timestamp,
    pub(super) events: Vec<u8>,
}

/// Joins two ordered runs of packed events, either of which may be empty, and cuts the whole into blocks.
pub(super) fn merge(old: &[u8], new: &[u8]) -> Result<Vec<Block>, Error> {
    let (mut old, mut new) = (unpack(old).peekable(), unpack(new).peekable());
    let mut blocks: Vec<Block> = Vec::new();
    loop {
        // An error is taken from the side that has it; the caller does not need to know which.
        let next = match (old.peek(), new.peek()) {
            (Some(Ok(left)), Some(Ok(right))) if left.position <= right.position => old.next(),
            (Some(Ok(_)), Some(_)) | (None, Some(_)) => new.next(),
            (Some(_), _) => old.next(),
            (None, None) => return Ok(blocks),
        };
        let Some(event) = next.transpose()? else { return Ok(blocks) };
        match blocks.last_mut() {
            Some(block) if block.events.len() + event.bytes.len() <= TARGET => {
                block.events.extend_from_slice(event.bytes);
                block.last_timestamp = event.position.timestamp;
            }
            _ => {
                let mut events = Vec::with_capacity(TARGET.max(event.bytes.len()));
                events.extend_from_slice(event.bytes);
                let Position { timestamp, .. } = event.position;
                blocks.push(Block { first: event.position, last_timestamp: timestamp, events });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(events: &[(i64, i64, String)]) -> Vec<u8> {
        let mut packed = Vec::new();
        for (timestamp, sequence, message) in events {
            let event = Event { timestamp: Timestamp(*timestamp), message: message.clone() };
            push(&mut packed, &event, *sequence, Timestamp(7)).unwrap();
        }
        packed
    }

    fn events(block: &[u8]) -> Vec<(i64, i64, String)> {
        unpack(block)
            .map(|event| {
                let event = event.unwrap().to_stored();
                assert_eq!(event.ingested_at, Timestamp(7));
                (event.position.timestamp.millis(), event.position.sequence, event.message)
            })
            .collect()
    }

    fn message() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => "\\PC{0,20}",
            1 => (5_000_usize..50_000).prop_map(|length| "\u{0}é".repeat(length / 3)),
        ]
    }

    proptest! {
        #[test]
        fn a_merge_keeps_every_event_once_in_order_in_disjoint_blocks(
            mut old in prop::collection::vec((0_i64..20, message()), 0..40),
            mut new in prop::collection::vec((0_i64..20, message()), 0..40),
        ) {
            old.sort_by_key(|event| event.0);
            new.sort_by_key(|event| event.0);
            let number = |events: Vec<(i64, String)>, from: i64| -> Vec<(i64, i64, String)> {
                (from..).zip(events).map(|(sequence, (timestamp, message))| (timestamp, sequence, message)).collect()
            };
            let (old, new) = (number(old, 0), number(new, 1000));
            let blocks = merge(&pack(&old), &pack(&new)).unwrap();

            let mut expected = [old, new].concat();
            expected.sort_by_key(|event| (event.0, event.1));
            let merged: Vec<_> = blocks.iter().flat_map(|block| events(&block.events)).collect();
            prop_assert_eq!(merged, expected);
            for block in &blocks {
                let inside = events(&block.events);
                let (first, last) = (&inside[0], &inside[inside.len() - 1]);
                prop_assert_eq!((block.first.timestamp.millis(), block.first.sequence), (first.0, first.1));
                prop_assert_eq!(block.last_timestamp.millis(), last.0);
                prop_assert!(block.events.len() <= TARGET || inside.len() == 1);
            }
        }

        #[test]
        fn a_damaged_block_is_an_error_and_never_a_panic(
            block in prop::collection::vec(any::<u8>(), 0..200), cut in 1_usize..60,
        ) {
            let _ = unpack(&block).count();
            let _ = merge(&block, &block);
            let whole = pack(&[(1, 1, "a message of some length, so that a cut falls anywhere".into())]);
            let cut = &whole[..whole.len() - cut];
            prop_assert!(unpack(cut).any(|event| event.is_err()));
            prop_assert!(merge(cut, &[]).is_err());
            prop_assert!(merge(&whole, cut).is_err());
        }
    }

    #[test]
    fn a_position_behind_every_event_has_none_after_it() {
        let last = Position { timestamp: Timestamp(0), sequence: i64::MAX };
        assert_eq!(last.next(), last);
    }
}
