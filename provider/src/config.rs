//! The configuration file: the TOML file of the old Fargate provider, with more keys.
//!
//! Every key of `virtual-kubelet/aws-fargate`'s `fargate.toml` is read as it is; what this provider adds is named in the
//! same style. A key that nobody knows is an error with its line: a misspelt key must not become a default.

use std::{fs, path::Path};

use serde::Deserialize;

/// Why the file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there or not readable.
    #[error("reading the configuration file {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or value that is not known.
    #[error("configuration file {path}, line {line}: {message}")]
    Parse {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
}

/// One value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Vec<String> {
    fn from(value: OneOrMany) -> Self {
        match value {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}

fn list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    Option::<OneOrMany>::deserialize(deserializer).map(|value| value.map(Vec::from))
}

/// A number written as one, or as a Kubernetes quantity in quotes.
fn quantity<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        Number(i64),
        Text(String),
    }
    Option::<Text>::deserialize(deserializer).map(|value| {
        value.map(|value| match value {
            Text::Number(number) => number.to_string(),
            Text::Text(text) => text,
        })
    })
}

/// The file's content; every key may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct File {
    /// AWS region.
    pub region: Option<String>,
    /// ECS cluster, by name or ARN.
    #[serde(alias = "Cluster")]
    pub cluster_name: Option<String>,
    /// Subnets of the tasks' network interfaces.
    #[serde(default, deserialize_with = "list", alias = "SubnetIDs", alias = "SubnetIds")]
    pub subnets: Option<Vec<String>>,
    /// Security groups of the tasks' network interfaces.
    #[serde(default, deserialize_with = "list", alias = "SecurityGroupIDs", alias = "SecurityGroupIds")]
    pub security_groups: Option<Vec<String>>,
    /// Whether the interfaces get a public address.
    #[serde(rename = "AssignPublicIPv4Address", alias = "AssignPublicIp")]
    pub assign_public_ip: Option<bool>,
    /// The role that pulls images and writes logs.
    #[serde(alias = "ExecutionRoleARN")]
    pub execution_role_arn: Option<String>,
    /// The role of the containers themselves.
    #[serde(alias = "TaskRoleARN")]
    pub task_role_arn: Option<String>,
    /// CloudWatch log group of the containers' output.
    #[serde(alias = "LogGroup")]
    pub cloud_watch_log_group_name: Option<String>,
    /// Fargate platform version.
    pub platform_version: Option<String>,
    /// Only `Linux` is known.
    pub operating_system: Option<String>,
    /// `amd64` or `arm64`.
    #[serde(alias = "CPUArchitecture")]
    pub architecture: Option<String>,
    /// vCPUs that the node offers.
    #[serde(default, deserialize_with = "quantity", rename = "CPU", alias = "Cpu")]
    pub cpu: Option<String>,
    /// Memory that the node offers.
    #[serde(default, deserialize_with = "quantity")]
    pub memory: Option<String>,
    /// Ephemeral storage that the node offers.
    #[serde(default, deserialize_with = "quantity")]
    pub storage: Option<String>,
    /// Pods that the node offers to run.
    #[serde(default, deserialize_with = "quantity")]
    pub pods: Option<String>,
    /// Name of the node.
    pub node_name: Option<String>,
    /// The node's InternalIP.
    #[serde(rename = "NodeIP", alias = "NodeIp")]
    pub node_ip: Option<String>,
    /// Further labels of the node, `key=value`.
    #[serde(default, deserialize_with = "list")]
    pub node_labels: Option<Vec<String>>,
    /// Further taints of the node, `key=value:Effect`.
    #[serde(default, deserialize_with = "list")]
    pub node_taints: Option<Vec<String>>,
    /// `controller.kubernetes.io/pod-deletion-cost` of the node's pods.
    pub deletion_cost: Option<i32>,
    /// Image that writes a kubelet's files into a task.
    pub init_image: Option<String>,
    /// Addresses of the cluster's DNS.
    #[serde(default, deserialize_with = "list", rename = "ClusterDNS", alias = "ClusterDns")]
    pub cluster_dns: Option<Vec<String>>,
    /// The cluster's DNS domain.
    pub cluster_domain: Option<String>,
    /// Where the kubelet's API listens.
    pub kubelet_address: Option<String>,
    /// The port of the kubelet's API.
    pub kubelet_port: Option<u16>,
    /// Certificate of the kubelet's API, PEM.
    pub tls_cert_file: Option<String>,
    /// Its key, PEM.
    pub tls_private_key_file: Option<String>,
    /// Authority of the clients of the kubelet's API, PEM.
    #[serde(rename = "ClientCAFile", alias = "ClientCaFile")]
    pub client_ca_file: Option<String>,
    /// The cluster's credentials.
    pub kubeconfig: Option<String>,
}

impl File {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| Error::Read { path: name.clone(), source })?;
        Self::parse(&text, &name)
    }

    /// Parses the file's text; `name` is what errors call it.
    pub fn parse(text: &str, name: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let line = text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
            Error::Parse { path: name.to_owned(), line, message: error.message().to_owned() }
        })
    }
}
