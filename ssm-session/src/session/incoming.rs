//! Stream messages of the other side: put in order, each once, in bounded space.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::limits::Limits;
use crate::message::Message;
use crate::payload;

/// The payload of a stream message.
pub(super) type Item = (payload::Type, Bytes);

/// What was done with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// New, and kept: to be acknowledged. [`Incoming::pop`] may have something.
    Kept,
    /// Old: to be acknowledged again.
    Duplicate,
    /// New, but there is no room: not to be acknowledged, so that it is sent again.
    NoRoom,
}

#[derive(Debug)]
pub(super) struct Incoming {
    /// The sequence number of the next message to deliver.
    expected: i64,
    /// By sequence number, from `expected` on.
    waiting: BTreeMap<i64, Item>,
    /// Of the payloads in `waiting`.
    bytes: usize,
    limits: Limits,
}

impl Incoming {
    pub(super) fn new(limits: Limits) -> Self {
        Self { expected: 0, waiting: BTreeMap::new(), bytes: 0, limits }
    }

    /// Takes in a message. There is always room for the next one in order.
    pub(super) fn receive(&mut self, message: &Message) -> Arrival {
        let sequence = message.sequence;
        if sequence < self.expected || self.waiting.contains_key(&sequence) {
            return Arrival::Duplicate;
        }
        let fits = self.waiting.len() < self.limits.incoming
            && self.bytes + message.payload.len() <= self.limits.incoming_bytes;
        if sequence > self.expected && !fits {
            return Arrival::NoRoom;
        }
        self.bytes += message.payload.len();
        self.waiting.insert(sequence, (message.payload_type, message.payload.clone()));
        Arrival::Kept
    }

    /// The next payload in order, if it has arrived.
    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.waiting.remove(&self.expected)?;
        self.expected = self.expected.saturating_add(1);
        self.bytes -= item.1.len();
        Some(item)
    }
}
