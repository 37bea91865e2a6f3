//! Connections without an authorized request yet: few, short-lived, and the oldest is dropped for the newest.
//!
//! Every pod that reaches the node's address can connect; it must not be able to take the places of permitted callers. So a
//! connection is a stranger until one of its requests has been authorized (authentication is not enough: every pod may have a
//! token), has [`TIME`] for that from the moment it is accepted, and is dropped earlier if [`PLACES`] newer ones have arrived.
//! After that it has a place of its own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a connection may take to its first request that is authorized, handshake included.
pub(super) const TIME: Duration = Duration::from_secs(10);

/// Strangers at once. A permitted caller needs some milliseconds to authenticate, in which so many others would have to arrive.
const PLACES: usize = 256;

/// Known connections at once. An API server multiplexes its requests over a few; the rest is for scrapers and `kubectl logs`
/// through HTTP/1.1, one connection each.
const KNOWN: usize = 1_024;

/// The open connections.
#[derive(Debug, Clone)]
pub(super) struct Strangers {
    waiting: Arc<Mutex<Waiting>>,
    known: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    by_age: BTreeMap<u64, CancellationToken>,
}

/// One connection, a stranger until it is introduced.
#[derive(Debug)]
pub(super) struct Visitor {
    strangers: Strangers,
    number: u64,
    /// Cancelled if a newer stranger needs the place.
    displaced: CancellationToken,
    introduced: CancellationToken,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Strangers {
    pub(super) fn new() -> Self {
        Self { waiting: Arc::default(), known: Arc::new(Semaphore::new(KNOWN)) }
    }

    /// Adds a connection; the oldest stranger is dropped if there are too many.
    pub(super) fn enter(&self) -> Arc<Visitor> {
        let displaced = CancellationToken::new();
        let mut waiting = self.waiting.lock();
        waiting.last += 1;
        let number = waiting.last;
        if waiting.by_age.len() >= PLACES
            && let Some((_, oldest)) = waiting.by_age.pop_first()
        {
            oldest.cancel();
        }
        waiting.by_age.insert(number, displaced.clone());
        let (strangers, introduced) = (self.clone(), CancellationToken::new());
        Arc::new(Visitor { strangers, number, displaced, introduced, place: Mutex::default() })
    }
}

impl Visitor {
    /// One of its requests is authorized: it stops being a stranger, if there is a place among the known.
    pub(super) fn introduce(&self) {
        let mut place = self.place.lock();
        if place.is_some() {
            return;
        }
        match Arc::clone(&self.strangers.known).try_acquire_owned() {
            Ok(permit) => {
                *place = Some(permit);
                self.strangers.waiting.lock().by_age.remove(&self.number);
                self.introduced.cancel();
            }
            Err(_) => tracing::warn!(
                "{KNOWN} connections to the kubelet's API are open; another one is closed after {TIME:?}"
            ),
        }
    }

    /// Ends if the connection is to be dropped: it is still a stranger after its time, or a newer one needs the place.
    pub(super) async fn overstays(&self) {
        tokio::select! {
            () = self.introduced.cancelled() => std::future::pending().await,
            () = self.displaced.cancelled() => {}
            () = tokio::time::sleep(TIME) => {}
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.strangers.waiting.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_stranger_makes_room_for_the_newest_and_the_known_keep_their_place() {
        let strangers = Strangers::new();
        let known = strangers.enter();
        known.introduce();
        let mut waiting: Vec<_> = (0..PLACES + 2).map(|_| strangers.enter()).collect();
        let goes = |visitor: &Arc<Visitor>| visitor.overstays().now_or_never().is_some();
        let gone: Vec<_> = waiting.iter().map(goes).collect();
        assert_eq!(gone.iter().position(|gone| !gone), Some(2), "the two oldest");
        assert_eq!(gone.iter().filter(|gone| **gone).count(), 2);
        assert!(!goes(&known));

        // A connection that has ended takes no place.
        waiting.truncate(10);
        let next = strangers.enter();
        assert!(!goes(&waiting[2]));
        tokio::time::timeout(TIME * 2, next.overstays()).await.expect("a stranger is dropped after its time");
        assert!(tokio::time::timeout(TIME * 20, known.overstays()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_known_than_there_are_places_and_a_place_is_given_back() {
        let strangers = Strangers::new();
        let mut known: Vec<_> = (0..KNOWN).map(|_| strangers.enter()).collect();
        known.iter().for_each(|visitor| visitor.introduce());
        let one_more = strangers.enter();
        one_more.introduce();
        tokio::time::timeout(TIME * 2, one_more.overstays()).await.expect("it stays a stranger");
        known.pop();
        let next = strangers.enter();
        next.introduce();
        assert!(tokio::time::timeout(TIME * 2, next.overstays()).await.is_err());
    }
}
