//! What the provider is told: flag, else environment variable, else configuration file, else default.
//!
//! [`Arguments`] is what clap reads (a flag wins over its variable there), [`File`] what the file says;
//! [`Options::resolve`] makes the one value that the rest of the crate reads.

use std::{
    collections::BTreeMap,
    net::{IpAddr, UdpSocket},
    path::PathBuf,
};

use k8s_openapi::{api::core::v1::Taint, apimachinery::pkg::api::resource::Quantity};

pub use crate::arguments::Arguments;
use crate::{
    config::{self, File},
    translate::quantity,
};

/// An option that cannot be meant; each says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file was not taken.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// An option's value is not of its form.
    #[error("option {option}: {value:?} is not {expected}")]
    Invalid {
        /// The flag.
        option: &'static str,
        /// What was given.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// An option is needed and given nowhere.
    #[error("option {option} is needed: {why}")]
    Missing {
        /// The flag.
        option: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
    /// The machine has no route out, so that the node's address can't be guessed.
    #[error("finding this machine's address; give it with --node-ip")]
    NoAddress(#[source] std::io::Error),
}

/// Processors that tasks run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `X86_64` to ECS, `amd64` to Kubernetes.
    Amd64,
    /// `ARM64` to ECS, `arm64` to Kubernetes.
    Arm64,
}

impl Architecture {
    /// As in ECS's `runtimePlatform.cpuArchitecture`.
    #[must_use]
    pub fn ecs(self) -> &'static str {
        match self {
            Self::Amd64 => "X86_64",
            Self::Arm64 => "ARM64",
        }
    }

    /// As in the label `kubernetes.io/arch`.
    #[must_use]
    pub fn kubernetes(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// What the node offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// vCPUs.
    pub cpu: Quantity,
    /// Bytes of memory.
    pub memory: Quantity,
    /// Bytes of ephemeral storage.
    pub storage: Quantity,
    /// Pods.
    pub pods: Quantity,
}

/// The virtual node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its InternalIP.
    pub ip: IpAddr,
    /// Labels beside those that every node has.
    pub labels: BTreeMap<String, String>,
    /// All its taints.
    pub taints: Vec<Taint>,
    /// What it offers.
    pub capacity: Capacity,
    /// Processors of its tasks.
    pub architecture: Architecture,
}

/// Where tasks run, and as what.
#[derive(Debug, Clone)]
pub struct Fargate {
    /// Region; the AWS chain's where absent.
    pub region: Option<String>,
    /// ECS cluster, name or ARN.
    pub cluster: String,
    /// Subnets, 1 to 16.
    pub subnets: Vec<String>,
    /// Security groups, up to 5.
    pub security_groups: Vec<String>,
    /// Whether tasks get a public address.
    pub assign_public_ip: bool,
    /// Role that pulls images and writes logs.
    pub execution_role_arn: Option<String>,
    /// Role of the containers.
    pub task_role_arn: Option<String>,
    /// Log group of the containers' output.
    pub log_group: Option<String>,
    /// Platform version.
    pub platform_version: String,
    /// Processors.
    pub architecture: Architecture,
    /// What the deletion of a pod costs, to a ReplicaSet that chooses; nothing is said where absent.
    pub deletion_cost: Option<i32>,
    /// What writes a kubelet's files into a task; nothing does where absent.
    pub init: Option<Init>,
}

/// What writes a kubelet's files into a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Image of `neargate-provider-init`.
    pub image: String,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Addresses of the cluster's DNS; looked up in the cluster where empty.
    pub cluster_dns: Vec<IpAddr>,
}

/// A certificate and its key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The kubelet's API.
#[derive(Debug, Clone)]
pub struct Kubelet {
    /// Address to listen on.
    pub address: IpAddr,
    /// Port to listen on; 0 for a free one.
    pub port: u16,
    /// Certificate; one made at start where absent.
    pub certificate: Option<Certificate>,
    /// Authority of its clients; the cluster's own where absent.
    pub client_ca: Option<PathBuf>,
}

/// Everything that the provider is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Credentials of the cluster; kube's usual inference where absent.
    pub kubeconfig: Option<PathBuf>,
    /// The virtual node.
    pub node: Node,
    /// The AWS side.
    pub fargate: Fargate,
    /// The kubelet's API.
    pub kubelet: Kubelet,
}

impl Options {
    /// Reads the configuration file that the arguments name, if any, and resolves both.
    pub fn load(arguments: Arguments) -> Result<Self, Error> {
        let file = arguments.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        Self::resolve(arguments, file)
    }

    /// Arguments over file over defaults.
    pub fn resolve(arguments: Arguments, file: File) -> Result<Self, Error> {
        let Arguments {
            config: _,
            kubeconfig,
            node_name,
            node_ip,
            node_labels,
            node_taints,
            cpu,
            memory,
            storage,
            pods,
            region,
            cluster,
            subnets,
            security_groups,
            assign_public_ip,
            execution_role_arn,
            task_role_arn,
            log_group,
            platform_version,
            architecture,
            deletion_cost,
            init_image,
            cluster_dns,
            cluster_domain,
            kubelet_address,
            kubelet_port,
            tls_cert_file,
            tls_private_key_file,
            client_ca_file,
        } = arguments;

        if let Some(system) =
            text(file.operating_system).filter(|system| !system.eq_ignore_ascii_case("linux"))
        {
            return Err(Error::Invalid { option: "OperatingSystem", value: system, expected: "Linux" });
        }
        let architecture = match text(architecture).or_else(|| text(file.architecture)) {
            None => Architecture::Amd64,
            Some(name) => match name.to_ascii_lowercase().as_str() {
                "amd64" | "x86_64" => Architecture::Amd64,
                "arm64" | "aarch64" => Architecture::Arm64,
                _ => {
                    let expected = "amd64 or arm64";
                    return Err(Error::Invalid { option: "--architecture", value: name, expected });
                }
            },
        };

        let name = text(node_name).or_else(|| text(file.node_name)).unwrap_or_else(|| "fargate".to_owned());
        if !is_dns_subdomain(&name) {
            let expected = "a node name (lower-case letters, digits, '-' and '.')";
            return Err(Error::Invalid { option: "--node-name", value: name, expected });
        }
        let ip = match text(node_ip).or_else(|| text(file.node_ip)) {
            Some(ip) => address("--node-ip", ip)?,
            None => default_route_address().map_err(Error::NoAddress)?,
        };
        let node = Node {
            name,
            ip,
            labels: list(node_labels)
                .or_else(|| list(file.node_labels))
                .unwrap_or_default()
                .into_iter()
                .map(label)
                .collect::<Result<_, _>>()?,
            taints: list(node_taints)
                .or_else(|| list(file.node_taints))
                .unwrap_or_else(|| vec!["virtual-kubelet.io/provider=aws:NoSchedule".to_owned()])
                .into_iter()
                .map(taint)
                .collect::<Result<_, _>>()?,
            capacity: Capacity {
                cpu: amount("--cpu", text(cpu).or_else(|| text(file.cpu)), "20")?,
                memory: amount("--memory", text(memory).or_else(|| text(file.memory)), "40Gi")?,
                storage: amount("--storage", text(storage).or_else(|| text(file.storage)), "400Gi")?,
                pods: amount("--pods", text(pods).or_else(|| text(file.pods)), "20")?,
            },
            architecture,
        };

        let subnets = list(subnets).or_else(|| list(file.subnets)).unwrap_or_default();
        if subnets.is_empty() {
            return Err(Error::Missing {
                option: "--subnets",
                why: "every Fargate task has its own network interface",
            });
        }
        if subnets.len() > 16 {
            return Err(Error::Invalid {
                option: "--subnets",
                value: subnets.join(","),
                expected: "at most 16 subnets",
            });
        }
        let security_groups =
            list(security_groups).or_else(|| list(file.security_groups)).unwrap_or_default();
        if security_groups.len() > 5 {
            let value = security_groups.join(",");
            return Err(Error::Invalid { option: "--security-groups", value, expected: "at most 5 groups" });
        }
        let cluster_dns = list(cluster_dns)
            .or_else(|| list(file.cluster_dns))
            .unwrap_or_default()
            .into_iter()
            .map(|dns| address("--cluster-dns", dns))
            .collect::<Result<_, _>>()?;
        let cluster_domain = text(cluster_domain)
            .or_else(|| text(file.cluster_domain))
            .unwrap_or_else(|| "cluster.local".to_owned());
        if !is_dns_subdomain(&cluster_domain) {
            let expected = "a DNS domain (lower-case letters, digits, '-' and '.')";
            return Err(Error::Invalid { option: "--cluster-domain", value: cluster_domain, expected });
        }
        let init = text(init_image).or_else(|| text(file.init_image)).map(|image| Init {
            image,
            cluster_domain,
            cluster_dns,
        });
        let fargate = Fargate {
            region: text(region).or_else(|| text(file.region)),
            cluster: text(cluster)
                .or_else(|| text(file.cluster_name))
                .unwrap_or_else(|| "default".to_owned()),
            subnets,
            security_groups,
            assign_public_ip: assign_public_ip.or(file.assign_public_ip).unwrap_or(false),
            execution_role_arn: text(execution_role_arn).or_else(|| text(file.execution_role_arn)),
            task_role_arn: text(task_role_arn).or_else(|| text(file.task_role_arn)),
            log_group: text(log_group).or_else(|| text(file.cloud_watch_log_group_name)),
            platform_version: text(platform_version)
                .or_else(|| text(file.platform_version))
                .unwrap_or_else(|| "LATEST".to_owned()),
            architecture,
            deletion_cost: deletion_cost.or(file.deletion_cost),
            init,
        };
        if fargate.log_group.is_some() && fargate.execution_role_arn.is_none() {
            let why = "with --log-group, Fargate writes the logs in this role";
            return Err(Error::Missing { option: "--execution-role-arn", why });
        }

        let cert = path(tls_cert_file).or_else(|| path(file.tls_cert_file.map(PathBuf::from)));
        let key = path(tls_private_key_file).or_else(|| path(file.tls_private_key_file.map(PathBuf::from)));
        let certificate = match (cert, key) {
            (Some(cert), Some(key)) => Some(Certificate { cert, key }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(Error::Missing {
                    option: "--tls-private-key-file",
                    why: "--tls-cert-file is given",
                });
            }
            (None, Some(_)) => {
                return Err(Error::Missing {
                    option: "--tls-cert-file",
                    why: "--tls-private-key-file is given",
                });
            }
        };
        let kubelet = Kubelet {
            address: text(kubelet_address)
                .or_else(|| text(file.kubelet_address))
                .map_or(Ok(ip), |listen| address("--kubelet-address", listen))?,
            port: kubelet_port.or(file.kubelet_port).unwrap_or(10250),
            certificate,
            client_ca: path(client_ca_file).or_else(|| path(file.client_ca_file.map(PathBuf::from))),
        };

        let kubeconfig = path(kubeconfig).or_else(|| path(file.kubeconfig.map(PathBuf::from)));
        Ok(Self { kubeconfig, node, fargate, kubelet })
    }
}

/// The old file's examples carry empty strings for what is not set.
fn text(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

fn path(value: Option<PathBuf>) -> Option<PathBuf> {
    value.filter(|value| !value.as_os_str().is_empty())
}

/// A list that was given, without its empty items: `--node-taints ""` is a list of none.
fn list(value: Option<Vec<String>>) -> Option<Vec<String>> {
    value.map(|items| items.into_iter().filter(|item| !item.is_empty()).collect())
}

fn address(option: &'static str, value: String) -> Result<IpAddr, Error> {
    value.parse().map_err(|_| Error::Invalid { option, value, expected: "an IP address" })
}

fn amount(option: &'static str, value: Option<String>, default: &str) -> Result<Quantity, Error> {
    let value = Quantity(value.unwrap_or_else(|| default.to_owned()));
    match quantity::units(&value) {
        Ok(1..) => Ok(value),
        _ => Err(Error::Invalid { option, value: value.0, expected: "a Kubernetes quantity above zero" }),
    }
}

fn label(value: String) -> Result<(String, String), Error> {
    match value.split_once('=') {
        Some((key, label)) if !key.is_empty() => Ok((key.to_owned(), label.to_owned())),
        _ => Err(Error::Invalid { option: "--node-labels", value, expected: "key=value" }),
    }
}

fn taint(value: String) -> Result<Taint, Error> {
    let parsed = value.rsplit_once(':').and_then(|(taint, effect)| {
        let (key, of) = taint.split_once('=').unwrap_or((taint, ""));
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect);
        (known && !key.is_empty()).then(|| Taint {
            key: key.to_owned(),
            value: Some(of.to_owned()).filter(|of| !of.is_empty()),
            effect: effect.to_owned(),
            time_added: None,
        })
    });
    parsed.ok_or(Error::Invalid { option: "--node-taints", value, expected: "key=value:Effect" })
}

/// RFC 1123: what the API server demands of a node's name, and DNS of a domain.
fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

/// The address that the default route leaves from, as a kubelet finds its own. Nothing is sent.
fn default_route_address() -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    // TEST-NET-1 (RFC 5737): routed like any other address, answered by nobody.
    socket.connect(("192.0.2.1", 9))?;
    Ok(socket.local_addr()?.ip())
}
