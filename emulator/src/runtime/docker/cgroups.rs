//! The cgroups of tasks, as the runtime uses them: created, limited and removed as [`super::limits`] has chosen.

use std::io;

use super::limits::{self, Engine};
use super::{Inner, TaskSpec};
use crate::runtime::Error;

impl Inner {
    /// Enforces the limits in the chosen way, unless that is refused; see [`limits::Limits::claim`].
    pub(crate) async fn claim_limits(&mut self) {
        self.limits = self.limits.clone().claim(&self.clock).await;
    }

    /// Creates the task's cgroup with its limits, but for its CPU.
    pub(super) async fn prepare_cgroup(&self, task: &TaskSpec) -> Result<(), Error> {
        let TaskSpec { task_id, cpu, memory, .. } = task;
        self.cpu_limited.lock().remove(task_id);
        let prepared = self.limits.prepare(task_id, *cpu, *memory).await;
        prepared.map_err(failed(|| format!("create the cgroup of the task {task_id}")))
    }

    pub(super) async fn limit_cpu(&self, task_id: &str, cpu: u32) -> Result<(), Error> {
        if self.cpu_limited.lock().contains(task_id) {
            return Ok(());
        }
        match self.limits.limit_cpu(task_id, cpu).await {
            Ok(()) => {
                self.cpu_limited.lock().insert(task_id.to_owned());
                Ok(())
            }
            // The task was released meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(|| format!("limit the CPU of the task {task_id}"))(error)),
        }
    }

    pub(super) async fn release_cgroup(&self, task_id: &str) -> Result<(), Error> {
        self.cpu_limited.lock().remove(task_id);
        let released = self.limits.release(task_id, &self.clock).await;
        released.map_err(failed(|| format!("remove the cgroup of the task {task_id}")))
    }

    /// The tasks that have one.
    pub(super) fn task_cgroups(&self) -> Result<Vec<String>, Error> {
        self.limits.tasks().map_err(failed(|| "list the tasks' cgroups".to_owned()))
    }

    /// Removes the cgroups above those of the tasks, and the cgroups that another driver has left.
    pub(super) async fn remove_cgroups(&self) -> Result<(), Error> {
        let Self { docker, host, instance, facts, .. } = self;
        let engine = Engine { docker: docker.clone(), host: host.clone(), instance: instance.clone() };
        let removed = async {
            self.limits.remove(&self.clock).await?;
            limits::remove_left(facts, engine, &self.clock).await
        };
        removed.await.map_err(failed(|| format!("remove the cgroups of the instance {}", instance.id)))
    }
}

fn failed(attempted: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        let (attempted, reason) = (attempted(), error.to_string());
        if limits::may_pass(error.kind()) {
            Error::NoAnswer { attempted, reason }
        } else {
            Error::Failed { attempted, reason }
        }
    }
}
