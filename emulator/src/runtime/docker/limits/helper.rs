//! The helper of an emulator that may use the engine and is not root: a container of our own program, which does as root what
//! only root may. Members of the group of the engine's socket can be root by it anyway: nothing is opened by this.
//!
//! ```text
//! systemd    bytes, between its standard streams and the system bus, which sees uid 0
//! cgroupfs   a line a change of a cgroup, and one that answers it
//! ```
//!
//! A helper lives as long as the attach that it is used by: the engine ends its input with that, then it exits, and the engine
//! removes it, also after a kill -9. It is made at the first need, and again where it was lost. One that an engine which
//! died could not remove is found by its label and replaced.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
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

use super::super::client::{reason, status, unless};
use super::super::names::{HELPER, Instance};
use super::super::sandbox_image;

/// What making one may take: three requests of an engine that may be very busy. With what a call takes it stays below what
/// preparing a task may take.
const MAKING: Duration = Duration::from_secs(100);

/// Bytes. The program needs some hundred KiB; the OCI runtime, which prepares the container inside this limit, about 20 MiB.
const MEMORY: i64 = 64 * 1024 * 1024;

/// Where the hierarchies of the engine's machine are in the helper (`cgroups.rs` of the program).
const HOST: &str = "/host";

/// The engine that runs helpers, and for whom.
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
    /// Of the engine's machine, and where they are in the container.
    mounts: Vec<(PathBuf, PathBuf)>,
}

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

impl Helper {
    /// One that hands on what is written to it to the bus at this socket.
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
        // A hierarchy's root lets even its owner make nothing in it.
        Self { engine, arguments, capabilities: &["DAC_OVERRIDE"], mounts }
    }

    /// Makes one, in place of any that there is, and returns what its program reads and writes. It ends with that.
    pub(super) async fn start(&self) -> io::Result<UnixStream> {
        let started = tokio::time::timeout(MAKING, self.make()).await;
        let late = || Err(format!("the engine did not start it within {} s", MAKING.as_secs()));
        started
            .unwrap_or_else(|_| late())
            .map_err(|reason| io::Error::other(format!("cannot run a helper container: {reason}")))
    }

    async fn make(&self) -> Result<UnixStream, String> {
        self.remove_left().await?;
        let docker = &self.engine.docker;
        let id = match self.create().await {
            Err(error) if status(&error) == Some(404) => {
                // No such image, most often.
                let loaded = sandbox_image::ensure(docker, &self.engine.host).await;
                loaded.map_err(|error| error.to_string())?;
                self.create().await
            }
            created => created,
        }
        .map_err(|error| reason(&error))?;
        // Before its start, so that nothing it says is missed.
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).build();
        let attached = docker.attach_container(&id, Some(options)).await.map_err(|error| reason(&error))?;
        let AttachContainerResults { mut output, input } = attached;
        docker.start_container(&id, None).await.map_err(|error| reason(&error))?;
        let first = greeted(&mut output).await?;
        let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        tokio::spawn(carry(theirs, first, output, input));
        Ok(ours)
    }

    /// Those that died with their engine, or that this process has lost.
    async fn remove_left(&self) -> Result<(), String> {
        let Engine { docker, instance, .. } = &self.engine;
        let mut filters = instance.filters(&[]);
        filters.entry("label".to_owned()).or_default().push(HELPER.to_owned());
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = docker.list_containers(Some(options)).await.map_err(|error| reason(&error))?;
        for id in listed.into_iter().filter_map(|container| container.id) {
            let force = RemoveContainerOptions { force: true, v: true, link: false };
            // 409: the engine does it already.
            unless(docker.remove_container(&id, Some(force)).await, &[404, 409])
                .map_err(|error| reason(&error))?;
        }
        Ok(())
    }

    async fn create(&self) -> Result<String, bollard::errors::Error> {
        // A name of its own: that of the one before may be in use a moment longer.
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
        // AppArmor's profile for containers forbids D-Bus and writing to cgroups, as SELinux's type does.
        let security = ["no-new-privileges", "apparmor=unconfined", "label=disable"];
        ContainerCreateBody {
            image: Some(sandbox_image::reference()),
            cmd: Some(self.arguments.clone()),
            user: Some("0:0".to_owned()),
            labels: Some(self.engine.instance.labels(&[(HELPER, "limits")])),
            open_stdin: Some(true),
            // Its input ends with our attach.
            stdin_once: Some(true),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            stop_signal: Some("SIGKILL".to_owned()),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                mounts: Some(self.mounts.iter().map(mount).collect()),
                // The root that owns the cgroups, and that the bus knows, where the engine remaps users.
                userns_mode: Some("host".to_owned()),
                // The kernel lets no file be written that lies above a namespace's root.
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

/// Waits for the program's first line, and returns what it has said after it.
async fn greeted(output: &mut Output) -> Result<Vec<u8>, String> {
    let mut said = Vec::new();
    loop {
        if let Some(end) = said.iter().position(|byte| *byte == b'\n') {
            let rest = said.split_off(end + 1);
            let line = String::from_utf8_lossy(&said);
            return match line.trim().strip_prefix("failed ") {
                None => Ok(rest),
                Some(reason) => Err(format!("its program failed: {reason}")),
            };
        }
        let output = output.next().await.ok_or("its program ended before it was ready")?;
        said.extend(output.map_err(|error| reason(&error))?.into_bytes());
    }
}

/// Carries both ways until one has ended.
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
    // Its users see the end of the stream, and say what was lost by it.
    tokio::select! {
        _ = outward => {}
        _ = inward => {}
    }
}
