//! Which filter each sandbox is to have, which it has, and which sandboxes a starting task waits for. Pure.
//!
//! A task waits for its own filter, and for one attempt at each filter that changed because of it: its peers then let it
//! in, or shut it out. It does not wait for a sandbox whose filter does not depend on it, or for one whose last
//! attempt failed: that one is retried separately.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::engine::vpc::{Members, Vpc};
use crate::runtime::{Error, Filter};

/// The sandboxes of all live tasks and their filters.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    members: Members,
    /// The sandbox of each task.
    sandboxes: HashMap<String, Joined>,
    /// Each list of groups that tasks are in: its filter, and the sandboxes that must have it.
    lists: BTreeMap<Vec<String>, List>,
    /// The filter that a sandbox has, also one that no task has claimed; absent if that is not known.
    set: HashMap<String, Arc<Filter>>,
    /// Sandboxes whose filter may differ from the one that they must have.
    stale: BTreeSet<String>,
    /// How often the filters were drawn.
    drawn: u64,
}

#[derive(Debug)]
struct Joined {
    task_arn: String,
    groups: Vec<String>,
    /// The first drawing with it as a member; none before that.
    since: Option<u64>,
    /// The drawings that changed its filter and that no attempt has followed.
    owed: BTreeSet<u64>,
    in_flight: bool,
    /// Why the last attempt failed.
    failed: Option<Error>,
}

#[derive(Debug)]
struct List {
    filter: Arc<Filter>,
    sandboxes: BTreeSet<String>,
}

/// An attempt at setting a sandbox's filter.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) filter: Arc<Filter>,
    /// The drawing that it belongs to.
    drawn: u64,
}

/// How far the filters are that the start of a task waits for.
#[derive(Debug)]
pub(super) enum Progress {
    Ready,
    Waiting,
    /// Its own filter could not be set.
    Failed(Error),
}

impl Wanted {
    /// The filter to create a sandbox with, for a task of these groups.
    pub(super) fn at_first(&self, vpc: &Vpc, groups: &[String]) -> Arc<Filter> {
        match self.lists.get(groups) {
            Some(list) => Arc::clone(&list.filter),
            None => Arc::new(vpc.filter(groups, &self.members)),
        }
    }

    /// A sandbox was created with this filter.
    pub(super) fn made(&mut self, sandbox_id: &str, filter: Arc<Filter>) {
        self.set.insert(sandbox_id.to_owned(), filter);
    }

    /// A sandbox that belonged to no task is removed.
    pub(super) fn removed(&mut self, sandbox_id: &str) {
        self.set.remove(sandbox_id);
    }

    /// The task in this sandbox, until it leaves.
    pub(super) fn task(&self, sandbox_id: &str) -> Option<&str> {
        self.sandboxes.get(sandbox_id).map(|joined| joined.task_arn.as_str())
    }

    /// The sandbox belongs to a task now, which is a member of these groups.
    pub(super) fn join(&mut self, sandbox_id: &str, task_arn: &str, address: Ipv4Addr, groups: Vec<String>) {
        self.members.join(sandbox_id, address, &groups);
        let list = self.lists.entry(groups.clone()).or_insert_with(|| List {
            // Drawn with the others.
            filter: Arc::default(),
            sandboxes: BTreeSet::new(),
        });
        list.sandboxes.insert(sandbox_id.to_owned());
        self.stale.insert(sandbox_id.to_owned());
        let joined = Joined {
            task_arn: task_arn.to_owned(),
            groups,
            since: None,
            owed: BTreeSet::new(),
            in_flight: false,
            failed: None,
        };
        self.sandboxes.insert(sandbox_id.to_owned(), joined);
    }

    /// The task of this sandbox has ended, or has lost it.
    pub(super) fn leave(&mut self, sandbox_id: &str) {
        let Some(joined) = self.sandboxes.remove(sandbox_id) else { return };
        self.members.leave(sandbox_id);
        self.set.remove(sandbox_id);
        self.stale.remove(sandbox_id);
        if let Some(list) = self.lists.get_mut(&joined.groups) {
            list.sandboxes.remove(sandbox_id);
            if list.sandboxes.is_empty() {
                self.lists.remove(&joined.groups);
            }
        }
    }

    /// Draws (computes) all filters for the current members.
    pub(super) fn draw(&mut self, vpc: &Vpc) {
        self.drawn += 1;
        for (groups, list) in &mut self.lists {
            let filter = vpc.filter(groups, &self.members);
            if filter == *list.filter {
                continue;
            }
            list.filter = Arc::new(filter);
            for sandbox_id in &list.sandboxes {
                self.stale.insert(sandbox_id.clone());
                if let Some(joined) = self.sandboxes.get_mut(sandbox_id)
                    && joined.failed.is_none()
                {
                    joined.owed.insert(self.drawn);
                }
            }
        }
        let (sandboxes, lists, set, drawn) = (&mut self.sandboxes, &self.lists, &self.set, self.drawn);
        self.stale.retain(|sandbox_id| {
            let Some(joined) = sandboxes.get_mut(sandbox_id) else { return false };
            let list = lists.get(&joined.groups);
            let has_it = list.is_some_and(|list| set.get(sandbox_id) == Some(&list.filter));
            if joined.since.is_none() {
                joined.since = Some(drawn);
                joined.owed.insert(drawn);
            }
            if has_it && !joined.in_flight {
                joined.owed.clear();
                joined.failed = None;
                return false;
            }
            true
        });
    }

    /// The sandboxes whose filter must be set and for which no attempt is under way, and whether the last one failed. They
    /// count as under way from now on. One that has joined since the last drawing is due after the next: its filter is not
    /// known before, and an attempt would take it out of those that are drawn.
    pub(super) fn due(&mut self) -> Vec<(String, bool)> {
        let mut due = Vec::new();
        for sandbox_id in &self.stale {
            let joined = self.sandboxes.get_mut(sandbox_id);
            if let Some(joined) = joined.filter(|joined| joined.since.is_some() && !joined.in_flight) {
                joined.in_flight = true;
                due.push((sandbox_id.clone(), joined.failed.is_some()));
            }
        }
        due
    }

    /// The filter to set; `None` if its task has left meanwhile.
    pub(super) fn attempt(&self, sandbox_id: &str) -> Option<Attempt> {
        let list = self.lists.get(&self.sandboxes.get(sandbox_id)?.groups)?;
        Some(Attempt { filter: Arc::clone(&list.filter), drawn: self.drawn })
    }

    /// The attempt is over. Whether it is the first failure after a success.
    pub(super) fn attempted(
        &mut self,
        sandbox_id: &str,
        attempt: Attempt,
        result: Result<(), Error>,
    ) -> bool {
        let Some(joined) = self.sandboxes.get_mut(sandbox_id) else { return false };
        joined.in_flight = false;
        joined.owed.retain(|drawn| *drawn > attempt.drawn);
        match result {
            Ok(()) => {
                joined.failed = None;
                let current =
                    self.lists.get(&joined.groups).is_some_and(|list| list.filter == attempt.filter);
                self.set.insert(sandbox_id.to_owned(), attempt.filter);
                if current {
                    joined.owed.clear();
                    self.stale.remove(sandbox_id);
                }
                false
            }
            Err(error) => {
                // Which filter it has now is not known, and no other task waits for it.
                self.set.remove(sandbox_id);
                joined.owed.clear();
                joined.failed.replace(error).is_none()
            }
        }
    }

    /// How far the filters are that the task of this sandbox waits for.
    pub(super) fn progress(&self, sandbox_id: &str) -> Progress {
        let Some(joined) = self.sandboxes.get(sandbox_id) else { return Progress::Ready };
        if let Some(error) = &joined.failed {
            return Progress::Failed(error.clone());
        }
        let Some(since) = joined.since else { return Progress::Waiting };
        let mut stale = self.stale.iter().filter_map(|sandbox_id| self.sandboxes.get(sandbox_id));
        let waits = stale.any(|joined| joined.owed.contains(&since));
        if waits { Progress::Waiting } else { Progress::Ready }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::network::{CLIENT, SERVER, described};
    use crate::engine::vpc::SecurityGroup;

    const OTHER: &str = "sg-00000000000000010";

    /// Members of SERVER let in those of CLIENT.
    fn vpc() -> Vpc {
        let mut vpc = described("10.0.0.0/16");
        let other = SecurityGroup::open_within_itself(OTHER);
        vpc.security_groups.push(SecurityGroup { ingress: Vec::new(), group_id: OTHER.to_owned(), ..other });
        vpc
    }

    fn joined(wanted: &mut Wanted, sandbox_id: &str, last: u8, group: &str) {
        let filter = wanted.at_first(&vpc(), &[group.to_owned()]);
        wanted.made(sandbox_id, filter);
        wanted.join(sandbox_id, "task", Ipv4Addr::new(10, 0, 0, last), vec![group.to_owned()]);
        wanted.draw(&vpc());
    }

    fn failed() -> Result<(), Error> {
        Err(Error::Failed { attempted: "set it".into(), reason: "no answer".into() })
    }

    /// Lets all attempts that are due succeed, except that of `left`.
    fn send_all_but(wanted: &mut Wanted, left: &str) {
        let due = wanted.due();
        for (sandbox_id, _) in due.into_iter().filter(|(id, _)| id != left) {
            let attempt = wanted.attempt(&sandbox_id).unwrap();
            wanted.attempted(&sandbox_id, attempt, Ok(()));
        }
    }

    #[test]
    fn a_task_waits_for_its_peers_first_attempt_and_for_no_stranger() {
        let mut wanted = Wanted::default();
        for (sandbox_id, last, group) in [("server", 4, SERVER), ("failing", 5, SERVER)] {
            joined(&mut wanted, sandbox_id, last, group);
            send_all_but(&mut wanted, "");
        }
        joined(&mut wanted, "client", 6, CLIENT);
        assert!(matches!(wanted.progress("client"), Progress::Waiting));
        send_all_but(&mut wanted, "failing");
        assert!(matches!(wanted.progress("client"), Progress::Waiting), "a peer was not attempted");
        // The stranger's filter does not depend on the attempt that hangs.
        joined(&mut wanted, "stranger", 7, OTHER);
        send_all_but(&mut wanted, "failing");
        assert!(matches!(wanted.progress("stranger"), Progress::Ready));

        let attempt = wanted.attempt("failing").unwrap();
        assert!(wanted.attempted("failing", attempt, failed()), "the first failure is news");
        assert!(matches!(wanted.progress("client"), Progress::Ready));
        assert!(matches!(wanted.progress("failing"), Progress::Failed(_)));
        // Its last attempt failed: the next client does not wait for it at all.
        joined(&mut wanted, "second", 8, CLIENT);
        assert_eq!(
            wanted.due().into_iter().find(|(id, _)| id == "failing"),
            Some(("failing".to_owned(), true))
        );
        for sandbox_id in ["server", "second"] {
            let attempt = wanted.attempt(sandbox_id).unwrap();
            wanted.attempted(sandbox_id, attempt, Ok(()));
        }
        assert!(matches!(wanted.progress("second"), Progress::Ready));
        let attempt = wanted.attempt("failing").unwrap();
        assert!(!wanted.attempted("failing", attempt, Ok(())));
        assert!(matches!(wanted.progress("failing"), Progress::Ready));
        wanted.draw(&vpc());
        assert_eq!(wanted.due(), []);
    }

    #[test]
    fn a_task_that_joins_between_two_drawings_is_due_after_the_second() {
        let mut wanted = Wanted::default();
        joined(&mut wanted, "first", 4, OTHER);
        send_all_but(&mut wanted, "");
        // The loop may look for what is due before it draws again, because an attempt at another filter has ended.
        wanted.join("second", "task", Ipv4Addr::new(10, 0, 0, 5), vec![OTHER.to_owned()]);
        assert_eq!(wanted.due(), []);
        wanted.draw(&vpc());
        send_all_but(&mut wanted, "");
        assert!(matches!(wanted.progress("second"), Progress::Ready));
    }

    #[test]
    fn an_attempt_that_was_overtaken_is_followed_by_another() {
        let mut wanted = Wanted::default();
        joined(&mut wanted, "server", 4, SERVER);
        wanted.due();
        let old = wanted.attempt("server").unwrap();
        joined(&mut wanted, "client", 5, CLIENT);
        send_all_but(&mut wanted, "server");
        wanted.attempted("server", old, Ok(()));
        assert!(matches!(wanted.progress("client"), Progress::Waiting), "the server does not let it in yet");
        send_all_but(&mut wanted, "");
        assert!(matches!(wanted.progress("client"), Progress::Ready));
        wanted.leave("client");
        wanted.draw(&vpc());
        assert_eq!(wanted.due(), [("server".to_owned(), false)]);
    }

    #[test]
    fn a_rule_that_changes_is_due_at_every_member() {
        let mut wanted = Wanted::default();
        joined(&mut wanted, "server", 4, SERVER);
        send_all_but(&mut wanted, "");
        let mut vpc = vpc();
        vpc.security_groups.iter_mut().for_each(|group| group.ingress.clear());
        wanted.draw(&vpc);
        assert_eq!(wanted.due(), [("server".to_owned(), false)]);
        assert!(wanted.attempt("server").unwrap().filter.ingress.is_empty());
    }
}
