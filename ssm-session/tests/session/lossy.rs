//! Two sides over a pipe that loses, repeats and reorders: every byte arrives once and in order, both ways. The pipe
//! is worse than any WebSocket; its behaviour follows from a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::support::{Side, agent, client, ms, offering, silent};
use bytes::Bytes;
use ssm_session::payload::Type;
use ssm_session::session::{Event, RESEND_BURST};

/// Sebastiano Vigna's splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

struct Pipe {
    random: Random,
    /// Lost frames in a hundred.
    lost: u64,
    repeated: u64,
    /// By arrival time, then by number; for which of the two sides.
    under_way: BTreeMap<(Duration, u64), (usize, Bytes)>,
    carried: u64,
}

impl Pipe {
    fn carry(&mut self, to: usize, now: Duration, frame: &Bytes) {
        if self.random.below(100) < self.lost {
            return;
        }
        let copies = if self.random.below(100) < self.repeated { 2 } else { 1 };
        for _ in 0..copies {
            self.carried += 1;
            let arrival = now + ms(1 + self.random.below(150));
            self.under_way.insert((arrival, self.carried), (to, frame.clone()));
        }
    }
}

/// Bytes that differ at each position, so that a lost, repeated or misplaced chunk is detected.
fn text(length: usize, from: usize) -> Vec<u8> {
    (from..).flat_map(|number: usize| format!("{number},").into_bytes()).take(length).collect()
}

fn play(seed: u64, lost: u64, repeated: u64, handshake: bool) {
    let case = format!("seed {seed}, {lost}% lost, {repeated}% repeated, handshake {handshake}");
    let mut pipe = Pipe { random: Random(seed), lost, repeated, under_way: BTreeMap::new(), carried: 0 };
    let mut sides = [agent(if handshake { offering() } else { silent() }), client()];
    let texts = [text(30_000, 0), text(10_000, 1_000_000)];
    let mut written = [0, 0];
    for side in &mut sides {
        side.open();
    }
    for _ in 0..200_000 {
        for (index, side) in sides.iter_mut().enumerate() {
            write_some(side, &texts[index], &mut written[index], &mut pipe.random);
            for frame in std::mem::take(&mut side.sent) {
                pipe.carry(1 - index, side.now, &frame);
            }
        }
        let arrival = pipe.under_way.keys().next().map(|(arrival, _)| *arrival);
        let wakes = sides.iter().filter_map(|side| side.session.wake());
        let Some(now) = wakes.chain(arrival).min() else { break };
        for side in &mut sides {
            side.now = side.now.max(now);
        }
        match pipe.under_way.first_entry() {
            Some(first) if first.key().0 <= now => {
                let (to, frame) = first.remove();
                sides[to].next(Event::Frame(frame));
            }
            _ => sides.iter_mut().for_each(|side| side.next(Event::Tick)),
        }
        assert!(sides.iter().all(|side| side.ended.is_empty()), "{case}: {:?}", sides[0].ended);
    }
    let [agent, client] = sides;
    assert_eq!(written, [texts[0].len(), texts[1].len()], "{case}");
    assert!(client.bytes(Type::Output) == texts[0], "{case}: the agent's bytes differ");
    assert!(agent.bytes(Type::Output) == texts[1], "{case}: the client's bytes differ");
    assert_eq!((agent.session.room(), client.session.room()), (1024, 1024), "{case}: all is acknowledged");
    assert_eq!((agent.ready.len(), client.ready.len()), (1, 1), "{case}");
}

/// Writes a piece of random size, once the session has begun and unless much is in flight.
fn write_some(side: &mut Side, text: &[u8], written: &mut usize, random: &mut Random) {
    let under_way = 1024 - side.session.room();
    if side.ready.is_empty() || *written == text.len() || under_way > RESEND_BURST {
        return;
    }
    let piece = usize::try_from(1 + random.below(3000)).expect("small").min(text.len() - *written);
    side.write(Bytes::copy_from_slice(&text[*written..*written + piece]));
    *written += piece;
}

#[test]
fn every_byte_arrives_once_and_in_order_over_a_pipe_that_loses_repeats_and_reorders() {
    for seed in 0..6 {
        for (lost, repeated) in [(0, 0), (10, 0), (0, 30), (20, 20), (40, 10)] {
            for handshake in [true, false] {
                play(seed, lost, repeated, handshake);
            }
        }
    }
}
