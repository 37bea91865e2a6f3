//! The objects of this instance on the engine, and their removal.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::Inner;
use super::client::failed;
use super::names::{CONTAINER, HELPER, SANDBOX, TASK, is_id};
use crate::runtime::{Error, Inventory, Observed, ObservedSandbox, State, within};

/// Concurrent requests: the engine uses one thread for each.
const AT_ONCE: usize = 8;

/// How long the inspection of one container may take.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(20);

impl Inner {
    pub(super) async fn inventory(&self) -> Result<Inventory, Error> {
        let listed = self.list_containers().await?;
        let of_tasks: Vec<Observed> = listed.iter().filter_map(of_task).collect();
        let inspections = of_tasks.into_iter().map(|listed| self.inspect_listed(listed));
        let containers: Vec<_> = stream::iter(inspections).buffer_unordered(AT_ONCE).try_collect().await?;

        let mut tasks: BTreeSet<String> = self.task_cgroups()?.into_iter().collect();
        tasks.extend(self.list_volumes(&[]).await?.into_iter().filter_map(|(_, task)| task));
        tasks.retain(|task_id| {
            let valid = is_id(task_id);
            if !valid {
                tracing::warn!(task_id, "ignored a volume or cgroup with a malformed task id");
            }
            valid
        });
        Ok(Inventory {
            containers: containers.into_iter().flatten().collect(),
            sandboxes: listed.iter().filter_map(sandbox).collect(),
            tasks: tasks.into_iter().collect(),
        })
    }

    /// If the engine cannot inspect one container, or not in time, the others are still reported. That container is reported
    /// as created, which causes no action.
    async fn inspect_listed(&self, listed: Observed) -> Result<Option<Observed>, Error> {
        let id = &listed.container_id;
        let attempted = || format!("inspect the container {id}");
        match within(&self.clock, INSPECT_TIMEOUT, attempted, self.inspect_container(id)).await {
            Err(error) if !matches!(error, Error::Unreachable { .. }) => {
                tracing::warn!(container = id, %error, "could not inspect a container; its state is not known");
                Ok(Some(listed))
            }
            inspected => inspected,
        }
    }

    pub(crate) async fn remove_everything(&self) -> Result<(), Error> {
        self.remove_all().await.into_iter().next().map_or(Ok(()), Err)
    }

    /// Removes as many objects of this instance as possible: an error does not stop the removal of the others. Returns the
    /// errors.
    pub(crate) async fn remove_all(&self) -> Vec<Error> {
        let mut failures = Vec::new();
        let of_task = |container: &ContainerSummary| label(container, CONTAINER).is_some();
        // A task's container may have any other label, of its definition or its image.
        let is_helper =
            |container: &ContainerSummary| label(container, HELPER).is_some() && !of_task(container);
        // The containers of tasks before the sandboxes that they joined.
        failures.extend(self.remove_containers(of_task).await);
        failures.extend(self.remove_containers(|container| !is_helper(container)).await);
        failures.extend(self.remove_volumes(&[]).await);
        match self.task_cgroups() {
            Ok(tasks) => {
                for task in tasks {
                    failures.extend(self.release_cgroup(&task).await.err());
                }
            }
            Err(error) => failures.push(error),
        }
        failures.extend(self.remove_cgroups().await.err());
        // Last, because the removal of cgroups may use it.
        failures.extend(self.remove_containers(is_helper).await);
        failures.extend(self.remove_networks().await);
        failures
    }

    /// Removes the containers that are `chosen`, and returns the errors.
    async fn remove_containers(&self, chosen: impl Fn(&ContainerSummary) -> bool) -> Vec<Error> {
        let listed = match self.list_containers().await {
            Ok(listed) => listed,
            Err(error) => return vec![error],
        };
        let ids: Vec<String> = listed.iter().filter(|container| chosen(container)).filter_map(id).collect();
        let removals = ids.into_iter().map(|id| async move { self.remove_container(&id).await });
        let removed: Vec<_> = stream::iter(removals).buffer_unordered(AT_ONCE).collect().await;
        removed.into_iter().filter_map(Result::err).collect()
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

/// A container of a task, of which only the labels are known yet.
fn of_task(container: &ContainerSummary) -> Option<Observed> {
    Some(Observed {
        container_id: id(container)?,
        task_id: label(container, TASK)?.clone(),
        sandbox_id: label(container, SANDBOX)?.clone(),
        name: label(container, CONTAINER)?.clone(),
        state: State::Created,
    })
}

/// A sandbox; `None` for a container that joined one, and if the label is not an id.
fn sandbox(container: &ContainerSummary) -> Option<ObservedSandbox> {
    let sandbox_id = label(container, SANDBOX).filter(|_| label(container, CONTAINER).is_none())?;
    if !is_id(sandbox_id) {
        tracing::warn!(
            container = ?container.names,
            sandbox_id,
            "ignored a container with a malformed label neargate.sandbox"
        );
        return None;
    }
    // A paused one still holds the network namespace.
    let running = matches!(
        container.state,
        Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED)
    );
    Some(ObservedSandbox { sandbox_id: sandbox_id.clone(), running })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_is_recognized_by_a_label_that_is_an_id() {
        let id = "0123456789abcdef0123456789abcdef";
        let of = |labels: &[(&str, &str)], state| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            sandbox(&ContainerSummary {
                labels: Some(labels),
                state: Some(state),
                ..ContainerSummary::default()
            })
        };
        let observed = |running| Some(ObservedSandbox { sandbox_id: id.to_owned(), running });
        for state in [ContainerSummaryStateEnum::RUNNING, ContainerSummaryStateEnum::PAUSED] {
            assert_eq!(of(&[(SANDBOX, id)], state), observed(true), "{state:?}");
        }
        for state in [ContainerSummaryStateEnum::CREATED, ContainerSummaryStateEnum::EXITED] {
            assert_eq!(of(&[(SANDBOX, id)], state), observed(false), "{state:?}");
        }
        assert_eq!(of(&[(SANDBOX, id), (CONTAINER, "web")], ContainerSummaryStateEnum::RUNNING), None);
        assert_eq!(of(&[(SANDBOX, "../../x")], ContainerSummaryStateEnum::RUNNING), None);
    }
}
