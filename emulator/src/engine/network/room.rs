//! What is known of one subnet: its addresses, and how many sandboxes are idle, wanted and promised. Pure.

use std::net::Ipv4Addr;

use crate::engine::vpc::Addresses;

#[derive(Debug)]
pub(in crate::engine) struct Room {
    addresses: Addresses,
    /// The runtime assigns the addresses; they are only counted here.
    assigned_elsewhere: bool,
    /// Sandboxes that are being made, and get their addresses by that.
    unassigned: usize,
    /// In the pool, or being made for it.
    idle: usize,
    /// How many are to be idle.
    target: usize,
    /// Accepted tasks that have not claimed theirs.
    promised: usize,
}

/// The place of a sandbox in a subnet: its address, unless the runtime assigns that.
pub(in crate::engine) type Place = Option<Ipv4Addr>;

impl Room {
    pub(in crate::engine) fn new(addresses: Addresses, assigned_elsewhere: bool, target: usize) -> Self {
        Self { addresses, assigned_elsewhere, unassigned: 0, idle: 0, target, promised: 0 }
    }

    /// Counts a sandbox that an earlier process left.
    pub(in crate::engine) fn adopt(&mut self, address: Ipv4Addr, idle: bool) {
        self.addresses.mark(address);
        self.idle += usize::from(idle);
    }

    /// Addresses of sandboxes that are there or being made.
    fn taken(&self) -> usize {
        self.addresses.used() + self.unassigned
    }

    /// Addresses that a task could still have: idle sandboxes give theirs up.
    pub(in crate::engine) fn free(&self) -> usize {
        let taken = self.taken().saturating_sub(self.idle) + self.promised;
        self.addresses.capacity().saturating_sub(taken)
    }

    /// Promises an address to a task; `false` where none is left.
    pub(in crate::engine) fn promise(&mut self) -> bool {
        let free = self.free() > 0;
        self.promised += usize::from(free);
        free
    }

    pub(in crate::engine) fn release_promise(&mut self) {
        self.promised = self.promised.saturating_sub(1);
    }

    /// A task has claimed what it was promised; from now on so many are to be idle.
    pub(in crate::engine) fn keep_promise(&mut self, target: usize) {
        self.release_promise();
        self.target = target;
    }

    /// A place for one more sandbox.
    pub(in crate::engine) fn take(&mut self) -> Option<Place> {
        if !self.assigned_elsewhere {
            return self.addresses.take().map(Some);
        }
        let free = self.taken() < self.addresses.capacity();
        self.unassigned += usize::from(free);
        free.then_some(None)
    }

    /// A place for an idle sandbox, where one is wanted. Addresses that are promised are left.
    pub(in crate::engine) fn take_idle(&mut self) -> Option<Place> {
        let wanted = self.idle < self.target && self.taken() + self.promised < self.addresses.capacity();
        let place = wanted.then(|| self.take()).flatten()?;
        self.idle += 1;
        Some(place)
    }

    /// The sandbox for which the place was taken has this address.
    pub(in crate::engine) fn made(&mut self, place: Place, address: Ipv4Addr) {
        if place.is_none() {
            self.unassigned = self.unassigned.saturating_sub(1);
            self.addresses.mark(address);
        }
    }

    /// No sandbox came to be in this place.
    pub(in crate::engine) fn not_made(&mut self, place: Place) {
        match place {
            Some(address) => self.addresses.give_back(address),
            None => self.unassigned = self.unassigned.saturating_sub(1),
        }
    }

    pub(in crate::engine) fn give_back(&mut self, address: Ipv4Addr) {
        self.addresses.give_back(address);
    }

    pub(in crate::engine) fn idle(&self) -> usize {
        self.idle
    }

    /// An idle sandbox is claimed, gone, or did not come to be.
    pub(in crate::engine) fn one_idle_less(&mut self) {
        self.idle = self.idle.saturating_sub(1);
    }
}
