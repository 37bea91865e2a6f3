//! Create, start, stop, remove. Each may be repeated: it succeeds if its goal is already reached.

use std::time::Duration;

use bollard::errors::Error as DockerError;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptions, StopContainerOptions,
};

use super::Inner;
use super::client::{failed, reason, status, unless};
use super::container;
use super::names::{CONTAINER, SANDBOX, TASK};
use crate::runtime::{ContainerSpec, Error};

/// Attempts of a removal if the engine reports that something is still busy, and the pause between them.
const REMOVALS: u32 = 20;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(250);

/// Added to the stop timeout, for the kill that follows and the engine's own work.
const STOP_MARGIN: Duration = Duration::from_secs(60);

impl Inner {
    pub(super) async fn create_container(&self, spec: &ContainerSpec) -> Result<String, Error> {
        let name = self.instance.container(&spec.task_id, &spec.name);
        let ceiling = self.ceiling(&spec.sandbox_id).await;
        let mut spec = spec.clone();
        // If the sandbox does not respond, the container's start reports the error.
        if !self.program(&spec.sandbox_id).await.is_ok_and(|program| program.may_have_raw_sockets()) {
            spec.process.drop_capabilities.push("NET_RAW".to_owned());
        }
        let body = container::body(&spec, &self.instance, &self.limits, &ceiling);
        let attempted = format!("create the container {name}");
        self.create(&name, body).await.map_err(failed(&self.host, attempted))
    }

    /// Returns the id of the new container, or of the one that an earlier attempt created. One that was created for a sandbox
    /// that the task has lost is replaced, because it is bound to that sandbox's network namespace.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, DockerError> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let error = match self.docker.create_container(Some(options.clone()), body.clone()).await {
            Ok(created) => return Ok(created.id),
            Err(error) if status(&error) == Some(409) => error,
            Err(error) => return Err(error),
        };
        let existing = match self.docker.inspect_container(name, None).await {
            // An earlier attempt is still creating it: the name is taken, but the container does not exist yet.
            Err(error) if status(&error) == Some(404) => return Err(DockerError::RequestTimeoutError),
            inspected => inspected?,
        };
        let labels = existing.config.and_then(|config| config.labels).unwrap_or_default();
        let wanted = body.labels.clone().unwrap_or_default();
        let agree = |key: &str| labels.get(key) == wanted.get(key);
        match existing.id {
            Some(id) if self.instance.owns(Some(&labels)) && agree(TASK) && agree(CONTAINER) => {
                if agree(SANDBOX) {
                    return Ok(id);
                }
                let force = RemoveContainerOptions { force: true, v: true, link: false };
                unless(self.docker.remove_container(&id, Some(force)).await, &[404])?;
                Ok(self.docker.create_container(Some(options), body).await?.id)
            }
            _ => Err(error),
        }
    }

    pub(super) async fn start_container(&self, id: &str) -> Result<(), Error> {
        let started = self.docker.start_container(id, None).await;
        unless(started, &[304]).map_err(failed(&self.host, format!("start the container {id}")))?;
        Ok(())
    }

    pub(super) async fn stop_container(&self, id: &str, timeout: Duration) -> Result<(), Error> {
        let seconds = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptions { signal: None, t: Some(seconds) };
        let docker = self.docker.clone().with_timeout(timeout.saturating_add(STOP_MARGIN));
        let stopped = docker.stop_container(id, Some(options)).await;
        unless(stopped, &[304, 404]).map_err(failed(&self.host, format!("stop the container {id}")))?;
        Ok(())
    }

    pub(super) async fn remove_container(&self, id: &str) -> Result<(), Error> {
        self.remove(id).await?;
        self.traces.lock().remove(id);
        Ok(())
    }

    /// Removes every container with the task's label, also one that the engine created after its caller had stopped waiting.
    pub(super) async fn remove_containers_of(&self, task_id: &str) -> Result<(), Error> {
        let filters = self.instance.filters(&[(TASK, task_id)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await;
        let listed =
            listed.map_err(failed(&self.host, format!("list the containers of the task {task_id}")))?;
        let ids: Vec<String> = listed.into_iter().filter_map(|container| container.id).collect();
        let removals = ids.iter().map(|id| self.remove_container(id));
        futures::future::join_all(removals).await.into_iter().collect()
    }

    /// Kills and removes a container by id or name, with its anonymous volumes; returns when it is removed.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Error> {
        let options = || Some(RemoveContainerOptions { force: true, v: true, link: false });
        let mut attempts = 0;
        loop {
            let error = match self.docker.remove_container(id, options()).await {
                Ok(()) => return Ok(()),
                Err(error) if status(&error) == Some(404) => return Ok(()),
                Err(error) => error,
            };
            attempts += 1;
            // 409: another removal of it is running. 500: a process hangs in the kernel, or a mount is busy.
            if attempts == REMOVALS || !matches!(status(&error), Some(409 | 500)) {
                return Err(failed(&self.host, format!("remove the container {id}"))(error));
            }
            tracing::debug!(
                container = id,
                reason = reason(&error),
                "the engine could not remove the container yet; retrying"
            );
            self.clock.sleep(BETWEEN_REMOVALS).await;
        }
    }
}
