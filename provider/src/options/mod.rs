//! The provider's options: flag, else environment variable, else configuration file, else default.
//!
//! ```text
//! command line, environment --Arguments--> Layer --.
//!                                                  over --Layer--> Options (typed, checked)
//! configuration file ----------file-------> Layer --'
//! ```

pub mod file;
mod layer;
mod resolve;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use k8s_openapi::{api::core::v1::Taint, apimachinery::pkg::api::resource::Quantity};

pub use self::layer::{Amount, Arguments, Layer, List};
use crate::nodes::Node;

/// An option that cannot be used; each says how to fix it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file was not accepted.
    #[error(transparent)]
    File(#[from] file::Error),
    /// An option's value does not have its form.
    #[error("option {option}: {value:?} is not {expected}")]
    Invalid {
        /// The flag.
        option: &'static str,
        /// The given value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// An option is needed and not given.
    #[error("option {option} is needed: {why}")]
    Missing {
        /// The flag.
        option: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
    /// The machine has no route out, so that the node's address can't be guessed.
    #[error("finding this machine's address; specify it with --node-ip")]
    NoAddress(#[source] std::io::Error),
}

/// The CPU architecture that tasks run on.
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

/// The values that the node is registered with.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// Labels beside those that every node has.
    pub labels: BTreeMap<String, String>,
    /// All its taints.
    pub taints: Vec<Taint>,
    /// What it offers.
    pub capacity: Capacity,
}

/// Where and how tasks run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fargate {
    /// Region; the AWS chain's if absent.
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
    /// The deletion cost of a pod, by which a ReplicaSet chooses; none is set if absent.
    pub deletion_cost: Option<i32>,
    /// What writes a kubelet's files into a task; nothing does so if absent.
    pub init: Option<Init>,
}

/// What writes a kubelet's files into a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Image of `neargate-provider-init`.
    pub image: String,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Addresses of the cluster's DNS; looked up in the cluster if empty.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubelet {
    /// Address to listen on.
    pub address: IpAddr,
    /// Port to listen on; 0 for a free one.
    pub port: u16,
    /// Certificate; one made at start if absent.
    pub certificate: Option<Certificate>,
    /// Authority of its clients; the cluster's own if absent.
    pub client_ca: Option<PathBuf>,
}

/// All options of the provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Credentials of the cluster; kube's usual inference if absent.
    pub kubeconfig: Option<PathBuf>,
    /// The virtual node.
    pub node: Node,
    /// What it is registered with.
    pub registration: Registration,
    /// The AWS side.
    pub fargate: Fargate,
    /// The kubelet's API.
    pub kubelet: Kubelet,
}

impl Options {
    /// The arguments over the configuration file that they name, if any.
    pub fn load(arguments: Arguments) -> Result<Self, Error> {
        let Arguments { config, layer } = arguments;
        let file = config.as_deref().map(file::read).transpose()?.unwrap_or_default();
        layer.over(file).try_into()
    }
}
