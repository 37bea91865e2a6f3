//! The helper of an emulator that may use the engine and is not root: a container of our own program, which does as root what
//! only root may. This grants no new rights: members of the group of the engine's socket can become root through it anyway.
//!
//! ```text
//! systemd    bytes, between its standard streams and the system bus, which sees uid 0
//! cgroupfs   one line per change of a cgroup, and one line per response
//! ```
//!
//! A helper lives as long as the attach connection through which it is used. When that ends, also after a kill -9, the engine
//! closes the helper's input, the helper exits, and the engine removes it. It is created when it is first needed, and again
//! after it was lost. If the engine died and so could not remove it, it is found by its label and replaced.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, MountType,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptions,
};
use futures::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, MutexGuard};

use super::super::client::{reason, status, unless};
use super::super::names::{CONTAINER, HELPER, Instance};
use super::super::sandbox_image;
use super::attempted;

/// How long the start of one may take: three requests to an engine that may be very busy. Together with the time of a call
/// it is less than what the preparation of a task may take.
const START_TIMEOUT: Duration = Duration::from_secs(100);

/// How long the removal of one that did not start may take. If it takes longer, the next start or `neargate clean` removes it.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes. The program needs some hundred KiB; the OCI runtime, which prepares the container inside this limit, about 20 MiB.
const MEMORY: i64 = 64 * 1024 * 1024;

/// Where the hierarchies of the engine's machine are in the helper (`cgroups.rs` of the program).
const HOST: &str = "/host";

/// The engine that runs helpers, and the instance that they work for.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) docker: Docker,
    /// As in `--docker-host`.
    pub(crate) host: String,
    pub(crate) instance: Instance,
}

#[derive(Debug)]
pub(super) struct Helper {
    engine: Engine,
    arguments: Vec<String>,
    capabilities: &'static [&'static str],
    /// Paths on the engine's machine, and in the container.
    mounts: Vec<(PathBuf, PathBuf)>,
}

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

impl Helper {
    /// One that forwards what is written to it to the bus at this socket.
    pub(super) fn of_bus(engine: Engine, socket: &Path) -> Self {
        let arguments = vec!["bus".to_owned(), socket.display().to_string()];
        Self { engine, arguments, capabilities: &[], mounts: vec![(socket.to_owned(), socket.to_owned())] }
    }

    /// One that changes what is below `neargate/INSTANCE` in these hierarchies.
    pub(super) fn of_cgroups(engine: Engine, hierarchies: &[PathBuf]) -> Self {
        let mut arguments = vec!["cgroups".to_owned(), engine.instance.id.clone()];
        arguments.extend(hierarchies.iter().map(|hierarchy| hierarchy.display().to_string()));
        let inside = |path: &PathBuf| PathBuf::from(format!("{HOST}{}", path.display()));
        let mounts = hierarchies.iter().map(|hierarchy| (hierarchy.clone(), inside(hierarchy))).collect();
        // In a hierarchy's root not even its owner has the permission to create a directory.
        Self { engine, arguments, capabilities: &["DAC_OVERRIDE"], mounts }
    }

    /// Starts one, in place of any that exists, and returns the stream that its program reads and writes. It ends when the
    /// stream is closed, or when the caller does not wait for it any longer.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] if the engine or the program answered with an error,
    /// [`io::ErrorKind::NotConnected`] if there was no answer. An engine that restarts may run one a moment later.
    pub(super) async fn start(self: &Arc<Self>) -> io::Result<UnixStream> {
        let helper = Arc::clone(self);
        // Not by the caller, who may be dropped between two of the requests.
        let started = tokio::spawn(async move {
            let started = tokio::time::timeout(START_TIMEOUT, helper.make()).await;
            let late =
                || no_answer(format!("the engine did not start it within {} s", START_TIMEOUT.as_secs()));
            let started = started.unwrap_or_else(|_| Err(late()));
            if started.is_err() {
                let _ = tokio::time::timeout(REMOVE_TIMEOUT, helper.remove_left()).await;
            }
            started
        });
        let started = started.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        started.map_err(attempted("cannot run a helper container"))
    }

    async fn make(&self) -> io::Result<UnixStream> {
        self.remove_left().await?;
        let docker = &self.engine.docker;
        let id = match self.create().await {
            Err(error) if status(&error) == Some(404) => {
                // Most often the image is missing.
                let loaded = sandbox_image::ensure(docker, &self.engine.host).await;
                loaded.map_err(|error| {
                    if error.may_pass() { no_answer(error.to_string()) } else { refused(error.to_string()) }
                })?;
                self.create().await
            }
            created => created,
        }
        .map_err(|error| failed(&error))?;
        // Before its start, so that none of its output is missed.
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).build();
        let attached = docker.attach_container(&id, Some(options)).await.map_err(|error| failed(&error))?;
        let AttachContainerResults { mut output, input } = attached;
        docker.start_container(&id, None).await.map_err(|error| failed(&error))?;
        let first = wait_until_ready(&mut output).await?;
        let (ours, theirs) = UnixStream::pair()?;
        tokio::spawn(carry(theirs, first, output, input));
        Ok(ours)
    }

    /// Removes those that ended together with their engine, or whose connection was lost.
    async fn remove_left(&self) -> io::Result<()> {
        let Engine { docker, instance, .. } = &self.engine;
        let mut filters = instance.filters(&[]);
        filters.entry("label".to_owned()).or_default().push(HELPER.to_owned());
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = docker.list_containers(Some(options)).await.map_err(|error| failed(&error))?;
        // A task's container may have any other label, of its definition or its image.
        let of_task = |labels: &HashMap<String, String>| labels.contains_key(CONTAINER);
        let left = listed.into_iter().filter(|container| !container.labels.as_ref().is_some_and(of_task));
        for id in left.filter_map(|container| container.id) {
            let force = RemoveContainerOptions { force: true, v: true, link: false };
            // 409: the engine is already removing it.
            unless(docker.remove_container(&id, Some(force)).await, &[404, 409])
                .map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    async fn create(&self) -> Result<String, bollard::errors::Error> {
        // A new name each time: that of the previous helper may be in use a little longer.
        let name = self.engine.instance.helper(&uuid::Uuid::new_v4().simple().to_string());
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        Ok(self.engine.docker.create_container(Some(options), self.body()).await?.id)
    }

    fn body(&self) -> ContainerCreateBody {
        let mount = |(source, target): &(PathBuf, PathBuf)| Mount {
            typ: Some(MountType::BIND),
            source: Some(source.display().to_string()),
            target: Some(target.display().to_string()),
            ..Mount::default()
        };
        // AppArmor's profile for containers forbids D-Bus and writing to cgroups, and so does SELinux's type.
        let security = ["no-new-privileges", "apparmor=unconfined", "label=disable"];
        ContainerCreateBody {
            image: Some(sandbox_image::reference()),
            cmd: Some(self.arguments.clone()),
            user: Some("0:0".to_owned()),
            labels: Some(self.engine.instance.labels(&[(HELPER, "limits")])),
            open_stdin: Some(true),
            // Its input ends when our attach connection does.
            stdin_once: Some(true),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            stop_signal: Some("SIGKILL".to_owned()),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                mounts: Some(self.mounts.iter().map(mount).collect()),
                // If the engine remaps users: the root that owns the cgroups and that the bus accepts.
                userns_mode: Some("host".to_owned()),
                // The kernel forbids writes to files above a cgroup namespace's root.
                cgroupns_mode: Some(HostConfigCgroupnsModeEnum::HOST),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(self.capabilities.iter().map(|name| (*name).to_owned()).collect()),
                security_opt: Some(security.map(str::to_owned).to_vec()),
                readonly_rootfs: Some(true),
                ipc_mode: Some("none".to_owned()),
                init: Some(false),
                auto_remove: Some(true),
                memory: Some(MEMORY),
                memory_swap: Some(MEMORY),
                pids_limit: Some(64),
                log_config: Some(HostConfigLogConfig {
                    typ: Some("none".to_owned()),
                    config: Some(HashMap::new()),
                }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}

/// The turn to use the connection to a helper, once those before have theirs. The first of them may have to start it.
pub(super) async fn turn<T>(connection: &Mutex<T>) -> io::Result<MutexGuard<'_, T>> {
    let turn = tokio::time::timeout(START_TIMEOUT, connection.lock()).await;
    turn.map_err(|_| {
        let seconds = START_TIMEOUT.as_secs();
        io::Error::new(io::ErrorKind::TimedOut, format!("the helper container was busy for {seconds} s"))
    })
}

/// Waits for the program's first line, and returns the bytes that it has written after it.
async fn wait_until_ready(output: &mut Output) -> io::Result<Vec<u8>> {
    let mut received = Vec::new();
    loop {
        if let Some(end) = received.iter().position(|byte| *byte == b'\n') {
            let rest = received.split_off(end + 1);
            let line = String::from_utf8_lossy(&received);
            return match line.trim().strip_prefix("failed ") {
                None => Ok(rest),
                Some(reason) => Err(refused(format!("its program failed: {reason}"))),
            };
        }
        let ended = || refused("its program ended before it was ready".to_owned());
        let output = output.next().await.ok_or_else(ended)?;
        received.extend(output.map_err(|error| failed(&error))?.into_bytes());
    }
}

fn failed(error: &bollard::errors::Error) -> io::Error {
    if status(error).is_some() { refused(reason(error)) } else { no_answer(reason(error)) }
}

fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, reason)
}

fn no_answer(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, reason)
}

/// Copies in both directions until one of them has ended.
async fn carry(stream: UnixStream, first: Vec<u8>, mut output: Output, mut input: Input) {
    let (mut read, mut write) = stream.into_split();
    let outward = async {
        write.write_all(&first).await?;
        while let Some(Ok(output)) = output.next().await {
            write.write_all(&output.into_bytes()).await?;
        }
        Ok::<_, io::Error>(())
    };
    let inward = async { tokio::io::copy(&mut read, &mut input).await };
    // No error here: the users of the stream see its end, and report which request failed.
    tokio::select! {
        _ = outward => {}
        _ = inward => {}
    }
}
