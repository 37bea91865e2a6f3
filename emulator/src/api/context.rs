//! What an operation may use, and who asks.

use std::sync::Arc;

use crate::clock::Clock;
use crate::store::Store;

/// The emulator as its operations see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Emulator {
    pub store: Store,
    pub clock: Clock,
    /// 12 digits.
    pub account: Arc<str>,
    /// The region of a request whose signature names none.
    pub region: Arc<str>,
}

/// One request's surroundings.
#[derive(Clone, Debug)]
pub struct Context {
    pub emulator: Emulator,
    /// Of the request's SigV4 credential scope, else the emulator's own.
    pub region: String,
    /// What `x-amzn-RequestId` says.
    pub request_id: String,
}

impl Context {
    pub fn store(&self) -> &Store {
        &self.emulator.store
    }

    pub fn clock(&self) -> &Clock {
        &self.emulator.clock
    }

    /// 12 digits.
    pub fn account(&self) -> &str {
        &self.emulator.account
    }

    /// `arn:aws:<service>:<region>:<account>:<resource>`, of this request's region.
    pub fn arn(&self, service: &str, resource: impl std::fmt::Display) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account())
    }
}

/// A cluster's tasks, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub running_tasks_count: u32,
    pub pending_tasks_count: u32,
}

impl Context {
    pub(super) fn counts(&self, _cluster_arn: &str) -> Counts {
        Counts::default()
    }

    pub(super) fn has_tasks(&self, cluster_arn: &str) -> bool {
        let counts = self.counts(cluster_arn);
        counts.running_tasks_count + counts.pending_tasks_count > 0
    }
}
