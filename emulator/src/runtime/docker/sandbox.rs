//! A sandbox on the engine: a container of the sandbox program, with an address of the VPC's network. Routes and the filter,
//! which the engine cannot set, are set inside by the program.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bollard::errors::Error as DockerError;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointIpamConfig, EndpointSettings, HealthConfig,
    HostConfig, HostConfigLogConfig, NetworkingConfig,
};
use serde_json::json;

use super::client::{failed, reason, status, unless};
use super::facts::Facts;
use super::names::{PROTOCOL, SANDBOX};
use super::program::{Program, line};
use super::ulimits::Ceiling;
use super::{Inner, netlink, sandbox_image};
use crate::runtime::{Error, Filter, Resolver, Sandbox, SandboxSpec};

/// Bytes. The program needs some hundred KiB, and some ten MiB while it sets a filter of many addresses, which the kernel
/// also counts here. The OCI runtime, which prepares the container within this limit before the program starts, needs about
/// 20 MiB.
const MEMORY: i64 = 128 * 1024 * 1024;

/// For netlink; for the sockets of AF_XDP; and for the memory that these pin, which may exceed the user's limit.
const CAPABILITIES: [&str; 3] = ["NET_ADMIN", "NET_RAW", "IPC_LOCK"];

/// `CLONE_NEWUSER` and `ENOSYS` of Linux's headers.
const CLONE_NEWUSER: u64 = 0x1000_0000;
const ENOSYS: u32 = 38;

/// System calls that a sandbox's program has no use for and that its capabilities could make dangerous. The engine's own
/// profile allows some 350 system calls by name, which runc compiles for 30 ms at each start: a sandbox runs no program of a
/// user, so it does without.
const FORBIDDEN: &[&str] = &[
    "acct",
    "add_key",
    "bpf",
    "clock_adjtime",
    "clock_settime",
    "create_module",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "mount_setattr",
    "init_module",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "move_mount",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "personality",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
    "vhangup",
];

/// Without a profile of its own on an engine whose kernel has no seccomp, which refuses any.
fn security_options(facts: &Facts) -> Vec<String> {
    let new_namespace =
        |mask: u64| json!({"index": 0, "value": mask, "valueTwo": mask, "op": "SCMP_CMP_MASKED_EQ"});
    let errno = |names: &[&str]| json!({"names": names, "action": "SCMP_ACT_ERRNO"});
    let user_namespace =
        json!({"names": ["clone"], "action": "SCMP_ACT_ERRNO", "args": [new_namespace(CLONE_NEWUSER)]});
    // Programs then use clone, whose flags can be checked.
    let clone3 = json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS});
    let denied = [errno(FORBIDDEN), user_namespace, clone3];
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": denied});
    let profile = facts.seccomp.then(|| format!("seccomp={profile}"));
    std::iter::once("no-new-privileges".to_owned()).chain(profile).collect()
}

/// The capabilities of a sandbox on this engine.
#[derive(Debug)]
pub(crate) struct Probe {
    /// How far ulimits can be raised.
    pub(crate) ceiling: Ceiling,
    /// Whether a filter also applies to raw sockets; the error is the reason why not.
    pub(crate) guarded: Result<(), String>,
}

/// Sets the routes and the filter inside.
async fn wire(program: &Program, spec: &SandboxSpec) -> Result<(), Error> {
    let batches = [netlink::routes(&spec.routes), program.filter(&spec.filter)];
    let batches: Vec<_> = batches.into_iter().filter(|batch| !batch.is_empty()).collect();
    program.instruct("set the routes and the filter", &batches).await
}

impl Inner {
    pub(super) async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, Error> {
        let name = self.instance.sandbox(&spec.sandbox_id);
        let attempted = || format!("create the sandbox {name}");
        let body = self.sandbox_body(spec);
        match self.create(&name, body.clone()).await {
            Err(error) if status(&error) == Some(404) => {
                // The image is missing: this is the first sandbox on this engine, or the image was pruned.
                self.ensure_sandbox_image().await?;
                self.create(&name, body).await
            }
            other => other,
        }
        .map_err(failed(&self.host, attempted()))?;

        match self.start_sandbox(spec, &name).await {
            Ok(sandbox) => Ok(sandbox),
            Err(error) => {
                // Its address is not free or its network was removed: remove it completely.
                self.programs.forget(&spec.sandbox_id);
                if let Err(left) = self.remove(&name).await {
                    tracing::warn!(sandbox = name, error = %left, "could not remove a sandbox that failed to start; the next comparison removes it");
                }
                Err(error)
            }
        }
    }

    async fn start_sandbox(&self, spec: &SandboxSpec, name: &str) -> Result<Sandbox, Error> {
        let attempted = || format!("start the sandbox {name}");
        self.docker.start_container(name, None).await.map_err(|error| match full(&error) {
            true => Error::NetworkFull { network: spec.network.clone() },
            false => failed(&self.host, attempted())(error),
        })?;
        let (program, inspected) = self.new_program(&spec.sandbox_id).await?;
        self.learn_ceiling(&inspected);
        wire(&program, spec).await?;
        let (address, mac_address) = interface(&inspected, &spec.network).ok_or_else(|| Error::Failed {
            attempted: attempted(),
            reason: format!("it has no address on the network {}", spec.network),
        })?;
        Ok(Sandbox { sandbox_id: spec.sandbox_id.clone(), address, mac_address })
    }

    pub(super) async fn set_filter(&self, sandbox_id: &str, filter: &Filter) -> Result<(), Error> {
        let program = self.program(sandbox_id).await?;
        program.instruct("set the filter", &[program.filter(filter)]).await
    }

    pub(super) async fn sandbox_runs(&self, sandbox_id: &str) -> Result<bool, Error> {
        let name = self.instance.sandbox(sandbox_id);
        let inspected = unless(self.docker.inspect_container(&name, None).await, &[404]);
        let inspected = inspected.map_err(failed(&self.host, format!("inspect the sandbox {name}")))?;
        Ok(inspected.and_then(|sandbox| sandbox.state?.running).unwrap_or(false))
    }

    /// Loads the sandbox's image and runs it once without a network, its filter set.
    pub(crate) async fn probe_sandbox(&self) -> Result<Probe, Error> {
        let name = self.instance.sandbox("probe");
        let attempted = || format!("run the sandbox {name}");
        self.ensure_sandbox_image().await?;
        let spec = SandboxSpec {
            sandbox_id: "probe".to_owned(),
            network: "none".to_owned(),
            address: None,
            hostname: None,
            resolver: Resolver::default(),
            routes: Vec::new(),
            filter: Arc::new(Filter::open()),
        };
        self.create(&name, self.sandbox_body(&spec)).await.map_err(failed(&self.host, attempted()))?;
        let probed = self.probe(&spec, &name).await;
        self.programs.forget(&spec.sandbox_id);
        self.remove(&name).await?;
        probed
    }

    async fn probe(&self, spec: &SandboxSpec, name: &str) -> Result<Probe, Error> {
        let started = self.docker.start_container(name, None).await;
        started.map_err(failed(&self.host, format!("run the sandbox {name}")))?;
        let (program, inspected) = self.new_program(&spec.sandbox_id).await?;
        // Now, while its process runs.
        self.learn_ceiling(&inspected);
        wire(&program, spec).await?;
        let ceiling = self.ceiling.get().cloned().unwrap_or_default();
        Ok(Probe { ceiling, guarded: program.try_guard().await })
    }

    /// How far a container's ulimits can be raised; read once, from the first sandbox that is inspected.
    fn learn_ceiling(&self, sandbox: &ContainerInspectResponse) {
        let pid = sandbox.state.as_ref().and_then(|state| state.pid).filter(|pid| *pid > 0);
        if let Some(pid) = pid.filter(|_| self.facts.local) {
            self.ceiling.get_or_init(|| {
                let ceiling = Ceiling::above(pid);
                if let Some(most) = ceiling.open_files() {
                    tracing::warn!(
                        most,
                        "the engine limits the open files of containers to less than Fargate's 65535"
                    );
                }
                ceiling
            });
        }
    }

    /// The ceiling, read from the sandbox of a task if no sandbox was inspected yet (after a restart).
    pub(super) async fn ceiling(&self, sandbox_id: &str) -> Ceiling {
        if self.ceiling.get().is_none()
            && let Ok(inspected) =
                self.docker.inspect_container(&self.instance.sandbox(sandbox_id), None).await
        {
            self.learn_ceiling(&inspected);
        }
        self.ceiling.get().cloned().unwrap_or_default()
    }

    fn sandbox_body(&self, spec: &SandboxSpec) -> ContainerCreateBody {
        let endpoint = spec.address.map(|address| EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(address.to_string()),
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        });
        let Resolver { name_servers, search_domains } = &spec.resolver;
        ContainerCreateBody {
            image: Some(sandbox_image::reference()),
            hostname: spec.hostname.clone(),
            labels: Some(self.instance.labels(&[(SANDBOX, &spec.sandbox_id), (PROTOCOL, line::PROTOCOL)])),
            // For its requests, over any number of attach connections.
            open_stdin: Some(true),
            stdin_once: Some(false),
            // PID 1 ignores a SIGTERM that it does not handle, and the program has nothing to clean up.
            stop_signal: Some("SIGKILL".to_owned()),
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            networking_config: endpoint.map(|endpoint| NetworkingConfig {
                endpoints_config: Some(HashMap::from([(spec.network.clone(), endpoint)])),
            }),
            host_config: Some(HostConfig {
                network_mode: Some(spec.network.clone()),
                dns: Some(name_servers.iter().map(Ipv4Addr::to_string).collect()),
                dns_search: Some(search_domains.clone()),
                log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
                security_opt: Some(security_options(&self.facts)),
                readonly_rootfs: Some(true),
                // No /dev/shm to mount.
                ipc_mode: Some("none".to_owned()),
                init: Some(false),
                memory: Some(MEMORY),
                memory_swap: Some(MEMORY),
                pids_limit: Some(64),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}

/// The address and the MAC address of the sandbox on the network.
fn interface(sandbox: &ContainerInspectResponse, network: &str) -> Option<(Ipv4Addr, String)> {
    let endpoint = sandbox.network_settings.as_ref()?.networks.as_ref()?.get(network)?;
    let mac_address = endpoint.mac_address.clone().filter(|address| !address.is_empty())?;
    Some((endpoint.ip_address.as_deref()?.parse().ok()?, mac_address))
}

/// Whether the engine has no address left to assign (libnetwork `ipamapi.ErrNoAvailableIPs`).
fn full(error: &DockerError) -> bool {
    let reason = reason(error);
    reason.contains("no available IPv4 addresses") || reason.contains("no available addresses")
}
