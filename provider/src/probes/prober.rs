//! The prober: which containers are probed, and their verdicts.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerPort, HTTPGetAction, Probe};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    check::{Ask, Checker, Outcome},
    machine::{Machine, Step, Which},
    spec::{Check, Timing, offset},
};
use crate::clock;

/// Events that may wait for their reader before the probes wait too.
const EVENTS: usize = 1_024;

/// A pod's attempt, to be probed.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The pod's UID.
    pub uid: String,
    /// Which attempt of it.
    pub attempt: u32,
    /// The pod's address.
    pub ip: String,
    /// The running containers.
    pub containers: Vec<Container>,
}

/// A running container.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// `readinessProbe`.
    pub readiness: Option<Probe>,
    /// `livenessProbe`.
    pub liveness: Option<Probe>,
    /// `startupProbe`.
    pub startup: Option<Probe>,
    /// Its ports, for those that a probe names.
    pub ports: Vec<ContainerPort>,
    /// When it started.
    pub started_at: Timestamp,
    /// What the pod's status already contains about this attempt: a restarted provider continues from there, so that a ready pod
    /// stays ready. [`Verdict::default`] for an attempt that has just begun.
    pub known: Verdict,
}

/// The result of a container's probes. Both true for a container without probes; both false for one that is not watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Its startup probe has succeeded.
    pub started: bool,
    /// It has started, and its readiness probe succeeds.
    pub ready: bool,
}

/// What happened to a watched container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The pod's UID.
    pub uid: String,
    /// The attempt that it is about.
    pub attempt: u32,
    /// The container's name.
    pub container: String,
    /// What happened.
    pub kind: Kind,
    /// In the kubelet's words.
    pub message: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The [`Verdict`] has changed.
    ReadinessChanged,
    /// The liveness probe has failed often enough: the container must be restarted. It is no longer probed.
    LivenessFailed,
    /// The startup probe has failed often enough: the same as [`Kind::LivenessFailed`].
    StartupFailed,
    /// A probe failed once: a warning event `Unhealthy`, nothing more.
    Unhealthy,
    /// A probe succeeded with a warning: a warning event `ProbeWarning`, nothing more.
    Warning,
}

/// Probes pods; cheap to clone.
#[derive(Debug, Clone)]
pub struct Prober {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    events: mpsc::Sender<Event>,
    asker: Arc<dyn Ask>,
    clock: clock::Shared,
    /// Containers older than this were running before us.
    born: Timestamp,
}

/// A probed pod. It is probed until this is dropped.
#[derive(Debug)]
pub struct Watched {
    attempt: u32,
    ip: String,
    containers: HashMap<String, Probed>,
}

#[derive(Debug)]
struct Probed {
    container: Container,
    verdict: watch::Receiver<Verdict>,
    _workers: Vec<AbortOnDropHandle<()>>,
}

impl Prober {
    /// A prober that probes no pod yet, and the receiver of its events.
    ///
    /// Fails only if the TLS library's protocol versions do not fit its cryptography.
    pub fn new(clock: clock::Shared) -> Result<(Self, mpsc::Receiver<Event>), rustls::Error> {
        Ok(Self::with(Arc::new(Checker::new()?), clock))
    }

    fn with(asker: Arc<dyn Ask>, clock: clock::Shared) -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let inner = Inner { events, asker, born: clock.now(), clock };
        (Self { inner: Arc::new(inner) }, receiver)
    }

    /// Probes the target's containers from now on, and nothing else of the pod. `watched` is what was probed of the pod so far. The
    /// same target again changes nothing; another attempt, or another address, starts from the beginning. Legal within a tokio
    /// runtime.
    pub fn watch(&self, watched: &mut Option<Watched>, target: Target) {
        let Target { uid, attempt, ip, containers } = target;
        let watched = match watched {
            Some(same) if same.attempt == attempt && same.ip == ip => same,
            _ => watched.insert(Watched { attempt, ip, containers: HashMap::new() }),
        };
        watched.containers.retain(|name, _| containers.iter().any(|container| container.name == *name));
        for container in containers {
            let same = watched.containers.get(&container.name).is_some_and(|probed| probed.is(&container));
            if !same {
                let probed = self.inner.probe(&uid, attempt, &watched.ip, container);
                watched.containers.insert(probed.container.name.clone(), probed);
            }
        }
    }

    /// Sends the request of a `preStop` hook to the pod at `ip`, once; an error if there was no response.
    pub async fn hook(
        &self,
        action: &HTTPGetAction,
        ip: &str,
        ports: &[ContainerPort],
        timeout: Duration,
    ) -> Result<(), String> {
        match self.inner.asker.ask(&Check::hook(action, ip, ports), timeout).await {
            Outcome::Success | Outcome::Warning(_) => Ok(()),
            Outcome::Failure(why) | Outcome::Errored(why) => Err(why),
        }
    }
}

impl Watched {
    /// What is known of a container.
    #[must_use]
    pub fn verdict(&self, container: &str) -> Verdict {
        self.containers.get(container).map(|probed| *probed.verdict.borrow()).unwrap_or_default()
    }
}

impl Probed {
    /// Whether that is the container that is already probed. Within an attempt it starts once, so its `known` does not matter any
    /// more.
    fn is(&self, container: &Container) -> bool {
        let Container { known, started_at, .. } = self.container;
        self.container == Container { known, started_at, ..container.clone() }
    }
}

impl Inner {
    fn probe(&self, uid: &str, attempt: u32, ip: &str, container: Container) -> Probed {
        let check = |probe: &Option<Probe>| {
            let probe = probe.as_ref()?;
            Some((Check::of(probe, ip, &container.ports)?, Timing::of(probe)))
        };
        let probes = [
            (Which::Startup, check(&container.startup)),
            (Which::Liveness, check(&container.liveness)),
            (Which::Readiness, check(&container.readiness)),
        ];
        let [(_, startup), _, (_, readiness)] = &probes;
        let started = startup.is_none() || container.known.started;
        let ready = started && (readiness.is_none() || container.known.ready);
        let standing = Arc::new(Standing {
            uid: uid.to_owned(),
            attempt,
            container: container.name.clone(),
            verdict: watch::Sender::new(Verdict { started, ready }),
            has_readiness: readiness.is_some(),
            events: self.events.clone(),
        });
        let age = self.clock.now().duration_since(container.started_at).try_into().unwrap_or_default();
        let was_before_us = container.started_at < self.born;
        let workers = probes.into_iter().filter_map(|(which, probe)| {
            let (check, timing) = probe?;
            if which == Which::Startup && started {
                return None;
            }
            let mut wait = timing.initial_delay.saturating_sub(age);
            if was_before_us {
                wait = wait.max(offset(uid, &container.name, which, timing.period));
            }
            let verdict = match which {
                Which::Startup => None,
                Which::Liveness => Some(true),
                Which::Readiness => Some(ready),
            };
            let worker = Worker {
                which,
                check,
                timing,
                first: Instant::now() + wait,
                machine: Machine::new(which, timing.success_threshold, timing.failure_threshold, verdict),
                asker: Arc::clone(&self.asker),
                standing: Arc::clone(&standing),
            };
            Some(AbortOnDropHandle::new(tokio::spawn(worker.run())))
        });
        let workers = workers.collect();
        Probed { container, verdict: standing.verdict.subscribe(), _workers: workers }
    }
}

/// The common verdict of a container's probes, and the receiver of its events.
#[derive(Debug)]
struct Standing {
    uid: String,
    attempt: u32,
    container: String,
    verdict: watch::Sender<Verdict>,
    has_readiness: bool,
    events: mpsc::Sender<Event>,
}

impl Standing {
    async fn send(&self, kind: Kind, message: String) {
        let Self { uid, attempt, container, .. } = self;
        let event =
            Event { uid: uid.clone(), attempt: *attempt, container: container.clone(), kind, message };
        // The receiver is dropped: the provider ends.
        let _ = self.events.send(event).await;
    }

    async fn change(&self, message: String, change: impl FnOnce(&mut Verdict)) {
        let changed = self.verdict.send_if_modified(|verdict| {
            let before = *verdict;
            change(verdict);
            before != *verdict
        });
        if changed {
            self.send(Kind::ReadinessChanged, message).await;
        }
    }
}

/// One probe of one container.
#[derive(Debug)]
struct Worker {
    which: Which,
    check: Check,
    timing: Timing,
    first: Instant,
    machine: Machine,
    asker: Arc<dyn Ask>,
    standing: Arc<Standing>,
}

impl Worker {
    async fn run(mut self) {
        let which = self.which;
        if which != Which::Startup {
            // We hold the sender, so that waiting ends with a start or with the worker.
            let started = self.standing.verdict.subscribe().wait_for(|verdict| verdict.started).await.is_ok();
            debug_assert!(started, "the sender lives as long as its container's workers");
        }
        tokio::time::sleep_until(self.first).await;
        let mut ticks = tokio::time::interval(self.timing.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let (success, message) = match self.asker.ask(&self.check, self.timing.timeout).await {
                Outcome::Success => (true, format!("{which} probe succeeded")),
                Outcome::Warning(text) => {
                    let message = format!("{which} probe warning: {text}");
                    self.standing.send(Kind::Warning, message.clone()).await;
                    (true, message)
                }
                Outcome::Failure(text) => {
                    let message = format!("{which} probe failed: {text}");
                    self.standing.send(Kind::Unhealthy, message.clone()).await;
                    (false, message)
                }
                Outcome::Errored(text) => {
                    let message = format!("{which} probe errored and resulted in unknown state: {text}");
                    self.standing.send(Kind::Unhealthy, message).await;
                    continue;
                }
            };
            let step = self.machine.observe(success);
            if !self.act(step, message).await {
                return;
            }
        }
    }

    /// Whether to continue.
    async fn act(&self, step: Step, message: String) -> bool {
        let standing = &self.standing;
        let given_up =
            |probe| format!("Container {} failed {probe} probe, will be restarted", standing.container);
        match (self.which, step) {
            (_, Step::Keep) => return true,
            (Which::Startup, Step::Ends(true) | Step::Says(true)) => {
                let ready = !standing.has_readiness;
                standing.change(message, |verdict| *verdict = Verdict { started: true, ready }).await;
            }
            (Which::Startup, Step::Ends(false) | Step::Says(false)) => {
                standing.send(Kind::StartupFailed, given_up("startup")).await;
            }
            (Which::Liveness, Step::Ends(_) | Step::Says(false)) => {
                standing.send(Kind::LivenessFailed, given_up("liveness")).await;
            }
            (Which::Liveness, Step::Says(true)) => return true,
            (Which::Readiness, Step::Says(ready) | Step::Ends(ready)) => {
                standing.change(message, |verdict| verdict.ready = ready).await;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
