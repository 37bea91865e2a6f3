//! What every pod of this provider has in common.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use super::run;
use crate::{nodes::Node, options};

/// What every pod of this provider has in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where and how tasks run.
    pub fargate: options::Fargate,
    /// The pods' node.
    pub node: Node,
    /// The region of the log group.
    pub region: String,
    /// The provider that starts the tasks; see [`run::started_by`].
    pub started_by: String,
    /// The cluster's name servers. Empty until an option or a Service has named them.
    pub cluster_dns: Arc<OnceLock<Vec<IpAddr>>>,
}

impl Settings {
    /// The settings of the provider with these options, in this region, on the cluster whose `kube-system` has this UID.
    #[must_use]
    pub fn new(fargate: options::Fargate, node: Node, region: &str, cluster_uid: &str) -> Self {
        let given = fargate.init.as_ref().map(|init| init.cluster_dns.clone()).filter(|dns| !dns.is_empty());
        Self {
            region: region.to_owned(),
            started_by: run::started_by(cluster_uid, &node.name),
            cluster_dns: Arc::new(given.map_or_else(OnceLock::new, OnceLock::from)),
            fargate,
            node,
        }
    }
}
