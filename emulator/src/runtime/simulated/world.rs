//! The state of the simulated runtime.

use std::collections::{HashMap, HashSet};

use tokio::sync::watch;

use super::super::{Cidr, Frame, Observed, SandboxSpec, State};
use super::made::Record;
use super::script::Script;

#[derive(Debug, Default)]
pub(super) struct World {
    /// Networks that an engine may borrow.
    pub(super) lent: HashMap<String, Cidr>,
    pub(super) sandboxes: HashMap<String, HeldSandbox>,
    pub(super) tasks: HashSet<String>,
    pub(super) containers: HashMap<String, Container>,
    pub(super) made: Record,
}

#[derive(Debug)]
pub(super) struct HeldSandbox {
    /// As it was created, with its current filter.
    pub(super) spec: SandboxSpec,
    pub(super) running: bool,
}

#[derive(Debug)]
pub(super) struct Container {
    pub(super) task_id: String,
    pub(super) sandbox_id: String,
    pub(super) name: String,
    pub(super) script: Script,
    pub(super) state: State,
    pub(super) frames: Vec<Frame>,
    /// Whether it has stopped: ends the readers that follow its log.
    pub(super) stopped: watch::Sender<bool>,
}

impl Container {
    pub(super) fn observed(&self, container_id: &str) -> Observed {
        Observed {
            container_id: container_id.to_owned(),
            task_id: self.task_id.clone(),
            sandbox_id: self.sandbox_id.clone(),
            name: self.name.clone(),
            state: self.state.clone(),
        }
    }
}
