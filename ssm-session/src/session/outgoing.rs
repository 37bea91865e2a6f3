//! Stream messages of this side until they are acknowledged, and when to send them again.
//!
//! The timeout follows the round trips as plugin and agent calculate it (CalculateRetransmissionTimeout in their
//! `datachannel`), with one difference: a round trip is measured from the first time that a message was sent, not
//! from the last. On a WebSocket nothing is lost while the connection lasts, so the acknowledgement belongs to the
//! first transmission; measured from the last one, the timeout would never grow to a slow connection's round trip.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::limits::{
    FIRST_ROUND_TRIP, FIRST_TIMEOUT, GIVE_UP, GRANULARITY, MOST_TIMEOUT, RESEND_BURST, RESEND_INTERVAL,
};

#[derive(Debug)]
pub(super) struct Outgoing {
    /// The sequence number of the next message.
    next: i64,
    /// By sequence number, ascending.
    pending: VecDeque<Pending>,
    round_trip: Duration,
    variation: Duration,
    timeout: Duration,
    /// Nothing is sent again before this.
    next_round: Duration,
}

#[derive(Debug)]
struct Pending {
    sequence: i64,
    frame: Bytes,
    /// When it was sent; none while it is held back.
    sent: Option<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    first: Duration,
    last: Duration,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            next: 0,
            pending: VecDeque::new(),
            round_trip: FIRST_ROUND_TRIP,
            variation: Duration::ZERO,
            timeout: FIRST_TIMEOUT,
            next_round: Duration::ZERO,
        }
    }

    /// The sequence number that the next message must carry.
    pub(super) fn next_sequence(&self) -> i64 {
        self.next
    }

    /// Messages that are not acknowledged.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Takes the message with [`next_sequence`](Self::next_sequence); [`flush`](Self::flush) sends it.
    pub(super) fn push(&mut self, frame: Bytes) {
        self.pending.push_back(Pending { sequence: self.next, frame, sent: None });
        self.next = self.next.saturating_add(1);
    }

    /// The frames that were never sent, to be sent now.
    pub(super) fn flush(&mut self, now: Duration) -> Vec<Bytes> {
        let held = self.pending.iter_mut().filter(|pending| pending.sent.is_none());
        held.map(|pending| {
            pending.sent = Some(Sent { first: now, last: now });
            pending.frame.clone()
        })
        .collect()
    }

    /// Everything counts as never sent: the connection is a new one.
    pub(super) fn restart(&mut self) {
        for pending in &mut self.pending {
            pending.sent = None;
        }
    }

    /// The other side is back from a pause: the time without acknowledgement counts from here. What it did not
    /// receive is sent again in rounds, and not all at once, otherwise a short frame would trigger everything.
    pub(super) fn resume(&mut self, now: Duration) {
        for sent in self.pending.iter_mut().filter_map(|pending| pending.sent.as_mut()) {
            sent.first = now;
        }
    }

    /// A message has arrived on the other side. One that is not pending was acknowledged before.
    pub(super) fn acknowledge(&mut self, sequence: i64, now: Duration) {
        let Ok(index) = self.pending.binary_search_by_key(&sequence, |pending| pending.sequence) else {
            return;
        };
        if let Some(sent) = self.pending.remove(index).and_then(|pending| pending.sent) {
            self.measure(now.saturating_sub(sent.first));
        }
    }

    fn measure(&mut self, round_trip: Duration) {
        self.variation = (self.variation * 3 + self.round_trip.abs_diff(round_trip)) / 4;
        self.round_trip = (self.round_trip * 7 + round_trip) / 8;
        self.timeout = (self.round_trip + GRANULARITY.max(self.variation * 4)).min(MOST_TIMEOUT);
    }

    /// What is to be sent again now: the oldest first, at most a burst, and not before the next round.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Bytes> {
        if now < self.next_round {
            return Vec::new();
        }
        let mut frames = Vec::new();
        for pending in &mut self.pending {
            if frames.len() == RESEND_BURST {
                break;
            }
            if let Some(sent) = pending.sent.as_mut().filter(|sent| sent.last + self.timeout <= now) {
                sent.last = now;
                frames.push(pending.frame.clone());
            }
        }
        if !frames.is_empty() {
            self.next_round = now + RESEND_INTERVAL;
        }
        frames
    }

    /// The message that has waited for an acknowledgement for too long.
    pub(super) fn given_up(&self, now: Duration) -> Option<i64> {
        let oldest = self.pending.front()?;
        (oldest.sent?.first + GIVE_UP <= now).then_some(oldest.sequence)
    }

    /// When [`due`](Self::due) or [`given_up`](Self::given_up) has something.
    pub(super) fn wake(&self) -> Option<Duration> {
        let oldest = self.pending.iter().filter_map(|pending| pending.sent.map(|sent| sent.last)).min()?;
        let given_up = self.pending.front().and_then(|pending| pending.sent).map(|sent| sent.first + GIVE_UP);
        let due = (oldest + self.timeout).max(self.next_round);
        Some(given_up.map_or(due, |given_up| given_up.min(due)))
    }
}
