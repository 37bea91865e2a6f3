//! What is worth an event about a pod that runs nevertheless.

/// What is worth an event about a pod that runs all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The grace period was brought into ECS's bounds.
    GracePeriodClamped {
        /// Seconds asked for.
        asked: i64,
        /// Seconds given.
        given: i32,
    },
    /// Labels that are no tags.
    LabelsLeftOut {
        /// Their keys.
        keys: Vec<String>,
    },
    /// Fields of the security contexts that ask for less than a task has, and that Fargate does not enforce.
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
