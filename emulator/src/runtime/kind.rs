//! A kind cluster: the values from which a VPC around it is derived. `docker::kind` reads them.

use std::net::Ipv4Addr;

use super::Cidr;

/// A running kind cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The engine's network that the nodes are on, its block and its gateway: the host.
    pub network: String,
    pub cidr: Cidr,
    pub gateway: Ipv4Addr,
    /// At least one: control planes first, then workers, both sorted by name.
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
