//! What a kubelet writes into a pod, written into a task: `/etc/resolv.conf`, `/etc/hosts`, `/etc/hostname`.
//!
//! ```text
//! provider: Pod --> Plan --as arguments--> the task definition's first container
//! task:     arguments --> Plan --written--> the files that all containers of the task share
//! ```
//!
//! The provider uses this library so that both sides share one form of the [`Plan`]; the init image contains only the program
//! beside it. It links nothing beyond std, so that it is one small static file.

mod addresses;
pub mod files;
pub mod hosts;
pub mod plan;
pub mod resolv_conf;

pub use self::{addresses::addresses, plan::Plan, resolv_conf::ResolvConf};

/// The environment variable that carries the pod's host name: the only value that replicas do not share.
pub const HOSTNAME: &str = "NEARGATE_HOSTNAME";
