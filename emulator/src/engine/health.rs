//! The engine's state, for the health page and for a user whose tasks do not run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::background::Activity;
use super::engine::Engine;
use super::readiness::NotReady;
use crate::clock::Timestamp;

/// The engine's current state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Whether tasks can be placed.
    pub ready: bool,
    /// Why not, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The engine's loops, by name.
    pub activities: BTreeMap<&'static str, Activity>,
    /// ARNs of tasks whose rows in the store cannot be read: they are left unchanged, with what they have on the runtime.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable_tasks: Vec<String>,
}

impl Engine {
    /// The engine's current state. Returns at once.
    pub fn health(&self) -> Health {
        let context = &self.0.context;
        let ready = self.is_ready();
        let (reason, since) = if ready {
            (None, None)
        } else {
            let NotReady { since, reason } = context.not_ready();
            (Some(reason), Some(since))
        };
        let activities = context.background.activities();
        Health { ready, reason, since, activities, unreadable_tasks: context.unreadable() }
    }

    /// Whether what an earlier process left is adopted and tasks can be placed.
    pub fn is_ready(&self) -> bool {
        self.0.context.pool_now().is_some()
    }
}
