//! What runs the containers: one trait, [`Runtime`], defined completely in this file.
//!
//! An implementation knows containers, networks and cgroups. It knows no ECS state, makes no decision about a
//! task and keeps no state that must survive a restart: [`Runtime::inventory`] reads such state back.
//!
//! ```text
//! create_sandbox ─▶ (claimed by a task, set_filter) ─▶ prepare_task ─▶ resolve_image ─▶ create_container ─▶ start_container
//!                                                                              │ events: started, health, exited
//! remove_sandbox ◀─ release_task ◀─ remove_container ◀─ follow_logs to its end ◀┘
//! ```

pub mod docker;
pub mod faulty;
mod inward;
pub mod kind;
pub mod logs;
mod network;
mod session;
pub mod simulated;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

pub use self::inward::{Call, Inward};
pub use self::network::{
    Allow, Block, Cidr, Filter, Network, NetworkSpec, Protocol, Resolver, Route, Sandbox, SandboxSpec, merged,
};
pub use self::session::{Exec, Input, Session, Size, Usage};
use crate::clock::{Clock, Elapsed, Timestamp};

/// Runs sandboxes and containers of one Neargate instance. Every call may be repeated: it is not an error if an
/// object to create exists already, or if an object to remove does not exist.
#[async_trait]
pub trait Runtime: Send + Sync + Debug + 'static {
    /// The engine and its version. Fails with [`Error::Unreachable`] if no engine responds.
    async fn info(&self) -> Result<Info, Error>;

    /// Creates the network of a VPC, or finds the one that an earlier process of this instance created, or a borrowed
    /// one.
    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network, Error>;

    /// Creates and starts an idle sandbox: a network namespace with the address, routes, filter, resolver and hostname of
    /// its spec. Fails with [`Error::NetworkFull`] if the engine has no address left to assign.
    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, Error>;

    /// Replaces the sandbox's filter with `filter`, atomically; open connections stay open. At most one call at a time
    /// per sandbox.
    async fn set_filter(&self, sandbox_id: &str, filter: &Arc<Filter>) -> Result<(), Error>;

    /// Connections that tasks open to the addresses of [`Inward`], each with its sandbox, from now on. One stream at a
    /// time: a new one ends the earlier one. A connection that no stream receives is closed at once.
    fn calls(&self) -> BoxStream<'static, Call>;

    /// Removes a sandbox and so its address from the network.
    async fn remove_sandbox(&self, sandbox_id: &str) -> Result<(), Error>;

    /// Whether the sandbox runs now; `false` if it does not exist.
    async fn sandbox_runs(&self, sandbox_id: &str) -> Result<bool, Error>;

    /// Creates what the containers of a task share: the cgroup with the task's limits, but for [`Runtime::limit_cpu`], and the
    /// volumes.
    async fn prepare_task(&self, task: &TaskSpec) -> Result<(), Error>;

    /// Removes the task's containers, also those that are not recorded in the task, then what [`Runtime::prepare_task`]
    /// created. If one can't be removed, the rest still is; the first error is returned.
    async fn release_task(&self, task_id: &str) -> Result<(), Error>;

    /// Finds the image on the engine, else pulls it.
    async fn resolve_image(&self, image: &str) -> Result<Image, Error>;

    /// Creates a container joined to the task's sandbox, or finds the one that an earlier call created. Returns its id.
    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, Error>;

    /// Starts a created container. [`Event::Started`] follows from the engine's own event.
    async fn start_container(&self, container_id: &str) -> Result<(), Error>;

    /// Limits the CPU time of all containers of a task together, once one of them has started: the engine prepares a
    /// container inside the task's cgroup, which takes a quarter longer within the limit of a small task. Until then each
    /// container is limited on its own. `cpu` in units.
    async fn limit_cpu(&self, task_id: &str, cpu: u32) -> Result<(), Error>;

    /// Sends the image's STOPSIGNAL, then SIGKILL after `timeout`. Returns when the container has stopped.
    async fn stop_container(&self, container_id: &str, timeout: Duration) -> Result<(), Error>;

    /// Removes a container, running or not, with its log.
    async fn remove_container(&self, container_id: &str) -> Result<(), Error>;

    /// The state of one container now; `None` if it does not exist.
    async fn inspect_container(&self, container_id: &str) -> Result<Option<Observed>, Error>;

    /// Everything of this instance that the runtime holds, for adoption after a restart.
    async fn inventory(&self) -> Result<Inventory, Error>;

    /// Runs one more process in a running container.
    async fn exec(&self, container_id: &str, exec: &Exec) -> Result<Session, Error>;

    /// What a running container uses now.
    async fn stats(&self, container_id: &str) -> Result<Usage, Error>;

    /// Events of this instance's containers and sandboxes from now on. The stream does not end as long as the runtime exists:
    /// it reconnects, and then sends [`Event::Resync`], because events may have been missed.
    fn events(&self) -> BoxStream<'static, Event>;

    /// The container's output in the order in which the engine keeps it, from the frame after `after` on. It ends when
    /// the container has stopped and its output is read. The order of frames is the same on every call.
    /// [`Error::Unreadable`] is an error of the log itself, every other error one of the access to it.
    fn logs(&self, container_id: &str, after: &logs::Cursor) -> BoxStream<'static, Result<Frame, Error>>;

    /// Ends everything that this instance holds on the runtime: containers, sandboxes, volumes, cgroups, networks.
    async fn remove_everything(&self) -> Result<(), Error>;
}

/// A description of the runtime, for `doctor`, `health` and the log.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    /// Engine and version, such as `Docker 20.10.24`.
    pub name: String,
    /// In ECS's spelling: `X86_64` or `ARM64`.
    pub cpu_architecture: String,
    /// How a task's limits are enforced: `cgroupfs`, `systemd` or `per container`.
    pub limits: String,
}

/// What the containers of one task share.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// 32 hexadecimal digits.
    pub task_id: String,
    /// CPU units; 1024 are a vCPU.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// Names of the bind-mount volumes, empty at the start, removed with the task.
    pub volumes: Vec<String>,
    /// All its containers: some runtimes have to know them when they create the task.
    pub containers: Vec<ContainerSpec>,
}

/// A container to create.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    pub task_id: String,
    pub sandbox_id: String,
    /// The name in the task definition.
    pub name: String,
    pub process: Process,
    /// The containers of the task share one PID namespace (`pidMode: task`): the name of the one that holds it,
    /// `None` in that one itself.
    pub share_pid_with: Option<String>,
    /// The task's limits, which are also set on a container without its own, so that a JVM or a Go program adapts its
    /// size to them. In [`TaskSpec`]'s units.
    pub task_cpu: u32,
    pub task_memory: u32,
}

/// What runs in a container, and its settings. What ECS leaves to the image is `None` or empty.
///
/// The JSON of it is part of every stored task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub image: String,
    pub entry_point: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
    /// In order; no name twice.
    pub environment: Vec<(String, String)>,
    pub user: Option<String>,
    pub working_directory: Option<String>,
    pub readonly_root_filesystem: bool,
    pub interactive: bool,
    pub pseudo_terminal: bool,
    pub init_process: bool,
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub ulimits: Vec<Ulimit>,
    pub sysctls: BTreeMap<String, String>,
    #[serde(rename = "docker_labels")]
    pub labels: BTreeMap<String, String>,
    pub health_check: Option<HealthCheck>,
    pub mounts: Vec<Mount>,
    /// Names of containers of the same task whose volumes are mounted too, and whether read-only.
    pub volumes_from: Vec<(String, bool)>,
    /// CPU units reserved for the container: its share of the task when the task is busy. 0 if unset.
    pub cpu: u32,
    /// MiB; the container's own hard limit.
    pub memory: Option<u32>,
    /// MiB; the container's own soft limit.
    pub memory_reservation: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// A container health check. Durations in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `["CMD", …]` or `["CMD-SHELL", line]`.
    pub command: Vec<String>,
    pub interval: u32,
    pub timeout: u32,
    pub retries: u32,
    pub start_period: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// A name in [`TaskSpec::volumes`].
    pub volume: String,
    pub path: String,
    pub read_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:…`, of the manifest if the engine knows it, else of the image.
    pub digest: String,
}

/// An event of a container or a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Started {
        container_id: String,
        at: Timestamp,
    },
    Health {
        container_id: String,
        healthy: bool,
    },
    Exited {
        container_id: String,
        exit: Exit,
    },
    /// A sandbox has stopped or was removed.
    SandboxExited {
        sandbox_id: String,
    },
    /// Events may have been missed: read the state of the containers and sandboxes again.
    Resync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 128 + the signal, if one ended it.
    pub code: i64,
    /// The kernel killed it because it ran out of memory: exit 137 and an OOM count of its own, never only the engine's
    /// mark.
    pub oom_killed: bool,
    pub at: Timestamp,
}

/// One container as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub container_id: String,
    pub task_id: String,
    /// The sandbox that it was created in.
    pub sandbox_id: String,
    pub name: String,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Created,
    Running { since: Timestamp, healthy: Option<bool> },
    Exited { started_at: Option<Timestamp>, exit: Exit },
}

/// One sandbox as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedSandbox {
    pub sandbox_id: String,
    pub running: bool,
}

/// All objects of one instance in the runtime.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    pub containers: Vec<Observed>,
    /// Running or not.
    pub sandboxes: Vec<ObservedSandbox>,
    /// Ids of the tasks that have shared parts (cgroup, volumes).
    pub tasks: Vec<String>,
}

impl Inventory {
    /// Whether the sandbox exists and runs.
    pub fn runs_sandbox(&self, sandbox_id: &str) -> bool {
        self.sandboxes.iter().any(|sandbox| sandbox.sandbox_id == sandbox_id && sandbox.running)
    }
}

/// A piece of output: a line, or a part of a long one that has no newline at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub stream: Stream,
    /// Nanoseconds since the epoch, as the engine stamped it.
    pub timestamp: i64,
    pub bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Why a call of the runtime failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No engine responds: start it, or choose another one with `--docker-host`.
    #[error("no container engine responds at {host}: {reason}")]
    Unreachable { host: String, reason: String },
    /// The image is not on the engine, and the pull failed for good (not found, access denied).
    #[error("{reason}")]
    ImageNotFound { image: String, reason: String },
    /// The image is not on the engine, and its registry could not be reached.
    #[error("{reason}")]
    ImageUnreachable { image: String, reason: String },
    #[error("no free IPv4 block for the VPC's network among {tried}: {reason}")]
    NoFreeNetwork { tried: String, reason: String },
    #[error("the network {network} does not exist: create it first (`kind create cluster` creates kind's)")]
    NoSuchNetwork { network: String },
    /// The engine assigns the addresses of this network, and has none left.
    #[error("the network {network} has no free address")]
    NetworkFull { network: String },
    /// A volume of a task could not be created.
    #[error("{reason}")]
    Volume { name: String, reason: String },
    /// The engine has the container but cannot return its output: the file is damaged or was removed.
    #[error("{reason}")]
    Unreadable { container_id: String, reason: String },
    /// The engine received the request and did not respond in time. It may still perform it.
    #[error("{attempted}: {reason}")]
    NoAnswer { attempted: String, reason: String },
    /// The engine refused or failed; `reason` is its own message.
    #[error("{attempted}: {reason}")]
    Failed { attempted: String, reason: String },
}

/// Returns the result of a call. If it takes longer than `bound`, the call is dropped, and the error is that `attempted` got
/// no response in time.
///
/// # Errors
/// The call's own, or [`Error::Failed`].
pub(crate) async fn within<T>(
    clock: &Clock,
    bound: Duration,
    attempted: impl FnOnce() -> String,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let late = |elapsed: Elapsed| Err(Error::Failed { attempted: attempted(), reason: elapsed.to_string() });
    clock.timeout(bound, call).await.unwrap_or_else(late)
}

impl Error {
    /// Whether the same call may succeed a little later: the engine is unreachable, or did not respond.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NoAnswer { .. })
    }

    /// The engine's own message, without what was attempted.
    pub fn reason(&self) -> String {
        match self {
            Self::NoAnswer { reason, .. } | Self::Failed { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }
}
