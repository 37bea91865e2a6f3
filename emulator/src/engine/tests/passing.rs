//! A manual clock that advances by itself, faster than the machine's, so that minutes of retries take moments.

use std::time::Duration;

use crate::clock::Clock;

/// Moves the clock on by `step` for each `every` of the machine's time, until the test's runtime ends.
pub(super) fn pass(clock: &Clock, every: Duration, step: Duration) {
    let clock = clock.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            clock.advance(step);
        }
    });
}
