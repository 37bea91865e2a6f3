//! How far a container's output is stored.
//!
//! The engine's log cannot be addressed by position: it can only be read again from a time on, inclusive, and the two
//! streams are not in timestamp order within it. But its order is always the same. So the cursor is a whole second
//! (`floor`) from which to read again, and how many frames from there on are stored already: exactly the first ones.
//!
//! The floor trails the newest frame, because a frame may be written after one with a later timestamp; a frame below the
//! floor would not be read again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Seconds by which the floor trails: how late a frame may be written after it was stamped.
const LAG: i64 = 10;

const NANOSECONDS: i64 = 1_000_000_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    floor: i64,
    /// Second → frames stamped within it that are stored; none below the floor.
    stored: BTreeMap<i64, u64>,
}

impl Cursor {
    /// The second from which to read again.
    pub(super) fn since(&self) -> i64 {
        self.floor
    }

    /// How many of the frames read from [`Cursor::since`] on are stored already.
    pub(super) fn skip(&self) -> u64 {
        self.stored.values().sum()
    }

    /// Counts one more frame as stored.
    pub(super) fn advance(&mut self, timestamp: i64) {
        let second = timestamp.div_euclid(NANOSECONDS);
        if second >= self.floor {
            *self.stored.entry(second).or_default() += 1;
        }
        let newest = self.stored.last_key_value().map_or(second, |(newest, _)| *newest);
        if newest - LAG > self.floor {
            self.floor = newest - LAG;
            self.stored = self.stored.split_off(&self.floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A log in file order, stamps out of order by less than the lag; read up to some place, then again by the cursor.
        #[test]
        fn reading_again_gives_exactly_what_is_not_stored(
            steps in prop::collection::vec((0..3_000_000_000i64, -8_000_000_000..8_000_000_000i64), 1..200),
            stop in any::<prop::sample::Index>(),
        ) {
            let mut clock = 1_700_000_000 * NANOSECONDS;
            let log: Vec<i64> = steps.iter().map(|(step, jitter)| { clock += step; clock + (jitter / 2) }).collect();
            let stop = stop.index(log.len() + 1);
            let mut cursor = Cursor::default();
            log[..stop].iter().for_each(|timestamp| cursor.advance(*timestamp));

            let skip = usize::try_from(cursor.skip()).expect("fits");
            let again: Vec<i64> = log
                .iter()
                .copied()
                .filter(|timestamp| timestamp.div_euclid(NANOSECONDS) >= cursor.since())
                .skip(skip)
                .collect();
            prop_assert_eq!(&again[..], &log[stop..]);
        }
    }

    #[test]
    fn the_cursor_of_a_long_log_stays_small() {
        let mut cursor = Cursor::default();
        for second in 0..100_000 {
            cursor.advance(second * NANOSECONDS);
        }
        assert_eq!(cursor.since(), 99_999 - LAG);
        assert_eq!(cursor.skip(), 11);
    }
}
