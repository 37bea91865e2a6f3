//! What the node is made of.

use crate::{
    nodes::Node,
    options::{Architecture, Registration},
};

/// What the node is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name and address.
    pub node: Node,
    /// Its capacity, labels and taints.
    pub registration: Registration,
    /// Processors of its tasks.
    pub architecture: Architecture,
    /// Where the kubelet's API really listens.
    pub kubelet_port: u16,
    /// Fargate's platform version, shown as the node's container runtime.
    pub platform_version: String,
}
