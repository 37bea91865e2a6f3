//! Loops that live as long as the provider. A panic ends none of them: it is logged, and the loop continues.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures::{FutureExt, Stream, StreamExt};

/// Until a loop that panicked is restarted: one that panics at once must not fill the log.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the future that `start` makes until it ends; after a panic it is started again after a second. `name` names the
/// loop in the log.
pub(crate) async fn keep<F: Future<Output = ()>>(name: &'static str, start: impl Fn() -> F) {
    while let Err(panic) = AssertUnwindSafe(async { start().await }).catch_unwind().await {
        tracing::error!(
            name,
            panic = message(&*panic),
            "a loop of the provider panicked; restarting it in 1 s"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Handles the items of the stream one after the other until it ends; an item whose handling panics is skipped.
pub(crate) async fn each<S: Stream, F: Future<Output = ()>>(
    name: &'static str,
    stream: S,
    handle: impl Fn(S::Item) -> F,
) {
    let mut stream = std::pin::pin!(stream);
    while let Some(item) = stream.next().await {
        if let Err(panic) = AssertUnwindSafe(async { handle(item).await }).catch_unwind().await {
            tracing::error!(
                name,
                panic = message(&*panic),
                "a loop of the provider panicked; continuing with the next item"
            );
        }
    }
}

/// The message of a panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_is_started_again() {
        let starts = AtomicU32::new(0);
        keep("test", async || assert!(starts.fetch_add(1, Ordering::Relaxed) >= 2, "not yet")).await;
        assert_eq!(starts.into_inner(), 3);
    }

    #[tokio::test]
    async fn an_item_that_panics_is_skipped() {
        let handled = AtomicU32::new(0);
        each("test", futures::stream::iter([1, 2, 3]), async |item| {
            assert_ne!(item, 2);
            handled.fetch_add(item, Ordering::Relaxed);
        })
        .await;
        assert_eq!(handled.into_inner(), 4);
    }
}
