//! Decisions cached for a while, so that a burst of requests asks the API server once.

use std::{collections::HashMap, hash::Hash, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Entries kept at once. A cluster has few callers of a kubelet; more than that means that someone is trying tokens.
const CAPACITY: usize = 1_024;

/// A bounded map whose entries expire.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    entries: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    pub(super) fn new() -> Self {
        Self { entries: Mutex::new(HashMap::new()) }
    }

    /// The entry of `key`, if it has not expired.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock();
        entries.get(key).filter(|(until, _)| Instant::now() < *until).map(|(_, value)| value.clone())
    }

    /// Keeps an entry for `ttl`. If the map is full, the entry that expires next is removed.
    pub(super) fn put(&self, key: K, value: V, ttl: Duration) {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if entries.len() >= CAPACITY {
            entries.retain(|_, (until, _)| now < *until);
        }
        if entries.len() >= CAPACITY {
            let next = entries.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone());
            if let Some(next) = next {
                entries.remove(&next);
            }
        }
        entries.insert(key, (now + ttl, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_entry_expires_at_its_time_and_there_are_never_too_many() {
        let cache = Cache::new();
        cache.put(0, "short", Duration::from_secs(30));
        cache.put(1, "long", Duration::from_secs(300));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!((cache.get(&0), cache.get(&1)), (Some("short"), Some("long")));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((cache.get(&0), cache.get(&1)), (None, Some("long")));
        for key in 2..3_000 {
            cache.put(key, "guess", Duration::from_secs(400));
        }
        assert_eq!(cache.entries.lock().len(), CAPACITY);
        assert_eq!(cache.get(&2_999), Some("guess"));
    }
}
