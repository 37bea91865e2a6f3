//! Waits: level-triggered ("has reached X"), each with a deadline, and the last status in the error.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Between two looks. Short enough not to slow down a test, long enough to leave two cores to what is observed.
const PAUSE: Duration = Duration::from_millis(100);

/// How many times as long as here a state may take on this machine: `NEARGATE_SLOWNESS`, for a machine that is emulated.
static SLOWNESS: LazyLock<u32> = LazyLock::new(|| {
    let Ok(times) = std::env::var("NEARGATE_SLOWNESS") else { return 1 };
    times.parse().ok().filter(|times| *times > 0).unwrap_or_else(|| {
        panic!("NEARGATE_SLOWNESS is {times:?}: use a whole number of 1 or more");
    })
});

/// A deadline as this machine needs it.
#[must_use]
pub fn scaled(deadline: Duration) -> Duration {
    deadline.saturating_mul(*SLOWNESS)
}

/// Looks until `look` returns `Ok`. Its `Err` is the current status: the last one is reported if
/// `within` passes first.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let within = scaled(within);
    let began = Instant::now();
    loop {
        let status = match look().await {
            Ok(found) => return Ok(found),
            Err(status) => status,
        };
        if began.elapsed() >= within {
            anyhow::bail!("not within {} s: {what}; last seen: {status}", within.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks repeatedly for `period`: checks at every look that nothing has changed.
pub async fn throughout(
    what: &str,
    period: Duration,
    mut look: impl AsyncFnMut() -> Result<(), String>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    while began.elapsed() < period {
        if let Err(status) = look().await {
            anyhow::bail!(
                "after {:.1} s no longer so: {what}; seen: {status}",
                began.elapsed().as_secs_f32()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Seconds, for readable deadlines.
#[must_use]
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
