//! A sandbox on the engine: a container of the sandbox program, with an address of the VPC's network.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointIpamConfig, EndpointSettings, HealthConfig,
    HostConfig, HostConfigLogConfig, NetworkingConfig,
};

use super::Inner;
use super::client::{failed, status};
use super::names::{SANDBOX, VPC};
use super::sandbox_image;
use super::ulimits::Ceiling;
use crate::runtime::{Error, Sandbox, SandboxSpec};

/// Bytes. The program needs some hundred KiB; the OCI runtime, which prepares the container inside this limit before
/// it becomes the program, about 20 MiB.
const MEMORY: i64 = 64 * 1024 * 1024;

impl Inner {
    pub(super) async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, Error> {
        let name = self.instance.sandbox(&spec.sandbox_id);
        let attempted = || format!("create the sandbox {name}");
        let body = self.sandbox_body(spec);
        match self.create(&name, body.clone()).await {
            Err(error) if status(&error) == Some(404) => {
                // No such image: the first sandbox on this engine, or somebody pruned it.
                self.ensure_sandbox_image().await?;
                self.create(&name, body).await
            }
            other => other,
        }
        .map_err(failed(&self.host, attempted()))?;

        match self.start_sandbox(spec, &name).await {
            Ok(sandbox) => Ok(sandbox),
            Err(error) => {
                // Its address is not free or its network is gone: nothing of it may stay.
                if let Err(left) = self.remove(&name).await {
                    tracing::warn!(sandbox = name, error = %left, "a sandbox that did not start was left behind");
                }
                Err(error)
            }
        }
    }

    async fn start_sandbox(&self, spec: &SandboxSpec, name: &str) -> Result<Sandbox, Error> {
        let attempted = || format!("start the sandbox {name}");
        self.docker.start_container(name, None).await.map_err(failed(&self.host, attempted()))?;
        let inspected =
            self.docker.inspect_container(name, None).await.map_err(failed(&self.host, attempted()))?;
        self.learn_ceiling(&inspected);
        let mac_address = mac_address(&inspected, &self.instance.network(&spec.vpc_id)).ok_or_else(|| {
            Error::Failed { attempted: attempted(), reason: "it has no MAC address".to_owned() }
        })?;
        Ok(Sandbox { sandbox_id: spec.sandbox_id.clone(), mac_address })
    }

    /// Loads the sandbox's image and runs it once without a network. Answers how far ulimits can be raised.
    pub(crate) async fn probe_sandbox(&self) -> Result<Ceiling, Error> {
        let name = self.instance.sandbox("probe");
        let attempted = || format!("run the sandbox {name}");
        self.ensure_sandbox_image().await?;
        let spec = SandboxSpec {
            sandbox_id: "probe".to_owned(),
            vpc_id: "none".to_owned(),
            address: Ipv4Addr::UNSPECIFIED,
            hostname: "probe".to_owned(),
        };
        let mut body = self.sandbox_body(&spec);
        body.networking_config = None;
        if let Some(host_config) = &mut body.host_config {
            host_config.network_mode = Some("none".to_owned());
        }
        self.create(&name, body).await.map_err(failed(&self.host, attempted()))?;
        let started = self.docker.start_container(&name, None).await.map_err(failed(&self.host, attempted()));
        let inspected =
            self.docker.inspect_container(&name, None).await.map_err(failed(&self.host, attempted()));
        if let Ok(inspected) = &inspected {
            // While its process is there to be looked at.
            self.learn_ceiling(inspected);
        }
        self.remove(&name).await?;
        started.and(inspected)?;
        Ok(self.ceiling.get().cloned().unwrap_or_default())
    }

    /// How far a container's ulimits can be raised; read once, of the first sandbox that is looked at.
    fn learn_ceiling(&self, sandbox: &ContainerInspectResponse) {
        let pid = sandbox.state.as_ref().and_then(|state| state.pid).filter(|pid| *pid > 0);
        if let Some(pid) = pid.filter(|_| self.facts.local) {
            self.ceiling.get_or_init(|| {
                let ceiling = Ceiling::above(pid);
                if let Some(most) = ceiling.open_files() {
                    tracing::warn!(most, "the engine can't give containers Fargate's 65535 open files");
                }
                ceiling
            });
        }
    }

    /// The ceiling, from the sandbox of a task where no sandbox was looked at yet (after a restart).
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
        let network = self.instance.network(&spec.vpc_id);
        let endpoint = EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(spec.address.to_string()),
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        };
        ContainerCreateBody {
            image: Some(sandbox_image::reference()),
            hostname: Some(spec.hostname.clone()),
            labels: Some(self.instance.labels(&[(SANDBOX, &spec.sandbox_id), (VPC, &spec.vpc_id)])),
            // PID 1 does not heed a SIGTERM that it does not handle, and has nothing to put in order.
            stop_signal: Some("SIGKILL".to_owned()),
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(network.clone(), endpoint)])),
            }),
            host_config: Some(HostConfig {
                network_mode: Some(network),
                log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(vec!["NET_ADMIN".to_owned()]),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
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

fn mac_address(sandbox: &ContainerInspectResponse, network: &str) -> Option<String> {
    let networks = sandbox.network_settings.as_ref()?.networks.as_ref()?;
    networks.get(network)?.mac_address.clone().filter(|address| !address.is_empty())
}
