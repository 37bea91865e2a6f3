//! The virtual node: what the scheduler sees of Fargate.
//!
//! ```text
//! fargate::Health --> readiness (pure) --> object (pure) --> service --status--> Node
//!        ^                                                      |  ^--watch-------+
//!        +--- ping, if nothing else asks AWS                    +--uid--> lease --> Lease in kube-node-lease
//!
//! leader: which of several providers of the node does all this --> another Lease there
//! ```
//!
//! The node stays when the provider ends: its pods' tasks continue, and the cluster sees soon enough that its lease is not
//! renewed. What others write on it (cordons, taints, labels, further resources) is not changed.
//!
//! The RBAC rights that this needs:
//!
//! | group | resource | verbs | where |
//! | --- | --- | --- | --- |
//! | core | `nodes` | get, list, watch, create, patch | cluster |
//! | core | `nodes/status` | patch | cluster |
//! | `coordination.k8s.io` | `leases` | get, create, update, patch | `kube-node-lease` |

mod leader;
mod lease;
mod object;
mod options;
mod readiness;
mod service;

pub use self::{
    leader::Leader,
    options::Options,
    service::{Error, Service},
};

/// The namespace of both leases.
const LEASES: &str = "kube-node-lease";

/// Our name for server-side apply: what it owns is ours to change and to remove.
const FIELD_MANAGER: &str = "neargate-provider";
