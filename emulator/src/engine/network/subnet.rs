//! The ledger of one subnet: its addresses, and how many sandboxes are idle, wanted and promised. Pure.

use std::net::Ipv4Addr;

use super::need::Need;
use crate::clock::Timestamp;
use crate::engine::vpc::Addresses;

#[derive(Debug)]
pub(in crate::engine) struct Ledger {
    addresses: Addresses,
    /// The runtime assigns the addresses; they are only counted here.
    assigned_elsewhere: bool,
    /// Sandboxes that are being created, which assigns their addresses.
    unassigned: usize,
    /// In the pool, or being created for it.
    idle: usize,
    need: Need,
    /// Accepted tasks that have not claimed their address.
    promised: usize,
    /// Sandboxes that are no longer idle and no task's: their removal is under way or waits for its next attempt.
    leaving: usize,
}

/// What a sandbox occupies in a subnet: its address, unless the runtime has yet to assign one.
pub(in crate::engine) type Slot = Option<Ipv4Addr>;

impl Ledger {
    pub(in crate::engine) fn new(addresses: Addresses, assigned_elsewhere: bool, need: Need) -> Self {
        Self { addresses, assigned_elsewhere, unassigned: 0, idle: 0, need, promised: 0, leaving: 0 }
    }

    /// Counts a sandbox that an earlier process left.
    pub(in crate::engine) fn adopt(&mut self, address: Ipv4Addr, idle: bool) {
        self.addresses.mark(address);
        self.idle += usize::from(idle);
    }

    /// Addresses of sandboxes that exist or are being created.
    fn taken(&self) -> usize {
        self.addresses.used() + self.unassigned
    }

    /// Addresses that a task could still have: idle sandboxes give theirs up, and leaving ones are about to.
    pub(in crate::engine) fn free(&self) -> usize {
        let taken = self.taken().saturating_sub(self.idle + self.leaving) + self.promised;
        self.addresses.capacity().saturating_sub(taken)
    }

    /// Promises an address to a task; `false` if none is left.
    pub(in crate::engine) fn promise(&mut self) -> bool {
        let free = self.free() > 0;
        self.promised += usize::from(free);
        free
    }

    /// A task that was accepted needs an address, free or not: a subnet that is too full is detected at the claim.
    pub(in crate::engine) fn promise_anyway(&mut self) {
        self.promised += 1;
    }

    pub(in crate::engine) fn release_promise(&mut self) {
        self.promised = self.promised.saturating_sub(1);
    }

    /// A task has claimed what it was promised.
    pub(in crate::engine) fn keep_promise(&mut self, now: Timestamp) {
        self.release_promise();
        self.need.claimed(now);
    }

    /// A slot for one more sandbox.
    pub(in crate::engine) fn take(&mut self) -> Option<Slot> {
        if !self.assigned_elsewhere {
            return self.addresses.take().map(Some);
        }
        let free = self.taken() < self.addresses.capacity();
        self.unassigned += usize::from(free);
        free.then_some(None)
    }

    /// A slot for an idle sandbox, if one is wanted. Addresses that are promised are left.
    pub(in crate::engine) fn take_idle(&mut self, now: Timestamp) -> Option<Slot> {
        let wanted =
            self.idle < self.need.target(now) && self.taken() + self.promised < self.addresses.capacity();
        let slot = wanted.then(|| self.take()).flatten()?;
        self.idle += 1;
        Some(slot)
    }

    /// How many more sandboxes are idle than are wanted.
    pub(in crate::engine) fn surplus(&self, now: Timestamp) -> usize {
        self.idle.saturating_sub(self.need.target(now))
    }

    /// The sandbox for which the slot was taken has this address.
    pub(in crate::engine) fn made(&mut self, slot: Slot, address: Ipv4Addr) {
        if slot.is_none() {
            self.unassigned = self.unassigned.saturating_sub(1);
            self.addresses.mark(address);
        }
    }

    /// The slot is empty again.
    fn give_back(&mut self, slot: Slot) {
        match slot {
            Some(address) => self.addresses.give_back(address),
            None => self.unassigned = self.unassigned.saturating_sub(1),
        }
    }

    /// A sandbox is to be removed. It keeps its slot until then.
    pub(in crate::engine) fn begin_leaving(&mut self) {
        self.leaving += 1;
    }

    /// The sandbox is not to be removed after all, or without this pool.
    pub(in crate::engine) fn end_leaving(&mut self) {
        self.leaving = self.leaving.saturating_sub(1);
    }

    /// A leaving sandbox is removed: its slot is empty.
    pub(in crate::engine) fn left(&mut self, slot: Slot) {
        self.end_leaving();
        self.give_back(slot);
    }

    /// Whether an address becomes free without any task: an idle sandbox gives it up, or one is being removed.
    pub(in crate::engine) fn expects_relief(&self) -> bool {
        self.idle > 0 || self.leaving > 0
    }

    /// An idle sandbox is claimed, withdrawn, or could not be created.
    pub(in crate::engine) fn one_idle_less(&mut self) {
        self.idle = self.idle.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_leaving_sandbox_can_be_promised_once_and_is_taken_until_it_has_left() {
        let addresses = Addresses::new("10.9.0.0/28".parse().expect("a block"));
        let capacity = addresses.capacity();
        let mut ledger = Ledger::new(addresses, false, Need::new(0, 0));
        let slots: Vec<Slot> = (0..capacity).map(|_| ledger.take().expect("a free address")).collect();
        assert!(!ledger.promise(), "all are taken");
        ledger.begin_leaving();
        assert!(ledger.promise() && !ledger.promise());
        assert_eq!(ledger.take(), None, "the sandbox still has it");
        ledger.left(slots[0]);
        assert!(!ledger.promise(), "it is promised already");
        assert_eq!(ledger.take(), Some(slots[0]));
    }
}
