//! The options of the node.

use crate::{
    nodes::Node,
    options::{Architecture, Registration},
};

/// The options of the node.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name and address.
    pub node: Node,
    /// Its capacity, labels and taints.
    pub registration: Registration,
    /// Processors of its tasks.
    pub architecture: Architecture,
    /// The port on which the kubelet's API listens.
    pub kubelet_port: u16,
    /// Fargate's platform version, shown as the node's container runtime.
    pub platform_version: String,
}
