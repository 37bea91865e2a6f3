//! Task definitions, registered if they are absent.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::{
    fargate::ecs::{Ecs, Error},
    translate::ecs::Definition,
};

/// The known revisions, by family.
#[derive(Debug, Clone, Default)]
pub(super) struct Definitions {
    families: Arc<Mutex<HashMap<String, Arc<OnceCell<String>>>>>,
}

impl Definitions {
    /// The revision of the definition's family: the one that ECS has, else one that is registered now. Concurrent replicas share
    /// one call.
    pub(super) async fn revision(&self, ecs: &dyn Ecs, definition: &Definition) -> Result<String, Error> {
        let cell = self.families.lock().entry(definition.family.clone()).or_default().clone();
        let revision = cell
            .get_or_try_init(|| async {
                match ecs.describe_definition(&definition.family).await? {
                    Some(revision) => Ok(revision),
                    None => ecs.register_definition(definition).await,
                }
            })
            .await?;
        Ok(revision.clone())
    }

    /// ECS refused a task of the family: it may have been deregistered.
    pub(super) fn forget(&self, family: &str) {
        self.families.lock().remove(family);
    }

    /// Forgets the families that are not `used`; the next pod of one asks ECS again.
    pub(super) fn retain(&self, used: &HashSet<String>) {
        self.families.lock().retain(|family, _| used.contains(family));
    }
}
