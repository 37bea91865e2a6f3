//! Publishes each change once, after its commit, to readers and subscribers.
//!
//! ```text
//! commit ─▶ publish ─▶ the readers that are up to date before the caller continues: published ports, registry
//!                  └─▶ any number of subscribers, each at its own pace
//! ```

use std::sync::Arc;

use tokio::sync::broadcast;

use super::task::Task;

/// How many changes a subscriber may be behind: one second at the engine's highest rate, 500 tasks with 8 changes each.
const BEHIND: usize = 4096;

/// Something that was committed.
#[derive(Clone, Debug)]
pub enum Change {
    /// The current state of a task. The same state may be published twice.
    Task(Arc<Task>),
    /// These tasks, by their ARNs, stopped an hour ago and are no longer known.
    Forgotten(Arc<[String]>),
    /// A reset deleted everything.
    Reset,
}

/// What a subscriber receives.
#[derive(Clone, Debug)]
pub enum News {
    Change(Change),
    /// Changes were missed: the subscriber has to read everything again.
    Missed,
}

/// A reader that has processed a change before its publisher continues.
pub(in crate::engine) trait Reader: std::fmt::Debug + Send + Sync {
    /// Must return at once: the publisher waits for it.
    fn read(&self, change: &Change);
}

#[derive(Debug)]
pub(in crate::engine) struct Changes {
    readers: Vec<Arc<dyn Reader>>,
    subscribers: broadcast::Sender<Change>,
}

impl Changes {
    /// Changes come to `readers` in this order, then to the subscribers.
    pub(in crate::engine) fn new(readers: Vec<Arc<dyn Reader>>) -> Self {
        Self { readers, subscribers: broadcast::Sender::new(BEHIND) }
    }

    /// Shows a committed change.
    pub(in crate::engine) fn publish(&self, change: Change) {
        for reader in &self.readers {
            reader.read(&change);
        }
        // An error means that there is no subscriber.
        let _ = self.subscribers.send(change);
    }

    /// All changes from now on.
    pub(in crate::engine) fn subscribe(&self) -> Subscription {
        Subscription(self.subscribers.subscribe())
    }
}

/// The changes since it was created.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Change>);

impl Subscription {
    /// The next change; `None` once the engine has ended.
    pub async fn next(&mut self) -> Option<News> {
        match self.0.recv().await {
            Ok(change) => Some(News::Change(change)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(News::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Count(parking_lot::Mutex<usize>);

    impl Reader for Count {
        fn read(&self, _: &Change) {
            *self.0.lock() += 1;
        }
    }

    #[tokio::test]
    async fn a_subscriber_that_is_behind_learns_it_and_delays_no_other() {
        let count = Arc::new(Count::default());
        let changes = Changes::new(vec![Arc::clone(&count) as Arc<dyn Reader>]);
        let (mut slow, mut quick) = (changes.subscribe(), changes.subscribe());
        for _ in 0..=BEHIND {
            changes.publish(Change::Reset);
            assert!(matches!(quick.next().await, Some(News::Change(Change::Reset))));
        }
        assert_eq!(*count.0.lock(), BEHIND + 1);
        assert!(matches!(slow.next().await, Some(News::Missed)));
        assert!(matches!(slow.next().await, Some(News::Change(Change::Reset))));
        drop(changes);
        let mut left = 0;
        while slow.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, BEHIND - 1);
    }
}
