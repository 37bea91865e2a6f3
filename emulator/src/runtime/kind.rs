//! A kind cluster: what a VPC around it needs to know. Plain values; `docker::kind` reads them.

use std::net::Ipv4Addr;

use super::Cidr;

/// A kind cluster that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The engine's network that the nodes are on, its block and its gateway: the host.
    pub network: String,
    pub cidr: Cidr,
    pub gateway: Ipv4Addr,
    /// Control planes first, each kind in the order of their names: at least one.
    pub nodes: Vec<Ipv4Addr>,
    pub networking: Networking,
}

/// `networking` of kubeadm's ClusterConfiguration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networking {
    pub service_range: Cidr,
    pub pod_range: Cidr,
    /// `cluster.local`.
    pub dns_domain: String,
}
