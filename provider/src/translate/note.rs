//! Events about a pod that runs, but differently from its spec.

/// Something about a pod that becomes an event, although the pod runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The grace period was brought into ECS's bounds.
    GracePeriodClamped {
        /// Seconds requested.
        asked: i64,
        /// Seconds used.
        given: i32,
    },
    /// Labels that cannot be tags.
    LabelsLeftOut {
        /// Their keys.
        keys: Vec<String>,
    },
    /// Fields of the security contexts that restrict the task, and that Fargate does not enforce.
    NotEnforced {
        /// Each as it is written in the pod, with its containers.
        fields: Vec<String>,
    },
    /// The pod asks for the cluster's DNS, whose address is not known.
    MissingClusterDns,
    /// Parts of the pod's DNS configuration are past the limits.
    DnsLimits {
        /// What was left out, in the kubelet's words.
        message: String,
    },
}
