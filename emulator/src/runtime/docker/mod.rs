//! Containers on a Docker engine, 20.10 or newer, through its API.
//!
//! ```text
//! ensure_network ─▶ create_sandbox: a container of Neargate's small program, with an address of the VPC's network
//!                   set_filter: a line to that program, with netlink messages
//! calls          ◀─ connections that the program accepts in the sandbox
//! prepare_task   ─▶ a cgroup with the task's limits, its volumes
//! create, start  ─▶ the task's containers, all in the sandbox's network namespace and below the task's cgroup
//! events, logs   ◀─ the engine's own streams, never polled
//! ```
//!
//! Every object has the labels of [`names`]. Objects without this instance's label are never touched, so that several
//! instances of Neargate can share an engine. A removal succeeds if the object does not exist.

pub(crate) mod census;
mod cgroups;
pub(crate) mod client;
mod container;
mod events;
mod exec;
pub(crate) mod facts;
mod host;
mod image;
mod inventory;
pub mod kind;
mod lifecycle;
pub(crate) mod limits;
mod logs;
pub(crate) mod names;
mod netlink;
mod network;
pub(crate) mod oom;
mod program;
mod resolvers;
pub(crate) mod sandbox;
pub(crate) mod sandbox_image;
mod state;
pub(crate) mod ulimits;
mod volumes;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::inward::Calls;
use super::logs::Cursor;
use super::{
    Call, ContainerSpec, Error, Event, Exec, Filter, Frame, Image, Info, Inventory, Network, NetworkSpec,
    Observed, Sandbox, SandboxSpec, Session, TaskSpec, Usage,
};
use crate::clock::Clock;
use client::failed;
use facts::Facts;
use limits::Limits;
use names::Instance;
use ulimits::Ceiling;

/// The engine to use, and the instance that uses it.
#[derive(Clone, Debug)]
pub struct Options {
    /// `unix://…` or `tcp://…`; `None`: `DOCKER_HOST`, else Docker's own socket.
    pub docker_host: Option<String>,
    /// The id of the data directory. It is a label of all objects of this runtime, which touches no others.
    pub instance_id: String,
    /// The data directory. It is a label too, so that `neargate clean` can find out whether its process still runs.
    pub data_dir: PathBuf,
}

/// A [`super::Runtime`] on a Docker engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runtime(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) docker: Docker,
    /// The machine's clock: requests to the engine take real time, also in a test with a manual clock.
    clock: Clock,
    host: String,
    instance: Instance,
    pub(crate) facts: Facts,
    pub(crate) limits: Limits,
    /// Held while a network is searched and created.
    networks: tokio::sync::Mutex<()>,
    /// Held while the sandbox image is searched and loaded.
    sandbox_image: tokio::sync::Mutex<()>,
    pulls: image::Pulls,
    programs: program::Programs,
    calls: Arc<Calls>,
    ceiling: OnceLock<Ceiling>,
    /// By container id; see [`oom`].
    traces: Mutex<HashMap<String, Trace>>,
    /// The tasks whose CPU this process has limited.
    cpu_limited: Mutex<HashSet<String>>,
    /// Calls that create objects; see [`Runtime::complete`].
    running: TaskTracker,
}

/// Facts about a container from which its cause of exit is derived later.
#[derive(Clone, Copy, Debug, Default)]
struct Trace {
    /// Its main process on the host.
    main: Option<i64>,
    /// The engine was asked to send it SIGKILL.
    killed: bool,
}

impl Runtime {
    /// Connects to the engine, agrees on the API version and finds out how limits can be enforced.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if no engine responds; [`Error::Failed`] if it runs containers of an architecture for which
    /// this program was not built.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let Options { docker_host, instance_id, data_dir } = options;
        let instance = Instance::here(instance_id, data_dir);
        let mut inner = Inner::connect(&client::host(docker_host.as_deref()), instance).await?;
        inner.claim_limits().await;
        inner.facts.runs_this_build().map_err(|reason| Error::Failed {
            attempted: format!("use the container engine at {}", inner.host),
            reason,
        })?;
        if let Limits::PerContainer { why } = &inner.limits {
            tracing::warn!(
                reason = why,
                "limits are enforced per container: a task's containers together may exceed its size"
            );
        }
        if inner.facts.local
            && let Err(error) = oom::readable()
        {
            tracing::warn!(
                %error,
                "could not read the kernel's log; using the engine's OOM marks, which are less reliable"
            );
        }
        Ok(Self(Arc::new(inner)))
    }
}

impl Inner {
    /// Connects and reads the engine's properties; changes nothing.
    pub(crate) async fn connect(host: &str, instance: Instance) -> Result<Self, Error> {
        let docker = client::connect(host).await?;
        let info = docker.info().await.map_err(failed(host, "read the properties of the engine"))?;
        let facts = Facts::of(&info, host);
        let engine =
            limits::Engine { docker: docker.clone(), host: host.to_owned(), instance: instance.clone() };
        let limits = Limits::choose(&facts, engine);
        Ok(Self {
            docker,
            clock: Clock::system(),
            host: host.to_owned(),
            instance,
            facts,
            limits,
            networks: tokio::sync::Mutex::default(),
            sandbox_image: tokio::sync::Mutex::default(),
            pulls: image::Pulls::default(),
            programs: program::Programs::default(),
            calls: Arc::default(),
            ceiling: OnceLock::new(),
            traces: Mutex::default(),
            cpu_limited: Mutex::default(),
            running: TaskTracker::new(),
        })
    }
}

impl Inner {
    async fn prepare_task(&self, task: &TaskSpec) -> Result<(), Error> {
        self.prepare_cgroup(task).await?;
        for volume in &task.volumes {
            self.create_volume(&task.task_id, volume).await?;
        }
        Ok(())
    }
}

impl Runtime {
    /// Completes a call that creates an object, even if its caller no longer waits. The engine would complete the request
    /// anyway, and the object would be left behind.
    async fn complete<T: Send + 'static>(
        &self,
        attempted: &str,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.running.spawn(call).await.unwrap_or_else(|error| {
            Err(Error::Failed { attempted: attempted.to_owned(), reason: error.to_string() })
        })
    }
}

#[async_trait]
impl super::Runtime for Runtime {
    async fn info(&self) -> Result<Info, Error> {
        self.0.docker.ping().await.map_err(failed(&self.0.host, "ping the engine"))?;
        Ok(Info {
            name: format!("Docker {}", self.0.facts.version),
            cpu_architecture: self.0.facts.cpu_architecture(),
            limits: self.0.limits.name().to_owned(),
        })
    }

    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network, Error> {
        let (inner, spec) = (Arc::clone(&self.0), spec.clone());
        self.complete("create a network", async move { inner.ensure_network(&spec).await }).await
    }

    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, Error> {
        let (inner, spec) = (Arc::clone(&self.0), spec.clone());
        self.complete("create a sandbox", async move { inner.create_sandbox(&spec).await }).await
    }

    async fn set_filter(&self, sandbox_id: &str, filter: &Arc<Filter>) -> Result<(), Error> {
        self.0.set_filter(sandbox_id, filter).await
    }

    fn calls(&self) -> BoxStream<'static, Call> {
        self.0.calls.listen()
    }

    async fn remove_sandbox(&self, sandbox_id: &str) -> Result<(), Error> {
        self.0.programs.forget(sandbox_id);
        let removed = self.0.remove(&self.0.instance.sandbox(sandbox_id)).await;
        // A request during the removal may have connected to it again.
        self.0.programs.forget(sandbox_id);
        removed
    }

    async fn sandbox_runs(&self, sandbox_id: &str) -> Result<bool, Error> {
        self.0.sandbox_runs(sandbox_id).await
    }

    async fn prepare_task(&self, task: &TaskSpec) -> Result<(), Error> {
        let (inner, task) = (Arc::clone(&self.0), task.clone());
        self.complete("prepare a task", async move { inner.prepare_task(&task).await }).await
    }

    async fn release_task(&self, task_id: &str) -> Result<(), Error> {
        let containers = self.0.remove_containers_of(task_id).await;
        let volumes = self.0.remove_volumes(&[(names::TASK, task_id)]).await;
        let cgroup = self.0.release_cgroup(task_id).await;
        let volumes = volumes.into_iter().next().map_or(Ok(()), Err);
        containers.and(volumes).and(cgroup)
    }

    async fn resolve_image(&self, image: &str) -> Result<Image, Error> {
        self.0.resolve_image(image).await
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, Error> {
        let (inner, spec) = (Arc::clone(&self.0), spec.clone());
        self.complete("create a container", async move { inner.create_container(&spec).await }).await
    }

    async fn start_container(&self, container_id: &str) -> Result<(), Error> {
        let (inner, container_id) = (Arc::clone(&self.0), container_id.to_owned());
        self.complete("start a container", async move { inner.start_container(&container_id).await }).await
    }

    async fn limit_cpu(&self, task_id: &str, cpu: u32) -> Result<(), Error> {
        let (inner, task_id) = (Arc::clone(&self.0), task_id.to_owned());
        self.complete("limit the CPU of a task", async move { inner.limit_cpu(&task_id, cpu).await }).await
    }

    async fn stop_container(&self, container_id: &str, timeout: Duration) -> Result<(), Error> {
        self.0.stop_container(container_id, timeout).await
    }

    async fn remove_container(&self, container_id: &str) -> Result<(), Error> {
        self.0.remove_container(container_id).await
    }

    async fn inspect_container(&self, container_id: &str) -> Result<Option<Observed>, Error> {
        self.0.inspect_container(container_id).await
    }

    async fn inventory(&self) -> Result<Inventory, Error> {
        self.0.inventory().await
    }

    async fn exec(&self, container_id: &str, exec: &Exec) -> Result<Session, Error> {
        self.0.exec(container_id, exec).await
    }

    async fn stats(&self, container_id: &str) -> Result<Usage, Error> {
        self.0.stats(container_id).await
    }

    fn events(&self) -> BoxStream<'static, Event> {
        events::watch(Arc::clone(&self.0))
    }

    fn logs(&self, container_id: &str, after: &Cursor) -> BoxStream<'static, Result<Frame, Error>> {
        logs::read(Arc::clone(&self.0), container_id, after)
    }

    async fn remove_everything(&self) -> Result<(), Error> {
        // Objects that are still being created would be left behind.
        self.0.running.close();
        self.0.running.wait().await;
        self.0.running.reopen();
        self.0.programs.forget_all();
        self.0.remove_everything().await
    }
}
