//! One source of options. Each option is written once: its flag, its environment variable, its key in the file, its help.
//!
//! The command line, with the environment, is one [`Layer`]; the configuration file is another; what the upper one lacks is
//! taken from the lower. Defaults are applied when a layer becomes [`super::Options`]; the help names them.

use std::path::PathBuf;

use clap::{Args, Parser};
use serde::{Deserialize, Deserializer};

/// Runs the pods that are bound to one virtual Kubernetes node as AWS Fargate tasks.
///
/// AWS is configured as for every AWS tool: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL, credentials from the
/// environment, the shared files, a web identity, the container or the instance. Each option below is taken
/// from its flag, else its environment variable, else the configuration file, else its default. Logging is set by RUST_LOG.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "neargate-provider", version, max_term_width = 110)]
pub struct Arguments {
    /// Configuration file in TOML; the keys of the old Fargate provider's file are understood
    #[arg(long, env = "NEARGATE_PROVIDER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Every option that the file can have, too.
    #[command(flatten)]
    pub layer: Layer,
}

/// Declares the options, grouped by the headings of the help: `name: Type = "VARIABLE", "VALUE", "Key" | "OtherKey";`. The flag is
/// the name.
macro_rules! options {
    (
        $($heading:literal {
            $($(#[$meta:meta])* $name:ident: $type:ty = $variable:literal, $value:literal, $key:literal $(| $alias:literal)*;)*
        })*
        file {
            $($(#[$file_meta:meta])* $file_name:ident: $file_type:ty = $file_key:literal;)*
        }
    ) => {
        /// The options that one source gives; every one may be absent.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Layer {
            $($(
                $(#[$meta])*
                #[arg(long, env = $variable, value_name = $value, help_heading = $heading)]
                #[serde(rename = $key $(, alias = $alias)*)]
                pub $name: Option<$type>,
            )*)*
            $(
                $(#[$file_meta])*
                #[arg(skip)]
                #[serde(rename = $file_key)]
                pub $file_name: Option<$file_type>,
            )*
        }

        impl Layer {
            /// Each option's name and its keys in the file, in the order of the help.
            pub const KEYS: &[(&str, &[&str])] = &[$($((stringify!($name), &[$key $(, $alias)*])),*),*];

            /// This layer's options, and the lower layer's if this one has none.
            #[must_use]
            pub fn over(self, lower: Self) -> Self {
                Self {
                    $($($name: given(self.$name, lower.$name),)*)*
                    $($file_name: given(self.$file_name, lower.$file_name),)*
                }
            }
        }
    };
}

options! {
    "Kubernetes" {
        /// Credentials of the Kubernetes cluster [default: KUBECONFIG, ~/.kube/config, else in-cluster]
        kubeconfig: PathBuf = "NEARGATE_PROVIDER_KUBECONFIG", "FILE", "Kubeconfig";
    }
    "Node" {
        /// Name of the virtual node [default: fargate]
        node_name: String = "NEARGATE_PROVIDER_NODE_NAME", "NAME", "NodeName";
        /// The node's InternalIP: where the API server reaches the kubelet's API [default: the address of the default route]
        node_ip: String = "NEARGATE_PROVIDER_NODE_IP", "IP", "NodeIP" | "NodeIp";
        /// Further labels of the node, key=value, comma-separated
        node_labels: List = "NEARGATE_PROVIDER_NODE_LABELS", "LABELS", "NodeLabels";
        /// Taints of the node, key=value:Effect, comma-separated; "" for none [default: virtual-kubelet.io/provider=aws:NoSchedule]
        node_taints: List = "NEARGATE_PROVIDER_NODE_TAINTS", "TAINTS", "NodeTaints";
        /// vCPUs that the node offers, a Kubernetes quantity [default: 20]
        cpu: Amount = "NEARGATE_PROVIDER_CPU", "QUANTITY", "CPU" | "Cpu";
        /// Memory that the node offers [default: 40Gi]
        memory: Amount = "NEARGATE_PROVIDER_MEMORY", "QUANTITY", "Memory";
        /// Ephemeral storage that the node offers [default: 400Gi]
        storage: Amount = "NEARGATE_PROVIDER_STORAGE", "QUANTITY", "Storage";
        /// Pods that the node offers to run [default: 20]
        pods: Amount = "NEARGATE_PROVIDER_PODS", "COUNT", "Pods";
    }
    "Fargate" {
        /// AWS region [default: the AWS chain's]
        region: String = "NEARGATE_PROVIDER_REGION", "REGION", "Region";
        /// ECS cluster, name or ARN; it must exist [default: default]
        cluster: String = "NEARGATE_PROVIDER_CLUSTER", "CLUSTER", "ClusterName" | "Cluster";
        /// Subnets of the tasks, 1 to 16, comma-separated; required
        subnets: List = "NEARGATE_PROVIDER_SUBNETS", "IDS", "Subnets" | "SubnetIDs" | "SubnetIds";
        /// Security groups of the tasks, up to 5, comma-separated [default: the VPC's default group]
        security_groups: List = "NEARGATE_PROVIDER_SECURITY_GROUPS", "IDS", "SecurityGroups" | "SecurityGroupIDs" | "SecurityGroupIds";
        /// Give the tasks a public IPv4 address [default: false]
        #[arg(num_args = 0..=1, default_missing_value = "true")]
        assign_public_ip: bool = "NEARGATE_PROVIDER_ASSIGN_PUBLIC_IP", "BOOL", "AssignPublicIPv4Address" | "AssignPublicIp";
        /// Role that pulls images and writes logs; AWS requires it with --log-group
        execution_role_arn: String = "NEARGATE_PROVIDER_EXECUTION_ROLE_ARN", "ARN", "ExecutionRoleArn" | "ExecutionRoleARN";
        /// Role of the containers themselves
        task_role_arn: String = "NEARGATE_PROVIDER_TASK_ROLE_ARN", "ARN", "TaskRoleArn" | "TaskRoleARN";
        /// CloudWatch log group of the containers' output; it must exist. Without it, no logs
        log_group: String = "NEARGATE_PROVIDER_LOG_GROUP", "NAME", "CloudWatchLogGroupName" | "LogGroup";
        /// Fargate platform version [default: LATEST]
        platform_version: String = "NEARGATE_PROVIDER_PLATFORM_VERSION", "VERSION", "PlatformVersion";
        /// CPU architecture of the tasks, amd64 or arm64 [default: amd64]
        architecture: String = "NEARGATE_PROVIDER_ARCHITECTURE", "ARCH", "Architecture" | "CPUArchitecture";
        /// Value of the annotation controller.kubernetes.io/pod-deletion-cost for the node's pods that have none: below 0, a
        /// ReplicaSet that is scaled down removes Fargate's pods first [default: none is set]
        #[arg(allow_negative_numbers = true)]
        deletion_cost: i32 = "NEARGATE_PROVIDER_DELETION_COST", "COST", "DeletionCost";
    }
    "Pods' files" {
        /// Image of neargate-provider-init, which writes into a task what a kubelet writes into a pod: resolv.conf, hosts,
        /// hostname [default: none; a pod that needs it is refused]
        init_image: String = "NEARGATE_PROVIDER_INIT_IMAGE", "IMAGE", "InitImage";
        /// Addresses of the cluster's DNS, comma-separated [default: the Service kube-system/kube-dns]
        cluster_dns: List = "NEARGATE_PROVIDER_CLUSTER_DNS", "IPS", "ClusterDNS" | "ClusterDns";
        /// The cluster's DNS domain [default: cluster.local]
        cluster_domain: String = "NEARGATE_PROVIDER_CLUSTER_DOMAIN", "DOMAIN", "ClusterDomain";
    }
    "Kubelet API" {
        /// Address that the kubelet's API listens on [default: the node's InternalIP]
        kubelet_address: String = "NEARGATE_PROVIDER_KUBELET_ADDRESS", "IP", "KubeletAddress";
        /// Port of the kubelet's API; 0 for a free one [default: 10250]
        kubelet_port: u16 = "NEARGATE_PROVIDER_KUBELET_PORT", "PORT", "KubeletPort";
        /// Certificate of the kubelet's API, PEM [default: one made at start]
        tls_cert_file: PathBuf = "NEARGATE_PROVIDER_TLS_CERT_FILE", "FILE", "TlsCertFile";
        /// Private key of that certificate, PEM
        tls_private_key_file: PathBuf = "NEARGATE_PROVIDER_TLS_PRIVATE_KEY_FILE", "FILE", "TlsPrivateKeyFile";
        /// Authority that signs the clients of the kubelet's API, PEM [default: the cluster's extension-apiserver-authentication]
        client_ca_file: PathBuf = "NEARGATE_PROVIDER_CLIENT_CA_FILE", "FILE", "ClientCAFile" | "ClientCaFile";
    }
    file {
        /// `Linux`, as in the old provider's file; no other system is known.
        operating_system: String = "OperatingSystem";
    }
}

/// The upper value if it is given, else the lower one.
fn given<T: Value>(upper: Option<T>, lower: Option<T>) -> Option<T> {
    let given = |value: Option<T>| value.filter(|value| !value.is_absent());
    given(upper).or_else(|| given(lower))
}

/// An option's value.
trait Value {
    /// Whether it counts as absent: the old provider's examples have empty strings for options that are not set.
    fn is_absent(&self) -> bool {
        false
    }
}

impl Value for String {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Value for PathBuf {
    fn is_absent(&self) -> bool {
        self.as_os_str().is_empty()
    }
}

impl Value for Amount {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

/// An empty list is a value: `--node-taints ""` is a node without taints.
impl Value for List {}
impl Value for bool {}
impl Value for i32 {}
impl Value for u16 {}

/// A list: on the command line separated by commas, in the file a list or one text. Empty items do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List(pub Vec<String>);

impl FromIterator<String> for List {
    fn from_iter<I: IntoIterator<Item = String>>(items: I) -> Self {
        Self(items.into_iter().filter(|item| !item.is_empty()).collect())
    }
}

impl From<&str> for List {
    fn from(text: &str) -> Self {
        text.split(',').map(ToOwned::to_owned).collect()
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a text or a list of texts")]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        OneOrMany::deserialize(deserializer).map(|value| match value {
            OneOrMany::One(one) => std::iter::once(one).collect(),
            OneOrMany::Many(many) => many.into_iter().collect(),
        })
    }
}

/// A Kubernetes quantity; in the file a bare number too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amount(pub String);

impl From<&str> for Amount {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a number or a Kubernetes quantity")]
        enum NumberOrText {
            Number(i64),
            Text(String),
        }
        NumberOrText::deserialize(deserializer).map(|value| match value {
            NumberOrText::Number(number) => Self(number.to_string()),
            NumberOrText::Text(text) => Self(text),
        })
    }
}
