//! A runtime without containers: scripted exits and logs, for tests and for tens of thousands of tasks.
//!
//! A container's script is in its environment, so that any ECS client can write one:
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SIMULATED_EXIT_CODE` | exits with this code; without it the container runs until it is stopped |
//! | `SIMULATED_EXIT_AFTER_MS` | how long it runs before that exit (0) |
//! | `SIMULATED_LINES` | lines it writes at its start, `line 1` to `line N` |
//! | `SIMULATED_OOM` | any value: its exit is an OOM kill |
//! | `SIMULATED_IGNORE_SIGTERM` | any value: a stop ends it only by SIGKILL |
//! | `SIMULATED_HEALTHY` | `true` or `false`: the result of its health check |
//!
//! An image whose name begins with `missing` does not exist. A process that is run beside a container's own writes its own
//! command as a line, then its input, and ends with 0 when its input ends.

mod made;
mod script;
#[cfg(test)]
mod tests;
mod world;

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::io::DuplexStream;
use tokio::sync::{broadcast, mpsc, watch};
use uuid::Uuid;

pub use self::made::Made;
use self::script::Script;
use self::world::{Container, HeldSandbox, World};
use super::inward::Calls;
use super::logs::Cursor;
use super::{
    Call, Cidr, ContainerSpec, Error, Event, Exec, Exit, Filter, Frame, Image, Info, Input, Inventory,
    Inward, Network, NetworkSpec, Observed, ObservedSandbox, Sandbox, SandboxSpec, Session, Size, State,
    Stream, TaskSpec, Usage,
};
use crate::clock::Clock;

/// The number of events that a slow reader may lag behind before it gets [`Event::Resync`]. The memory for all of them is
/// allocated at once: fewer for the many short-lived runtimes of tests.
const EVENTS: usize = if cfg!(test) { 4096 } else { 65_536 };

/// The buffer of a call, in bytes.
const CALL: usize = 64 * 1024;

/// Exit codes of a stop: 128 and the signal.
const TERMINATED: i64 = 143;
const KILLED: i64 = 137;

/// Cheap to clone; all clones are one runtime, which outlives the engines that use it, as Docker does.
#[derive(Clone, Debug)]
pub struct Runtime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    events: broadcast::Sender<Event>,
    calls: Calls,
    world: Mutex<World>,
}

impl Runtime {
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock,
            events: broadcast::Sender::new(EVENTS),
            calls: Calls::default(),
            world: Mutex::default(),
        }))
    }

    /// Ends a running container, as if its process had exited.
    pub fn exit(&self, container_id: &str, code: i64, oom_killed: bool) {
        let now = self.0.clock.now();
        let exit = {
            let mut world = self.0.world.lock();
            let Some(container) = world.containers.get_mut(container_id) else { return };
            let State::Running { since, .. } = container.state else { return };
            let exit = Exit { code, oom_killed, at: if now.next() == since { since } else { now } };
            container.state = State::Exited { started_at: Some(since), exit };
            container.stopped.send_replace(true);
            world.made.change(container_id, |made| made.exit_code = Some(exit.code));
            exit
        };
        self.emit(Event::Exited { container_id: container_id.to_owned(), exit });
    }

    /// Creates a network that does not belong to an engine of Neargate, on which the runtime assigns the addresses.
    pub fn lend(&self, name: &str, cidr: Cidr) {
        self.0.world.lock().lent.insert(name.to_owned(), cidr);
    }

    /// The spec of a sandbox, with its current filter.
    pub fn sandbox(&self, sandbox_id: &str) -> Option<SandboxSpec> {
        self.0.world.lock().sandboxes.get(sandbox_id).map(|sandbox| sandbox.spec.clone())
    }

    /// Ends a sandbox, as `docker kill` does: it stays until it is removed.
    pub fn kill_sandbox(&self, sandbox_id: &str) {
        {
            let mut world = self.0.world.lock();
            let Some(sandbox) = world.sandboxes.get_mut(sandbox_id).filter(|sandbox| sandbox.running) else {
                return;
            };
            sandbox.running = false;
        }
        self.emit(Event::SandboxExited { sandbox_id: sandbox_id.to_owned() });
    }

    /// Ends everything that runs, as a restart of the engine without live-restore does: containers exit with 137, without an
    /// event, and readers of events get [`Event::Resync`].
    pub fn lose_everything_running(&self) {
        let now = self.0.clock.now();
        {
            let mut world = self.0.world.lock();
            world.sandboxes.values_mut().for_each(|sandbox| sandbox.running = false);
            for container in world.containers.values_mut() {
                if let State::Running { since, .. } = container.state {
                    let exit = Exit { code: KILLED, oom_killed: false, at: now };
                    container.state = State::Exited { started_at: Some(since), exit };
                    container.stopped.send_replace(true);
                }
            }
        }
        self.emit(Event::Resync);
    }

    /// Connects as a program in the sandbox's task does. The other end is closed if nothing receives calls.
    pub fn call(&self, sandbox_id: &str, to: Inward) -> DuplexStream {
        let (task, stream) = tokio::io::duplex(CALL);
        // Returned if nothing waits for it, and so closed.
        drop(self.0.calls.pass(Call { sandbox_id: sandbox_id.to_owned(), to, stream }));
        task
    }

    /// Every container that was created since [`Runtime::record_made`], in order.
    pub fn made(&self) -> Vec<Made> {
        self.0.world.lock().made.list()
    }

    /// Starts a new record of the containers that are created.
    pub fn record_made(&self) {
        self.0.world.lock().made.begin();
    }

    fn emit(&self, event: Event) {
        // Between two engines there is no receiver; the next engine reads the state itself.
        let _ = self.0.events.send(event);
    }

    fn frames(&self, lines: u64) -> Vec<Frame> {
        let timestamp = self.0.clock.now().millis().saturating_mul(1_000_000);
        let frame =
            |line| Frame { stream: Stream::Stdout, timestamp, bytes: format!("line {line}\n").into() };
        (1..=lines).map(frame).collect()
    }

    /// Runs the script: its health, then its exit.
    fn play(&self, container_id: &str, script: &Script) {
        if let Some(healthy) = script.healthy {
            self.emit(Event::Health { container_id: container_id.to_owned(), healthy });
        }
        if let Some(code) = script.exit_code {
            let (runtime, container_id, script) = (self.clone(), container_id.to_owned(), script.clone());
            tokio::spawn(async move {
                if !script.exit_after.is_zero() {
                    runtime.0.clock.sleep(script.exit_after).await;
                }
                runtime.exit(&container_id, code, script.oom);
            });
        }
    }
}

#[async_trait]
impl super::Runtime for Runtime {
    async fn info(&self) -> Result<Info, Error> {
        let cpu_architecture = if cfg!(target_arch = "aarch64") { "ARM64" } else { "X86_64" };
        Ok(Info {
            name: "simulated".to_owned(),
            cpu_architecture: cpu_architecture.to_owned(),
            limits: "none".to_owned(),
        })
    }

    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network, Error> {
        match spec {
            NetworkSpec::Own { vpc_id, candidates } => {
                let none =
                    || Error::NoFreeNetwork { tried: String::new(), reason: "none was given".to_owned() };
                let cidr = candidates.first().copied().ok_or_else(none)?;
                Ok(Network { name: vpc_id.clone(), cidr })
            }
            NetworkSpec::Borrowed { name } => {
                let lent = self.0.world.lock().lent.get(name).copied();
                let cidr = lent.ok_or_else(|| Error::NoSuchNetwork { network: name.clone() })?;
                Ok(Network { name: name.clone(), cidr })
            }
        }
    }

    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, Error> {
        let mut world = self.0.world.lock();
        let address = match (spec.address, world.lent.get(&spec.network)) {
            (Some(address), _) => address,
            (None, Some(cidr)) => {
                let used: HashSet<Ipv4Addr> =
                    world.sandboxes.values().filter_map(|sandbox| sandbox.spec.address).collect();
                // After the network's own address and its gateway, and before the broadcast address.
                let (first, last) = (u32::from(cidr.base) + 2, u32::from(*cidr.block().end()));
                let free = (first..last).map(Ipv4Addr::from).find(|address| !used.contains(address));
                free.ok_or_else(|| Error::NetworkFull { network: spec.network.clone() })?
            }
            (None, None) => return Err(Error::NoSuchNetwork { network: spec.network.clone() }),
        };
        let held = SandboxSpec { address: Some(address), ..spec.clone() };
        world.sandboxes.insert(spec.sandbox_id.clone(), HeldSandbox { spec: held, running: true });
        let [a, b, c, d] = address.octets();
        let mac_address = format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
        Ok(Sandbox { sandbox_id: spec.sandbox_id.clone(), address, mac_address })
    }

    async fn set_filter(&self, sandbox_id: &str, filter: &Arc<Filter>) -> Result<(), Error> {
        match self.0.world.lock().sandboxes.get_mut(sandbox_id).filter(|sandbox| sandbox.running) {
            Some(sandbox) => sandbox.spec.filter = Arc::clone(filter),
            None => {
                return Err(Error::Failed {
                    attempted: format!("set the filter of the sandbox {sandbox_id}"),
                    reason: "no such sandbox runs".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn calls(&self) -> BoxStream<'static, Call> {
        self.0.calls.listen()
    }

    async fn remove_sandbox(&self, sandbox_id: &str) -> Result<(), Error> {
        self.kill_sandbox(sandbox_id);
        self.0.world.lock().sandboxes.remove(sandbox_id);
        Ok(())
    }

    async fn sandbox_runs(&self, sandbox_id: &str) -> Result<bool, Error> {
        Ok(self.0.world.lock().sandboxes.get(sandbox_id).is_some_and(|sandbox| sandbox.running))
    }

    async fn prepare_task(&self, task: &TaskSpec) -> Result<(), Error> {
        self.0.world.lock().tasks.insert(task.task_id.clone());
        Ok(())
    }

    /// Simulated containers use no CPU.
    async fn limit_cpu(&self, _: &str, _: u32) -> Result<(), Error> {
        Ok(())
    }

    async fn release_task(&self, task_id: &str) -> Result<(), Error> {
        let world = || self.0.world.lock();
        let containers: Vec<String> = {
            let world = world();
            let of_task = world.containers.iter().filter(|(_, container)| container.task_id == task_id);
            of_task.map(|(id, _)| id.clone()).collect()
        };
        for container_id in containers {
            self.remove_container(&container_id).await?;
        }
        world().tasks.remove(task_id);
        Ok(())
    }

    async fn resolve_image(&self, image: &str) -> Result<Image, Error> {
        if image.starts_with("missing") {
            let reason =
                "pull access denied, repository does not exist or may require authorization".to_owned();
            return Err(Error::ImageNotFound { image: image.to_owned(), reason });
        }
        Ok(Image { digest: format!("sha256:{:x}", Sha256::digest(image)) })
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, Error> {
        let container_id = Uuid::new_v4().simple().to_string();
        let container = Container {
            task_id: spec.task_id.clone(),
            sandbox_id: spec.sandbox_id.clone(),
            name: spec.name.clone(),
            script: Script::read(&spec.process.environment),
            state: State::Created,
            frames: Vec::new(),
            stopped: watch::Sender::new(true),
        };
        let mut world = self.0.world.lock();
        // As on Docker, where a container's name contains its task's id and its own name.
        let mut others = world.containers.iter();
        let made_before = others
            .find(|(_, other)| other.task_id == spec.task_id && other.name == spec.name)
            .map(|(id, other)| (id.clone(), other.sandbox_id == spec.sandbox_id));
        match made_before {
            Some((id, true)) => return Ok(id),
            Some((id, false)) => drop(world.containers.remove(&id)),
            None => {}
        }
        world.made.add(Made {
            container_id: container_id.clone(),
            task_id: container.task_id.clone(),
            name: container.name.clone(),
            starts: 0,
            lines: container.script.lines,
            exit_code: None,
        });
        world.containers.insert(container_id.clone(), container);
        Ok(container_id)
    }

    async fn start_container(&self, container_id: &str) -> Result<(), Error> {
        let now = self.0.clock.now();
        let (script, since) = {
            let mut world = self.0.world.lock();
            let World { containers, sandboxes, .. } = &mut *world;
            let failed = |reason: &str| Error::Failed {
                attempted: format!("start container {container_id}"),
                reason: reason.to_owned(),
            };
            let container = containers.get_mut(container_id).ok_or_else(|| failed("no such container"))?;
            if matches!(container.state, State::Running { .. }) {
                return Ok(());
            }
            if sandboxes.get(&container.sandbox_id).is_none_or(|sandbox| !sandbox.running) {
                return Err(failed("cannot join network of a non running container"));
            }
            let script = container.script.clone();
            // Later than its last end, as on an engine, where a start takes some time.
            let again = matches!(container.state, State::Exited { exit, .. } if exit.at == now);
            let since = if again { now.next() } else { now };
            container.state = State::Running { since, healthy: script.healthy };
            container.frames.extend(self.frames(script.lines));
            container.stopped.send_replace(false);
            world.made.change(container_id, |made| {
                made.starts += 1;
                made.exit_code = None;
            });
            (script, since)
        };
        self.emit(Event::Started { container_id: container_id.to_owned(), at: since });
        self.play(container_id, &script);
        Ok(())
    }

    async fn stop_container(&self, container_id: &str, timeout: Duration) -> Result<(), Error> {
        let ignores = self
            .0
            .world
            .lock()
            .containers
            .get(container_id)
            .map(|container| container.script.ignores_sigterm);
        if ignores == Some(true) {
            self.0.clock.sleep(timeout).await;
        }
        self.exit(container_id, if ignores == Some(true) { KILLED } else { TERMINATED }, false);
        Ok(())
    }

    async fn remove_container(&self, container_id: &str) -> Result<(), Error> {
        self.exit(container_id, KILLED, false);
        self.0.world.lock().containers.remove(container_id);
        Ok(())
    }

    async fn inspect_container(&self, container_id: &str) -> Result<Option<Observed>, Error> {
        Ok(self.0.world.lock().containers.get(container_id).map(|container| container.observed(container_id)))
    }

    async fn inventory(&self) -> Result<Inventory, Error> {
        let world = self.0.world.lock();
        Ok(Inventory {
            containers: world.containers.iter().map(|(id, container)| container.observed(id)).collect(),
            sandboxes: world
                .sandboxes
                .iter()
                .map(|(id, sandbox)| ObservedSandbox { sandbox_id: id.clone(), running: sandbox.running })
                .collect(),
            tasks: world.tasks.iter().cloned().collect(),
        })
    }

    async fn exec(&self, container_id: &str, exec: &Exec) -> Result<Session, Error> {
        self.0.running(container_id)?;
        let (to_output, from_input) = mpsc::unbounded_channel();
        let command = Bytes::from(format!("{}\n", exec.command.join(" ")));
        let echo = stream::unfold(from_input, |mut input| async move { Some((input.recv().await?, input)) });
        Ok(Session {
            output: stream::once(std::future::ready(command))
                .chain(echo)
                .map(|bytes| Ok((Stream::Stdout, bytes)))
                .boxed(),
            input: Box::new(Echo(to_output)),
            exit_code: std::future::ready(Ok(0)).boxed(),
        })
    }

    async fn stats(&self, container_id: &str) -> Result<Usage, Error> {
        self.0.running(container_id)?;
        Ok(Usage { at: self.0.clock.now(), processes: 1, ..Usage::default() })
    }

    fn events(&self) -> BoxStream<'static, Event> {
        let events = self.0.events.subscribe();
        stream::unfold(events, |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((event, events)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Event::Resync, events)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    fn logs(&self, container_id: &str, after: &Cursor) -> BoxStream<'static, Result<Frame, Error>> {
        let (since, skip) = after.resume(self.0.clock.now().millis().div_euclid(1000));
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let (frames, stopped) = match self.0.world.lock().containers.get(container_id) {
            Some(container) => (container.frames.clone(), container.stopped.subscribe()),
            None => return stream::empty().boxed(),
        };
        let frames = frames
            .into_iter()
            .filter(move |frame| frame.timestamp.div_euclid(1_000_000_000) >= since)
            .skip(skip);
        let end = stream::once(async move {
            let mut stopped = stopped;
            // A removed container drops its sender, which also ends the log.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
        stream::iter(frames.map(Ok)).chain(end.filter_map(|()| std::future::ready(None))).boxed()
    }

    async fn remove_everything(&self) -> Result<(), Error> {
        let mut world = self.0.world.lock();
        let made = std::mem::take(&mut world.made);
        *world = World { made, ..World::default() };
        Ok(())
    }
}

impl Inner {
    /// Fails for a container that does not run.
    fn running(&self, container_id: &str) -> Result<(), Error> {
        let world = self.world.lock();
        match world.containers.get(container_id).map(|container| &container.state) {
            Some(State::Running { .. }) => Ok(()),
            _ => Err(Error::Failed {
                attempted: format!("access the container {container_id}"),
                reason: "it does not run".to_owned(),
            }),
        }
    }
}

/// Input that is returned as output.
struct Echo(mpsc::UnboundedSender<Bytes>);

#[async_trait]
impl Input for Echo {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        // An error means that the output is no longer read.
        let _ = self.0.send(Bytes::copy_from_slice(bytes));
        Ok(())
    }

    async fn resize(&mut self, _: Size) -> Result<(), Error> {
        Ok(())
    }
}
