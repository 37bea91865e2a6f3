//! How far a container's output was read, so that another reader continues with exactly the next frame.
//!
//! The engine's log cannot be addressed by position: it can only be read from a time on, inclusive, and it is not in the
//! order of its timestamps. But its own order is the same on every read. So the cursor is a whole second (`floor`) from
//! which to read again, and the number of frames from there on that were read: exactly the first ones.
//!
//! The floor is behind the newest frame, because a frame may be written after one with a later timestamp. A frame below the
//! floor means that the engine's clock went back. Until the clock has caught up, the whole log is read again, and all frames
//! that were read before are skipped. So no frame is lost, and none is delivered twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Seconds by which the floor is behind: how late a frame may be written after it got its timestamp. The engine stamps a line,
/// then waits for the lock of the log: both outputs of a container write to it, and a busy machine delays either for seconds.
const LAG: i64 = 10;

const NANOSECONDS: i64 = 1_000_000_000;

/// A position in the log of one container. It is stored with the task: see the golden test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    floor: i64,
    /// Second → frames with a timestamp in it that were read; none below the floor.
    stored: BTreeMap<i64, u64>,
    /// All frames that were read; `None` in a cursor that an earlier release stored.
    #[serde(default)]
    total: Option<u64>,
    /// The last frames were below the floor.
    #[serde(default)]
    behind: bool,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { floor: 0, stored: BTreeMap::new(), total: Some(0), behind: false }
    }
}

impl Cursor {
    /// The second from which to read, and the number of frames to skip from there on. `now` is the second on the engine's
    /// clock.
    pub fn resume(&self, now: i64) -> (i64, u64) {
        let clock_went_back =
            self.behind || self.stored.last_key_value().is_some_and(|(newest, _)| *newest > now);
        match self.total {
            Some(total) if clock_went_back => (0, total),
            _ => (self.floor, self.stored.values().sum()),
        }
    }

    /// Counts one more frame as read. `timestamp` in nanoseconds since the epoch.
    pub fn advance(&mut self, timestamp: i64) {
        self.total = self.total.map(|total| total + 1);
        let second = timestamp.div_euclid(NANOSECONDS);
        if second < self.floor {
            self.behind = true;
            return;
        }
        *self.stored.entry(second).or_default() += 1;
        if second - LAG >= self.floor {
            self.behind = false;
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

    /// The frames that a reader gets that continues from `cursor`.
    fn again(log: &[i64], cursor: &Cursor, now: i64) -> Vec<i64> {
        let (since, skip) = cursor.resume(now);
        let skip = usize::try_from(skip).expect("fits");
        log.iter().copied().filter(|stamp| stamp.div_euclid(NANOSECONDS) >= since).skip(skip).collect()
    }

    proptest! {
        /// A log in file order, its timestamps out of order by less than the lag, the clock sometimes set; read up to some
        /// position, then again from the cursor.
        #[test]
        fn reading_again_gives_exactly_what_was_not_read(
            steps in prop::collection::vec((0..3_000_000_000i64, -8_000_000_000..8_000_000_000i64), 1..200),
            set in prop::option::of((any::<prop::sample::Index>(), -300..300i64)),
            stop in any::<prop::sample::Index>(),
        ) {
            let mut clock = 1_700_000_000 * NANOSECONDS;
            let set = set.map(|(at, by)| (at.index(steps.len()), by * NANOSECONDS));
            let log: Vec<i64> = steps.iter().enumerate().map(|(index, (step, jitter))| {
                clock += step + set.filter(|(at, _)| *at == index).map_or(0, |(_, by)| by);
                clock + (jitter / 2)
            }).collect();
            let stop = stop.index(log.len() + 1);
            let mut cursor = Cursor::default();
            log[..stop].iter().for_each(|timestamp| cursor.advance(*timestamp));
            // The earliest possible time at which the next frame is read.
            let now = log[stop..].iter().min().map_or(i64::MAX, |stamp| stamp.div_euclid(NANOSECONDS));
            prop_assert_eq!(&again(&log, &cursor, now)[..], &log[stop..]);
        }
    }

    #[test]
    fn the_cursor_of_a_long_log_stays_small() {
        let mut cursor = Cursor::default();
        for second in 0..100_000 {
            cursor.advance(second * NANOSECONDS);
        }
        assert_eq!(cursor.resume(100_000), (99_999 - LAG, 11));
    }

    #[test]
    fn while_the_clock_is_behind_the_whole_log_is_read_again() {
        let mut cursor = Cursor::default();
        (0..100).for_each(|second| cursor.advance(second * NANOSECONDS));
        assert_eq!(cursor.resume(100), (89, 11));
        assert_eq!(cursor.resume(50), (0, 100), "the next frame will be stamped before the floor");
        cursor.advance(50 * NANOSECONDS);
        assert_eq!(cursor.resume(200), (0, 101));
        cursor.advance(99 * NANOSECONDS);
        assert_eq!(cursor.resume(200), (89, 12), "the clock has caught up");
    }

    #[test]
    fn a_cursor_that_an_earlier_release_stored_is_read() {
        let golden = r#"{"floor":1700000000,"stored":{"1700000000":2,"1700000010":1}}"#;
        let cursor: Cursor = serde_json::from_str(golden).expect("it parses");
        assert_eq!(cursor.resume(1_700_000_020), (1_700_000_000, 3));
    }
}
