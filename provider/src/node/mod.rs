//! The virtual node: what the scheduler sees of Fargate.
//!
//! ```text
//! fargate::Health --> readiness (pure) --> object (pure) --> service --status--> Node
//!        ^                                                      |  ^--watch-------+
//!        +--- ping, where nothing else asks AWS                 +--uid--> lease --> Lease in kube-node-lease
//! ```
//!
//! The node stays when the provider ends: its pods' tasks go on, and the lease's silence tells the cluster soon enough.
//! What others write on it (cordons, taints, labels, further resources) is theirs and is left alone.
//!
//! What this needs of the cluster's RBAC:
//!
//! | group | resource | verbs | where |
//! | --- | --- | --- | --- |
//! | core | `nodes` | get, list, watch, create, patch | cluster |
//! | core | `nodes/status` | patch | cluster |
//! | `coordination.k8s.io` | `leases` | create, patch | `kube-node-lease` |

mod lease;
mod object;
mod readiness;
mod service;

pub use self::service::{Error, Options, Service};

/// Who we are to server-side apply: what it owns is ours to change and to remove.
const FIELD_MANAGER: &str = "neargate-provider";
