//! A node as one value: all code that works for a pod's node receives this, and nothing reads a node's name elsewhere.
//!
//! Today all pods share one node. With a node per pod, as on EKS, each pod's value is its own.

use std::net::IpAddr;

use kube::runtime::watcher;

/// A virtual node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its InternalIP, which is its pods' `hostIP` too.
    pub ip: IpAddr,
}

impl Node {
    /// Selects the pods that are bound to it.
    #[must_use]
    pub fn pods(&self) -> watcher::Config {
        watcher::Config::default().fields(&format!("spec.nodeName={}", self.name))
    }

    /// Selects the node itself.
    #[must_use]
    pub fn itself(&self) -> watcher::Config {
        watcher::Config::default().fields(&format!("metadata.name={}", self.name))
    }
}
