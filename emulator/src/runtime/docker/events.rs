//! The engine's events of this instance's containers: one streamed response, no polling.
//!
//! ```text
//! engine's time ─▶ Resync ─▶ events since then ─▶ … ─▶ the connection ends ─▶ the engine responds again ─▶ Resync ─▶ …
//! ```
//!
//! The first Resync means: the state that is read from now on, and these events, leave no gap.
//!
//! To find out whether an exit was for memory, the container and the kernel's log may have to be read. That is done beside
//! the stream, so that one slow inspection does not delay the events of other containers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as DockerError;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt};

use super::Inner;
use super::client::reason;
use super::names::{CONTAINER, SANDBOX, is_id};
use super::oom;
use crate::clock::Timestamp;
use crate::runtime::{Event, Exit};

/// Pauses between attempts to reconnect to the engine: short at first, because a restart is short.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

const NANOSECONDS: i64 = 1_000_000_000;

/// The events of `inner`'s instance; never ends.
pub(super) fn watch(inner: Arc<Inner>) -> BoxStream<'static, Event> {
    let watcher = Watcher {
        inner,
        source: None,
        last: None,
        ready: VecDeque::new(),
        checks: FuturesUnordered::new(),
        pause: FIRST_PAUSE,
    };
    stream::unfold(watcher, |mut watcher| async { Some((watcher.next().await, watcher)) }).boxed()
}

struct Watcher {
    inner: Arc<Inner>,
    source: Option<BoxStream<'static, Result<EventMessage, DockerError>>>,
    /// The time of the latest event, in nanoseconds since the epoch: a new connection continues from there.
    last: Option<i64>,
    ready: VecDeque<Event>,
    /// Exits for which it is being found out whether they were for memory.
    checks: FuturesUnordered<BoxFuture<'static, Event>>,
    pause: Duration,
}

impl Watcher {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            let Some(source) = &mut self.source else {
                self.connect().await;
                continue;
            };
            let message = tokio::select! {
                message = source.next() => message,
                Some(exited) = self.checks.next() => return exited,
            };
            match message {
                Some(Ok(message)) => self.handle(&message),
                Some(Err(error)) => self.lost(&reason(&error)).await,
                None => self.lost("the engine closed it").await,
            }
        }
    }

    /// Waits until the engine reports its time, and requests the events from then on.
    async fn connect(&mut self) {
        let since = match self.last {
            // The engine still has the events of the gap, unless it was restarted.
            Some(last) => self.inner.docker.ping().await.map(|_| last),
            None => self.inner.engine_time().await,
        };
        match since {
            Ok(since) => {
                let options = EventsOptions {
                    since: Some(format!("{}.{:09}", since / NANOSECONDS, since % NANOSECONDS)),
                    until: None,
                    filters: Some(self.filters()),
                };
                self.source = Some(self.inner.docker.events(Some(options)).boxed());
                self.ready.push_back(Event::Resync);
                self.last = Some(since);
            }
            Err(error) => self.lost(&reason(&error)).await,
        }
    }

    async fn lost(&mut self, why: &str) {
        if self.source.take().is_some() {
            tracing::warn!(reason = why, "the engine's event stream was lost; reconnecting");
        }
        self.inner.clock.sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn filters(&self) -> HashMap<String, Vec<String>> {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut filters = self.inner.instance.filters(&[]);
        filters.insert("type".to_owned(), list(&["container"]));
        filters.insert("event".to_owned(), list(&["start", "kill", "die", "health_status", "destroy"]));
        filters
    }

    fn handle(&mut self, message: &EventMessage) {
        self.pause = FIRST_PAUSE;
        let at = message.time_nano.unwrap_or_default();
        // Events of different containers arrive out of order, so none may be skipped by its timestamp. After a reconnect
        // the last one is delivered twice, because `since` is inclusive; its handlers tolerate that.
        self.last = self.last.max(Some(at));
        let Some(happened) = Happened::of(message) else { return };
        let at = Timestamp(at / 1_000_000);
        let container_id = happened.container_id;
        let event = match happened.what {
            What::SandboxExited(sandbox_id) => Event::SandboxExited { sandbox_id },
            What::Started => Event::Started { container_id, at },
            What::Health(healthy) => Event::Health { container_id, healthy },
            What::Killed => {
                self.inner.traces.lock().entry(container_id).or_default().killed = true;
                return;
            }
            What::Removed => {
                self.inner.traces.lock().remove(&container_id);
                return;
            }
            What::Exited(code) if self.inner.may_be_out_of_memory(&container_id, code) => {
                let inner = Arc::clone(&self.inner);
                let check = async move {
                    let oom_killed = inner.oom_killed_now(&container_id, code).await;
                    Event::Exited { container_id, exit: Exit { code, oom_killed, at } }
                };
                self.checks.push(check.boxed());
                return;
            }
            What::Exited(code) => Event::Exited { container_id, exit: Exit { code, oom_killed: false, at } },
        };
        self.ready.push_back(event);
    }
}

impl Inner {
    /// Nanoseconds since the epoch on the engine's clock.
    async fn engine_time(&self) -> Result<i64, DockerError> {
        let time = self.docker.info().await?.system_time.unwrap_or_default();
        let nanoseconds = time.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_nanosecond);
        // If the engine reports no time, all events that it has are requested; handlers tolerate duplicates.
        Ok(nanoseconds.ok().and_then(|nanoseconds| i64::try_from(nanoseconds).ok()).unwrap_or_default())
    }

    /// Only a SIGKILL that was not requested can be the kernel's.
    fn may_be_out_of_memory(&self, container_id: &str, code: i64) -> bool {
        let killed = self.traces.lock().get(container_id).is_some_and(|trace| trace.killed);
        code == oom::SIGKILLED && !killed
    }

    /// [`Inner::oom_killed`] of a container that has just ended.
    async fn oom_killed_now(&self, container_id: &str, code: i64) -> bool {
        let inspected = self.docker.inspect_container(container_id, None).await.ok();
        let marked = inspected.and_then(|container| container.state?.oom_killed).unwrap_or_default();
        self.oom_killed(container_id, code, marked).await
    }
}

/// An event of a container that the runtime handles.
#[derive(Debug, PartialEq, Eq)]
struct Happened {
    container_id: String,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Started,
    Health(bool),
    /// The engine sent SIGKILL.
    Killed,
    Exited(i64),
    Removed,
    /// The container is not a task's, but the sandbox with this id.
    SandboxExited(String),
}

impl Happened {
    /// `None` for other signals, health checks without a result, and all events of a sandbox except its end.
    fn of(message: &EventMessage) -> Option<Self> {
        let actor = message.actor.as_ref()?;
        let attributes = actor.attributes.as_ref()?;
        let of_sandbox = !attributes.contains_key(CONTAINER);
        let what = match message.action.as_deref()? {
            "die" if of_sandbox => {
                What::SandboxExited(attributes.get(SANDBOX).filter(|id| is_id(id))?.clone())
            }
            _ if of_sandbox => return None,
            "start" => What::Started,
            "health_status: healthy" => What::Health(true),
            "health_status: unhealthy" => What::Health(false),
            "kill" if attributes.get("signal").is_some_and(|signal| signal == "9") => What::Killed,
            "destroy" => What::Removed,
            "die" => What::Exited(attributes.get("exitCode")?.parse().ok()?),
            _ => return None,
        };
        Some(Self { container_id: actor.id.clone()?, what })
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    fn happened(action: &str, attributes: &[(&str, &str)]) -> Option<What> {
        let attributes =
            attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let actor = EventActor { id: Some("c1".to_owned()), attributes: Some(attributes) };
        let message =
            EventMessage { action: Some(action.to_owned()), actor: Some(actor), ..EventMessage::default() };
        Happened::of(&message).map(|happened| happened.what)
    }

    #[test]
    fn an_event_of_a_tasks_container_has_its_meaning() {
        let of_task = (CONTAINER, "web");
        for (action, more, expected) in [
            ("start", ("image", "x"), Some(What::Started)),
            ("health_status: healthy", ("image", "x"), Some(What::Health(true))),
            ("health_status: unhealthy", ("image", "x"), Some(What::Health(false))),
            ("kill", ("signal", "15"), None),
            ("kill", ("signal", "9"), Some(What::Killed)),
            ("die", ("exitCode", "137"), Some(What::Exited(137))),
            ("die", ("exitCode", "?"), None),
            ("destroy", ("image", "x"), Some(What::Removed)),
        ] {
            assert_eq!(happened(action, &[of_task, more]), expected, "{action} {more:?}");
        }
    }

    #[test]
    fn of_a_sandboxs_events_only_its_end_counts() {
        let sandbox = |action, id| happened(action, &[(SANDBOX, id), ("exitCode", "137"), ("signal", "9")]);
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(sandbox("die", id), Some(What::SandboxExited(id.to_owned())));
        assert_eq!(sandbox("kill", id), None);
        assert_eq!(sandbox("start", id), None);
        assert_eq!(sandbox("die", "../etc"), None);
    }
}
