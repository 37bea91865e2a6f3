//! The command line and the environment, as clap reads them: a flag wins over its variable.
//!
//! Nothing has a default here; what is given nowhere is looked for in the configuration file first. See
//! [`crate::options::Options::resolve`].

use std::path::PathBuf;

use clap::Parser;

/// Runs the pods that are bound to one virtual Kubernetes node as AWS Fargate tasks.
///
/// AWS is found as every AWS tool finds it: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL, credentials from the
/// environment, the shared files, a web identity, the container or the instance. Each option below is taken
/// from its flag, else its environment variable, else the configuration file, else its default. Logging is set by RUST_LOG.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "neargate-provider", version, max_term_width = 110)]
pub struct Arguments {
    /// Configuration file in TOML; the keys of the old Fargate provider's file are understood
    #[arg(long, env = "NEARGATE_PROVIDER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Credentials of the Kubernetes cluster [default: KUBECONFIG, ~/.kube/config, else in-cluster]
    #[arg(long, env = "NEARGATE_PROVIDER_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Name of the virtual node [default: fargate]
    #[arg(long, env = "NEARGATE_PROVIDER_NODE_NAME", value_name = "NAME", help_heading = "Node")]
    pub node_name: Option<String>,
    /// The node's InternalIP: where the API server reaches the kubelet's API [default: the address of the default route]
    #[arg(long, env = "NEARGATE_PROVIDER_NODE_IP", value_name = "IP", help_heading = "Node")]
    pub node_ip: Option<String>,
    /// Further labels of the node, key=value, comma-separated
    #[arg(
        long,
        env = "NEARGATE_PROVIDER_NODE_LABELS",
        value_name = "LABELS",
        value_delimiter = ',',
        help_heading = "Node"
    )]
    pub node_labels: Option<Vec<String>>,
    /// Taints of the node, key=value:Effect, comma-separated; "" for none [default: virtual-kubelet.io/provider=aws:NoSchedule]
    #[arg(
        long,
        env = "NEARGATE_PROVIDER_NODE_TAINTS",
        value_name = "TAINTS",
        value_delimiter = ',',
        help_heading = "Node"
    )]
    pub node_taints: Option<Vec<String>>,
    /// vCPUs that the node offers, a Kubernetes quantity [default: 20]
    #[arg(long, env = "NEARGATE_PROVIDER_CPU", value_name = "QUANTITY", help_heading = "Node")]
    pub cpu: Option<String>,
    /// Memory that the node offers [default: 40Gi]
    #[arg(long, env = "NEARGATE_PROVIDER_MEMORY", value_name = "QUANTITY", help_heading = "Node")]
    pub memory: Option<String>,
    /// Ephemeral storage that the node offers [default: 400Gi]
    #[arg(long, env = "NEARGATE_PROVIDER_STORAGE", value_name = "QUANTITY", help_heading = "Node")]
    pub storage: Option<String>,
    /// Pods that the node offers to run [default: 20]
    #[arg(long, env = "NEARGATE_PROVIDER_PODS", value_name = "COUNT", help_heading = "Node")]
    pub pods: Option<String>,

    /// AWS region [default: the AWS chain's]
    #[arg(long, env = "NEARGATE_PROVIDER_REGION", value_name = "REGION", help_heading = "Fargate")]
    pub region: Option<String>,
    /// ECS cluster, name or ARN; it must exist [default: default]
    #[arg(long, env = "NEARGATE_PROVIDER_CLUSTER", value_name = "CLUSTER", help_heading = "Fargate")]
    pub cluster: Option<String>,
    /// Subnets of the tasks, 1 to 16, comma-separated; required
    #[arg(
        long,
        env = "NEARGATE_PROVIDER_SUBNETS",
        value_name = "IDS",
        value_delimiter = ',',
        help_heading = "Fargate"
    )]
    pub subnets: Option<Vec<String>>,
    /// Security groups of the tasks, up to 5, comma-separated [default: the VPC's default group]
    #[arg(
        long,
        env = "NEARGATE_PROVIDER_SECURITY_GROUPS",
        value_name = "IDS",
        value_delimiter = ',',
        help_heading = "Fargate"
    )]
    pub security_groups: Option<Vec<String>>,
    /// Give the tasks a public IPv4 address [default: false]
    #[arg(
        long,
        env = "NEARGATE_PROVIDER_ASSIGN_PUBLIC_IP",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        help_heading = "Fargate"
    )]
    pub assign_public_ip: Option<bool>,
    /// Role that pulls images and writes logs; AWS demands it with --log-group
    #[arg(long, env = "NEARGATE_PROVIDER_EXECUTION_ROLE_ARN", value_name = "ARN", help_heading = "Fargate")]
    pub execution_role_arn: Option<String>,
    /// Role that the containers themselves act in
    #[arg(long, env = "NEARGATE_PROVIDER_TASK_ROLE_ARN", value_name = "ARN", help_heading = "Fargate")]
    pub task_role_arn: Option<String>,
    /// CloudWatch log group of the containers' output; it must exist. Without it, no logs
    #[arg(long, env = "NEARGATE_PROVIDER_LOG_GROUP", value_name = "NAME", help_heading = "Fargate")]
    pub log_group: Option<String>,
    /// Fargate platform version [default: LATEST]
    #[arg(
        long,
        env = "NEARGATE_PROVIDER_PLATFORM_VERSION",
        value_name = "VERSION",
        help_heading = "Fargate"
    )]
    pub platform_version: Option<String>,
    /// Processors of the tasks, amd64 or arm64 [default: amd64]
    #[arg(long, env = "NEARGATE_PROVIDER_ARCHITECTURE", value_name = "ARCH", help_heading = "Fargate")]
    pub architecture: Option<String>,
    /// Set the annotation controller.kubernetes.io/pod-deletion-cost to this on the node's pods that have none: below
    /// 0, a ReplicaSet that is scaled back empties Fargate first [default: none is set]
    #[arg(
        long,
        env = "NEARGATE_PROVIDER_DELETION_COST",
        value_name = "COST",
        allow_negative_numbers = true,
        help_heading = "Fargate"
    )]
    pub deletion_cost: Option<i32>,

    /// Image of neargate-provider-init, which writes into a task what a kubelet writes into a pod: resolv.conf, hosts,
    /// hostname [default: none; a pod that needs it is refused]
    #[arg(long, env = "NEARGATE_PROVIDER_INIT_IMAGE", value_name = "IMAGE", help_heading = "Pods' files")]
    pub init_image: Option<String>,
    /// Addresses of the cluster's DNS, comma-separated [default: the Service kube-system/kube-dns]
    #[arg(
        long,
        env = "NEARGATE_PROVIDER_CLUSTER_DNS",
        value_name = "IPS",
        value_delimiter = ',',
        help_heading = "Pods' files"
    )]
    pub cluster_dns: Option<Vec<String>>,
    /// The cluster's DNS domain [default: cluster.local]
    #[arg(
        long,
        env = "NEARGATE_PROVIDER_CLUSTER_DOMAIN",
        value_name = "DOMAIN",
        help_heading = "Pods' files"
    )]
    pub cluster_domain: Option<String>,

    /// Address that the kubelet's API listens on [default: the node's InternalIP]
    #[arg(long, env = "NEARGATE_PROVIDER_KUBELET_ADDRESS", value_name = "IP", help_heading = "Kubelet API")]
    pub kubelet_address: Option<String>,
    /// Port of the kubelet's API; 0 for a free one [default: 10250]
    #[arg(long, env = "NEARGATE_PROVIDER_KUBELET_PORT", value_name = "PORT", help_heading = "Kubelet API")]
    pub kubelet_port: Option<u16>,
    /// Certificate of the kubelet's API, PEM [default: one made at start]
    #[arg(long, env = "NEARGATE_PROVIDER_TLS_CERT_FILE", value_name = "FILE", help_heading = "Kubelet API")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of that certificate, PEM
    #[arg(
        long,
        env = "NEARGATE_PROVIDER_TLS_PRIVATE_KEY_FILE",
        value_name = "FILE",
        help_heading = "Kubelet API"
    )]
    pub tls_private_key_file: Option<PathBuf>,
    /// Authority that signs the clients of the kubelet's API, PEM [default: the cluster's extension-apiserver-authentication]
    #[arg(long, env = "NEARGATE_PROVIDER_CLIENT_CA_FILE", value_name = "FILE", help_heading = "Kubelet API")]
    pub client_ca_file: Option<PathBuf>,
}
