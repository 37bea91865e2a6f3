//! How many idle sandboxes a subnet is to have: as many as tasks recently wanted at once. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;

/// Claims within this time count as simultaneous: the pool is hardly refilled while tasks start.
const AT_ONCE: Duration = Duration::from_secs(15);

/// How long a burst is remembered.
const MEMORY: Duration = Duration::from_mins(6);

/// Idle sandboxes of a subnet that a burst can lead to. `--sandbox-pool` may be above it.
pub(super) const MOST: usize = 32;

/// Claims that are kept. More than [`MOST`], so that single ones after a burst do not replace it.
const KEPT: usize = 4 * MOST;

#[derive(Debug)]
pub(super) struct Need {
    /// The least, once tasks have been started in the subnet.
    least: usize,
    /// The least before that.
    at_first: usize,
    is_used: bool,
    /// The claims of the last [`MEMORY`], [`KEPT`] of them at most.
    claims: VecDeque<Timestamp>,
}

impl Need {
    pub(super) fn new(least: usize, at_first: usize) -> Self {
        Self { least, at_first: at_first.min(least), is_used: false, claims: VecDeque::new() }
    }

    /// A task has claimed a sandbox.
    pub(super) fn claimed(&mut self, now: Timestamp) {
        self.is_used = true;
        while self.claims.front().is_some_and(|claim| now.since(*claim) > MEMORY) || self.claims.len() >= KEPT
        {
            self.claims.pop_front();
        }
        self.claims.push_back(now);
    }

    /// How many are to be idle; 0 if the pool is switched off.
    pub(super) fn target(&self, now: Timestamp) -> usize {
        let least = if self.is_used { self.least } else { self.at_first };
        if self.least == 0 { 0 } else { least.max(self.lately_at_once(now)) }
    }

    /// The most claims of the last [`MEMORY`] that lie within [`AT_ONCE`].
    fn lately_at_once(&self, now: Timestamp) -> usize {
        // After the clock was set back, a claim may be in the future: it counts until newer ones replace it.
        let mut recent: Vec<Timestamp> =
            self.claims.iter().copied().filter(|claim| now.since(*claim) <= MEMORY).collect();
        recent.sort_unstable();
        let at_once = |(before, first): (usize, &Timestamp)| {
            recent.partition_point(|claim| claim.since(*first) <= AT_ONCE) - before
        };
        recent.iter().enumerate().map(at_once).max().unwrap_or(0).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_000_000 + seconds * 1000)
    }

    fn after(claims: &[i64]) -> Need {
        let mut need = Need::new(4, 1);
        claims.iter().for_each(|seconds| need.claimed(at(*seconds)));
        need
    }

    #[test]
    fn an_unused_subnet_has_its_first_ones_and_a_used_one_the_least() {
        assert_eq!(after(&[]).target(at(0)), 1);
        assert_eq!(after(&[0]).target(at(0)), 4);
        assert_eq!(after(&[0]).target(at(100_000)), 4);
    }

    #[test]
    fn a_burst_is_remembered_for_six_minutes_and_tasks_one_after_another_are_none() {
        let burst = [0, 1, 1, 2, 2, 3, 3, 3];
        assert_eq!(after(&burst).target(at(10)), 8);
        assert_eq!(after(&burst).target(at(300)), 8);
        assert_eq!(after(&burst).target(at(370)), 4);
        let apart: Vec<i64> = (0..20).map(|nth| nth * 16).collect();
        assert_eq!(after(&apart).target(at(310)), 4);
    }

    #[test]
    fn single_tasks_after_a_burst_do_not_hide_it() {
        let claims: Vec<i64> = std::iter::repeat_n(0, 20).chain((1..=20).map(|nth| nth * 16)).collect();
        assert_eq!(after(&claims).target(at(350)), 20);
        assert_eq!(after(&claims).target(at(361)), 4);
    }

    #[test]
    fn a_burst_above_the_bound_leads_to_the_bound() {
        assert_eq!(after(&[5; 500]).target(at(6)), MOST);
    }

    #[test]
    fn a_pool_that_is_switched_off_stays_empty() {
        let mut need = Need::new(0, 0);
        (0..20).for_each(|_| need.claimed(at(0)));
        assert_eq!(need.target(at(0)), 0);
    }
}
