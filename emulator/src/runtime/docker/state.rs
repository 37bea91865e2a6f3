//! Translates the engine's state of a container into the runtime's.

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status, HealthStatusEnum,
};

use super::client::{failed, unless};
use super::names::{CONTAINER, SANDBOX, TASK};
use super::oom;
use super::{Inner, Trace};
use crate::clock::Timestamp;
use crate::runtime::{Error, Exit, Observed, State};

impl Inner {
    pub(super) async fn inspect_container(&self, id: &str) -> Result<Option<Observed>, Error> {
        let inspected = self.docker.inspect_container(id, None).await;
        match unless(inspected, &[404]).map_err(failed(&self.host, format!("inspect the container {id}")))? {
            Some(container) => Ok(self.observe(container).await),
            None => Ok(None),
        }
    }

    /// `None` if it is not a container of this instance for a task.
    async fn observe(&self, container: ContainerInspectResponse) -> Option<Observed> {
        let labels = container.config.and_then(|config| config.labels).unwrap_or_default();
        if !self.instance.owns(Some(&labels)) {
            return None;
        }
        let container_id = container.id?;
        let inspected = container.state?;
        if let Some(pid) = inspected.pid.filter(|pid| *pid > 0) {
            self.traces.lock().entry(container_id.clone()).or_default().main = Some(pid);
        }
        let state = match inspected.status {
            Some(Status::CREATED) | None => State::Created,
            Some(Status::EXITED | Status::DEAD | Status::REMOVING | Status::STOPPING | Status::EMPTY) => {
                State::Exited {
                    started_at: inspected.started_at.as_deref().and_then(time),
                    exit: self.exit(&container_id, &inspected).await,
                }
            }
            Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING) => State::Running {
                since: inspected.started_at.as_deref().and_then(time).unwrap_or_default(),
                healthy: match inspected.health.and_then(|health| health.status) {
                    Some(HealthStatusEnum::HEALTHY) => Some(true),
                    Some(HealthStatusEnum::UNHEALTHY) => Some(false),
                    _ => None,
                },
            },
        };
        Some(Observed {
            task_id: labels.get(TASK)?.clone(),
            sandbox_id: labels.get(SANDBOX)?.clone(),
            name: labels.get(CONTAINER)?.clone(),
            container_id,
            state,
        })
    }

    async fn exit(&self, container_id: &str, inspected: &ContainerState) -> Exit {
        let code = inspected.exit_code.unwrap_or_default();
        Exit {
            code,
            oom_killed: self.oom_killed(container_id, code, inspected.oom_killed.unwrap_or_default()).await,
            at: inspected.finished_at.as_deref().and_then(time).unwrap_or_default(),
        }
    }

    /// See [`oom`].
    pub(super) async fn oom_killed(&self, container_id: &str, exit_code: i64, marked: bool) -> bool {
        let Trace { main, killed } = self.traces.lock().get(container_id).copied().unwrap_or_default();
        let (id, local) = (container_id.to_owned(), self.facts.local);
        let decided = tokio::task::spawn_blocking(move || {
            oom::decide(exit_code, killed, marked, || {
                if local { oom::evidence(&id, main) } else { oom::Evidence::Unknown }
            })
        });
        // Fails only if the process is shutting down; the next process reads the exit again.
        decided.await.unwrap_or_default()
    }
}

/// A time in the engine's format, RFC 3339. `None` for its zero time, the year 1.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    (time > jiff::Timestamp::UNIX_EPOCH).then(|| Timestamp(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zero_time_is_none() {
        assert_eq!(time("0001-01-01T00:00:00Z"), None);
        assert_eq!(time("1970-01-01T00:00:01.5Z"), Some(Timestamp(1500)));
        assert_eq!(time("2026-11-21T11:30:31.123456789Z").map(Timestamp::millis), Some(1_795_260_631_123));
    }
}
