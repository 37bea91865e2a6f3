//! What of this instance is on the engine, and the end of all of it.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::Inner;
use super::client::failed;
use super::names::{CONTAINER, SANDBOX, is_task_id};
use crate::runtime::{Error, Inventory};

/// Requests at once: the engine works on each with a thread of its own.
const AT_ONCE: usize = 8;

impl Inner {
    pub(super) async fn inventory(&self) -> Result<Inventory, Error> {
        let listed = self.list_containers().await?;
        let ids: Vec<String> =
            listed.iter().filter(|c| label(c, CONTAINER).is_some()).filter_map(id).collect();
        let inspections = ids.into_iter().map(|id| async move { self.inspect_container(&id).await });
        let containers: Vec<_> = stream::iter(inspections).buffer_unordered(AT_ONCE).try_collect().await?;

        let mut tasks: BTreeSet<String> = self.task_cgroups().await?.into_iter().collect();
        tasks.extend(self.list_volumes(&[]).await?.into_iter().filter_map(|(_, task)| task));
        // Labels and names that somebody else may have written: they become paths.
        tasks.retain(|task| is_task_id(task));
        Ok(Inventory {
            containers: containers.into_iter().flatten().collect(),
            sandboxes: listed
                .iter()
                .filter(|container| container.state == Some(ContainerSummaryStateEnum::RUNNING))
                .filter_map(sandbox)
                .collect(),
            tasks: tasks.into_iter().collect(),
        })
    }

    pub(crate) async fn remove_everything(&self) -> Result<(), Error> {
        let listed = self.list_containers().await?;
        // The containers before the sandboxes that they joined.
        let (of_tasks, others): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|container| label(container, CONTAINER).is_some());
        for containers in [of_tasks, others] {
            let ids: Vec<String> = containers.iter().filter_map(id).collect();
            let removals = ids.into_iter().map(|id| async move { self.remove_container(&id).await });
            stream::iter(removals).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        }
        self.remove_volumes(&[]).await?;
        for task in self.task_cgroups().await? {
            self.release_cgroup(&task).await?;
        }
        self.limits.remove().await.map_err(|error| Error::Failed {
            attempted: "remove the instance's cgroup".to_owned(),
            reason: error.to_string(),
        })?;
        self.remove_networks().await
    }

    pub(super) async fn release_cgroup(&self, task_id: &str) -> Result<(), Error> {
        self.limits.release(task_id, &self.clock).await.map_err(|error| Error::Failed {
            attempted: format!("remove the cgroup of the task {task_id}"),
            reason: error.to_string(),
        })
    }

    async fn task_cgroups(&self) -> Result<Vec<String>, Error> {
        self.limits.tasks().await.map_err(|error| Error::Failed {
            attempted: "list the tasks' cgroups".to_owned(),
            reason: error.to_string(),
        })
    }

    async fn list_containers(&self) -> Result<Vec<ContainerSummary>, Error> {
        let filters = self.instance.filters(&[]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        self.docker.list_containers(Some(options)).await.map_err(failed(&self.host, "list the containers"))
    }
}

fn id(container: &ContainerSummary) -> Option<String> {
    container.id.clone()
}

fn label<'a>(container: &'a ContainerSummary, key: &str) -> Option<&'a String> {
    container.labels.as_ref().and_then(|labels: &HashMap<String, String>| labels.get(key))
}

/// The id of a sandbox; `None` for a container that joined one.
fn sandbox(container: &ContainerSummary) -> Option<String> {
    label(container, SANDBOX).filter(|_| label(container, CONTAINER).is_none()).cloned()
}
