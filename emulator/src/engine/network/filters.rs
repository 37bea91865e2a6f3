//! The packet filters of all sandboxes, kept as their security groups and the members of these say.
//!
//! ```text
//! join, leave ─▶ members ─▶ Vpc::filter, once for each list of groups ─▶ sandboxes whose filter is another one ─▶ runtime
//!                                                                            join ◀─ ready ◀─ a pass is done ◀┘
//! ```
//!
//! One loop sends them, each pass all that changed since the last one. A task's containers start after the pass that
//! began with it as a member: its own filter is set by then, and everybody has heard of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::warn;

use crate::clock::Clock;
use crate::engine::vpc::{Members, Vpc};
use crate::runtime::{Error, Filter, Runtime};

/// Filters that are sent at the same time.
const AT_ONCE: usize = 8;

/// Between two tries of a filter that could not be set.
const RETRY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(in crate::engine) struct Filters {
    vpc: Arc<Vpc>,
    runtime: Arc<dyn Runtime>,
    clock: Clock,
    state: Mutex<State>,
    /// How many changes there were, and how many of them every sandbox has heard of.
    changes: watch::Sender<u64>,
    heard: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    members: Members,
    /// The sandbox of each task.
    tasks: HashMap<String, Joined>,
    /// Each list of groups that tasks are in: its filter, and who has to have it.
    lists: BTreeMap<Vec<String>, List>,
    /// What a sandbox has, also one that no task has claimed; nothing where that is not known.
    set: HashMap<String, Arc<Filter>>,
    /// Sandboxes whose filter may be another one than it should be.
    stale: BTreeSet<String>,
}

#[derive(Debug)]
struct Joined {
    groups: Vec<String>,
    /// The change that it was.
    change: u64,
    /// Why its filter could not be set.
    failed: Option<Error>,
}

#[derive(Debug)]
struct List {
    filter: Arc<Filter>,
    sandboxes: BTreeSet<String>,
}

impl Filters {
    pub(in crate::engine) fn new(vpc: Arc<Vpc>, runtime: Arc<dyn Runtime>, clock: Clock) -> Self {
        let (changes, heard) = (watch::Sender::new(0), watch::Sender::new(0));
        Self { vpc, runtime, clock, state: Mutex::default(), changes, heard }
    }

    /// The filter to make a sandbox with, for a task that names these groups.
    pub(in crate::engine) fn at_first(&self, named: &[String]) -> Arc<Filter> {
        let groups = self.vpc.groups(named);
        let state = self.state.lock();
        match state.lists.get(&groups) {
            Some(list) => Arc::clone(&list.filter),
            None => Arc::new(self.vpc.filter(&groups, &state.members)),
        }
    }

    /// A sandbox was made with this filter.
    pub(in crate::engine) fn made(&self, sandbox_id: &str, filter: Arc<Filter>) {
        self.state.lock().set.insert(sandbox_id.to_owned(), filter);
    }

    /// A sandbox that no task had is removed.
    pub(in crate::engine) fn removed(&self, sandbox_id: &str) {
        self.state.lock().set.remove(sandbox_id);
    }

    /// A task has this sandbox now, with the groups that it names.
    pub(in crate::engine) fn join(&self, sandbox_id: &str, address: Ipv4Addr, named: &[String]) {
        let groups = self.vpc.groups(named);
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.members.join(sandbox_id, address, &groups);
        let list = state.lists.entry(groups.clone()).or_insert_with(|| List {
            // Drawn by the next pass.
            filter: Arc::default(),
            sandboxes: BTreeSet::new(),
        });
        list.sandboxes.insert(sandbox_id.to_owned());
        state.stale.insert(sandbox_id.to_owned());
        let joined = Joined { groups, change: *self.changes.borrow() + 1, failed: None };
        state.tasks.insert(sandbox_id.to_owned(), joined);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// The task of this sandbox has ended: its address is nobody's.
    pub(in crate::engine) fn leave(&self, sandbox_id: &str) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(joined) = state.tasks.remove(sandbox_id) else { return };
        state.members.leave(sandbox_id);
        state.set.remove(sandbox_id);
        state.stale.remove(sandbox_id);
        if let Some(list) = state.lists.get_mut(&joined.groups) {
            list.sandboxes.remove(sandbox_id);
            if list.sandboxes.is_empty() {
                state.lists.remove(&joined.groups);
            }
        }
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Waits until the sandbox's filter is set and every other sandbox has heard of its task.
    pub(in crate::engine) async fn ready(&self, sandbox_id: &str) -> Result<(), Error> {
        let Some(change) = self.state.lock().tasks.get(sandbox_id).map(|joined| joined.change) else {
            return Ok(());
        };
        // The sender lives in `self`, so the wait cannot end for want of one.
        let _ = self.heard.subscribe().wait_for(|heard| *heard >= change).await;
        match self.state.lock().tasks.get(sandbox_id).and_then(|joined| joined.failed.clone()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Keeps the filters for as long as it is polled.
    pub(in crate::engine) async fn run(&self) {
        let mut changes = self.changes.subscribe();
        loop {
            let now = *changes.borrow_and_update();
            self.pass().await;
            self.heard.send_replace(now);
            let again = !self.state.lock().stale.is_empty();
            tokio::select! {
                _ = changes.changed() => {}
                () = self.clock.sleep(RETRY), if again => {}
            }
        }
    }

    /// Sends every filter that is another one by now. What could not be set stays stale.
    async fn pass(&self) {
        let stale = self.redraw();
        let sent = stale.into_iter().map(|(sandbox_id, filter)| async move {
            let result = self.runtime.set_filter(&sandbox_id, &filter).await;
            let mut guard = self.state.lock();
            let state = &mut *guard;
            // It may have ended meanwhile.
            let Some(joined) = state.tasks.get_mut(&sandbox_id) else { return };
            match result {
                Ok(()) => {
                    joined.failed = None;
                    state.stale.remove(&sandbox_id);
                    state.set.insert(sandbox_id, filter);
                }
                Err(error) => {
                    warn!(%error, "a sandbox has an old filter; trying again");
                    joined.failed = Some(error);
                    // What it has now is not known.
                    state.set.remove(&sandbox_id);
                }
            }
        });
        futures::stream::iter(sent).for_each_concurrent(AT_ONCE, |sent| sent).await;
    }

    /// Draws the filters anew, and answers those that are not set yet.
    fn redraw(&self) -> Vec<(String, Arc<Filter>)> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        for (groups, list) in &mut state.lists {
            let filter = self.vpc.filter(groups, &state.members);
            if filter != *list.filter {
                list.filter = Arc::new(filter);
                state.stale.extend(list.sandboxes.iter().cloned());
            }
        }
        let (set, tasks, lists) = (&state.set, &state.tasks, &state.lists);
        let mut unset = Vec::new();
        state.stale.retain(|sandbox_id| {
            let list = tasks.get(sandbox_id).and_then(|joined| lists.get(&joined.groups));
            let Some(list) = list.filter(|list| set.get(sandbox_id) != Some(&list.filter)) else {
                return false;
            };
            unset.push((sandbox_id.clone(), Arc::clone(&list.filter)));
            true
        });
        unset
    }
}
