//! Reads from the containers of a kind cluster the values from which a VPC around it is derived. It changes nothing.
//!
//! Nodes are the containers with kind's labels. The cluster's network ranges are in the configuration that kind wrote for
//! kubeadm, `/kind/kubeadm.conf` on each node. No kubectl, no kubeconfig.

use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;
use std::net::Ipv4Addr;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, NetworkInspect};
use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder};
use futures::TryStreamExt as _;
use serde::Deserialize as _;

use super::client::{self, failed, unless};
use super::names;
use crate::runtime::kind::{Cluster, Networking};
use crate::runtime::{self, Cidr};

const CLUSTER: &str = "io.x-k8s.kind.cluster";
const ROLE: &str = "io.x-k8s.kind.role";
const KUBEADM: &str = "/kind/kubeadm.conf";

/// If a node is on several networks, this one is kind's, unless `KIND_EXPERIMENTAL_DOCKER_NETWORK` was set.
const NETWORK: &str = "kind";

/// Why no VPC can be derived; each message contains what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}; run `neargate doctor` to find out how to fix it")]
    Engine(#[source] runtime::Error),
    #[error(
        "the container engine at {host} is on another machine, and a kind network can only be reached from that machine: \
         run neargate there"
    )]
    Remote { host: String },
    #[error("there is no kind cluster {name:?} at {host}: {}", others(.known))]
    Unknown { name: String, host: String, known: BTreeSet<String> },
    #[error(
        "the node {node} of the kind cluster {name:?} is not running: start it with `docker start {node}`"
    )]
    Stopped { name: String, node: String },
    #[error("the kind cluster {name:?} can't be a VPC: {reason}")]
    Unfit { name: String, reason: String },
}

fn others(known: &BTreeSet<String>) -> String {
    if known.is_empty() {
        return "there is none; create one with `kind create cluster`".to_owned();
    }
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    format!("there is {}", names.join(", "))
}

/// Reads the cluster `name` from the engine.
///
/// # Errors
/// No engine, no such cluster, a node that is not running, or a cluster without IPv4.
pub async fn find(docker_host: Option<&str>, name: &str) -> Result<Cluster, Error> {
    let host = client::host(docker_host);
    if !on_this_machine(&host) {
        return Err(Error::Remote { host });
    }
    let docker = client::connect(&host).await.map_err(Error::Engine)?;
    let engine = Engine { docker, host };
    let nodes = engine.nodes(name).await?;
    let unfit = |reason: String| Error::Unfit { name: name.to_owned(), reason };

    let mut addresses = Vec::new();
    let (first, network) = match nodes.first() {
        Some(first) if first.is_control_plane => (first, first.network().map_err(unfit)?),
        _ => return Err(unfit("it has no control-plane node".to_owned())),
    };
    for node in &nodes {
        addresses.push(node.address(network).map_err(unfit)?);
    }
    let (cidr, gateway) = engine.block(network).await?.map_err(unfit)?;
    let networking = networking(&engine.file(&first.name, KUBEADM).await?).map_err(unfit)?;
    Ok(Cluster { network: network.to_owned(), cidr, gateway, nodes: addresses, networking })
}

/// A socket, or a port of this machine.
fn on_this_machine(host: &str) -> bool {
    let Some((_, address)) = host.split_once("://").filter(|(scheme, _)| *scheme != "unix") else {
        return true;
    };
    let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
    name == "localhost"
        || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

struct Engine {
    docker: Docker,
    host: String,
}

/// A container that is a node.
struct Node {
    name: String,
    is_control_plane: bool,
    inspected: ContainerInspectResponse,
}

impl Engine {
    fn failed(&self, attempted: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Error {
        let failed = failed(&self.host, attempted);
        move |error| Error::Engine(failed(error))
    }

    /// Control planes first. The load balancer that kind creates for several control planes is not a node. Neither are
    /// containers of Neargate: a task may have any label.
    async fn nodes(&self, cluster: &str) -> Result<Vec<Node>, Error> {
        let filters = HashMap::from([("label", vec![CLUSTER])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = self.docker.list_containers(Some(options)).await;
        let containers = containers.map_err(self.failed("list the kind clusters"))?;

        let mut known = BTreeSet::new();
        let mut nodes = Vec::new();
        for container in containers {
            let labels = container.labels.unwrap_or_default();
            if labels.contains_key(names::INSTANCE) {
                continue;
            }
            let role = labels.get(ROLE).map(String::as_str).unwrap_or_default();
            known.extend(labels.get(CLUSTER).cloned());
            if labels.get(CLUSTER).is_none_or(|of| of != cluster)
                || !matches!(role, "control-plane" | "worker")
            {
                continue;
            }
            let name = container.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
            let name = name.trim_start_matches('/').to_owned();
            let inspected = self.docker.inspect_container(&name, None).await;
            let inspected = inspected.map_err(self.failed(format!("inspect the node {name}")))?;
            let running = inspected.state.as_ref().and_then(|state| state.running).unwrap_or_default();
            if !running {
                return Err(Error::Stopped { name: cluster.to_owned(), node: name });
            }
            nodes.push(Node { name, is_control_plane: role == "control-plane", inspected });
        }
        if nodes.is_empty() {
            known.remove(cluster);
            return Err(Error::Unknown { name: cluster.to_owned(), host: self.host.clone(), known });
        }
        nodes.sort_by(|a, b| (!a.is_control_plane, &a.name).cmp(&(!b.is_control_plane, &b.name)));
        Ok(nodes)
    }

    async fn block(&self, network: &str) -> Result<Result<(Cidr, Ipv4Addr), String>, Error> {
        let inspected = self.docker.inspect_network(network, None).await;
        let inspected = inspected.map_err(self.failed(format!("inspect the network {network}")))?;
        Ok(block(&inspected).ok_or_else(|| format!("its network {network} has no IPv4 block")))
    }

    /// One file of a container, as text. The engine returns it as a tar archive.
    async fn file(&self, container: &str, path: &str) -> Result<String, Error> {
        let attempted = format!("read {path} of the node {container}");
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let chunks =
            self.docker.download_from_container(container, Some(options)).try_collect::<Vec<_>>().await;
        let chunks = unless(chunks, &[404]).map_err(self.failed(&attempted))?;
        let broken =
            |reason: String| Error::Engine(runtime::Error::Failed { attempted: attempted.clone(), reason });
        let archive = chunks
            .ok_or_else(|| broken("the file does not exist: is this a node of a kind cluster?".to_owned()))?;
        first_file(&archive.concat()).map_err(|error| broken(error.to_string()))
    }
}

impl Node {
    /// kind's network among those that the node is on.
    fn network(&self) -> Result<&str, String> {
        let networks =
            self.inspected.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        let names: BTreeSet<&str> = networks.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        match names.iter().next() {
            _ if names.contains(NETWORK) => Ok(NETWORK),
            Some(only) if names.len() == 1 => Ok(only),
            Some(_) => Err(format!("its node {} is on several networks, none of them {NETWORK}", self.name)),
            None => Err(format!("its node {} is on no network", self.name)),
        }
    }

    fn address(&self, network: &str) -> Result<Ipv4Addr, String> {
        let settings = self.inspected.network_settings.as_ref();
        let endpoint = settings.and_then(|settings| settings.networks.as_ref()?.get(network));
        endpoint
            .and_then(|endpoint| endpoint.ip_address.as_ref()?.parse().ok())
            .ok_or_else(|| format!("its node {} has no IPv4 address on the network {network}", self.name))
    }
}

/// The network's IPv4 block and its gateway: the block's first address if the network was created without one.
fn block(network: &NetworkInspect) -> Option<(Cidr, Ipv4Addr)> {
    let configs = network.ipam.as_ref()?.config.as_deref()?;
    configs.iter().find_map(|config| {
        let cidr: Cidr = config.subnet.as_deref()?.parse().ok()?;
        let gateway = config.gateway.as_deref().and_then(|gateway| gateway.parse().ok());
        Some((cidr, gateway.unwrap_or_else(|| Ipv4Addr::from(u32::from(cidr.base).saturating_add(1)))))
    })
}

fn first_file(archive: &[u8]) -> std::io::Result<String> {
    let mut text = String::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            entry.read_to_string(&mut text)?;
            return Ok(text);
        }
    }
    Err(std::io::Error::other("the engine returned no file"))
}

/// Reads the ClusterConfiguration among the documents of a `kubeadm.conf`.
///
/// Of a dual-stack cluster's ranges the IPv4 one is used. It must be the services' first range, because CoreDNS's address
/// is in that one (kubeadm `GetDNSIP`).
fn networking(kubeadm: &str) -> Result<Networking, String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        #[serde(default)]
        kind: String,
        networking: Option<Written>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Written {
        service_subnet: Option<String>,
        pod_subnet: Option<String>,
        dns_domain: Option<String>,
    }

    let mut found = None;
    for document in serde_yaml_ng::Deserializer::from_str(kubeadm) {
        let document =
            Option::<Document>::deserialize(document).map_err(|error| format!("{KUBEADM}: {error}"))?;
        found = found.or_else(|| document.filter(|document| document.kind == "ClusterConfiguration"));
    }
    let written = found
        .and_then(|document| document.networking)
        .ok_or_else(|| format!("its {KUBEADM} has no ClusterConfiguration with networking"))?;
    let service_range = written.service_subnet.as_deref().unwrap_or(kubeadm::SERVICE_SUBNET);
    let pod_range = written.pod_subnet.unwrap_or_default();
    let ipv4 = |range: &str| range.trim().parse::<Cidr>().ok();
    Ok(Networking {
        service_range: service_range.split(',').next().and_then(ipv4).ok_or_else(|| {
            format!(
                "its services are at {service_range:?}, and tasks have IPv4: create it with ipFamily ipv4"
            )
        })?,
        pod_range: pod_range.split(',').find_map(ipv4).ok_or_else(|| {
            format!("its pods are at {pod_range:?}, and tasks have IPv4: create it with ipFamily ipv4")
        })?,
        dns_domain: written.dns_domain.unwrap_or_else(|| kubeadm::DNS_DOMAIN.to_owned()),
    })
}

/// kubeadm's defaults (kubernetes: cmd/kubeadm/app/apis/kubeadm/v1beta3/defaults.go).
mod kubeadm {
    pub(super) const SERVICE_SUBNET: &str = "10.96.0.0/12";
    pub(super) const DNS_DOMAIN: &str = "cluster.local";
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURATION: &str = r#"# config generated by kind
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
clusterName: "neargate"
kubernetesVersion: v1.34.0
networking:
  podSubnet: "10.244.0.0/16"
  serviceSubnet: "10.96.0.0/16"
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: "172.18.0.2"
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
"#;

    #[test]
    fn ranges_and_domain_are_those_of_kubeadms_configuration() {
        let found = networking(CONFIGURATION).unwrap();
        assert_eq!(found.service_range.to_string(), "10.96.0.0/16");
        assert_eq!(found.pod_range.to_string(), "10.244.0.0/16");
        assert_eq!(found.dns_domain, "cluster.local");

        let dual = CONFIGURATION
            .replace("10.244.0.0/16", "fd00:10:244::/56,10.1.0.0/16")
            .replace("10.96.0.0/16", "10.2.0.0/16,fd00:10:96::/112")
            .replace("networking:", "networking:\n  dnsDomain: corp.test");
        let found = networking(&dual).unwrap();
        assert_eq!(
            (found.service_range.to_string(), found.pod_range.to_string()),
            ("10.2.0.0/16".to_owned(), "10.1.0.0/16".to_owned())
        );
        assert_eq!(found.dns_domain, "corp.test");
    }

    #[test]
    fn the_error_for_a_cluster_without_ipv4_contains_what_to_do() {
        let error = |text: &str| networking(text).unwrap_err();
        let six = CONFIGURATION.replace("10.96.0.0/16", "fd00:10:96::/112");
        assert!(error(&six).contains("ipFamily ipv4"), "{}", error(&six));
        assert!(error("kind: InitConfiguration").contains("no ClusterConfiguration"));
        assert!(error("kind: [").contains("/kind/kubeadm.conf"), "{}", error("kind: ["));
    }

    #[test]
    fn an_engine_on_another_machine_is_recognized_by_its_address() {
        for (host, expected) in [
            ("unix:///var/run/docker.sock", true),
            ("tcp://127.0.0.1:2375", true),
            ("tcp://localhost:2375", true),
            ("http://[::1]:2375", true),
            ("tcp://192.0.2.7:2375", false),
            ("tcp://build.example:2375", false),
        ] {
            assert_eq!(on_this_machine(host), expected, "{host}");
        }
    }
}
