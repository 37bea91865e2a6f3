//! What a kubelet writes into a pod, written into a task: `/etc/resolv.conf`, `/etc/hosts`, `/etc/hostname`.
//!
//! ```text
//! provider: Pod --> Plan --as arguments--> the task definition's first container
//! task:     arguments --> Plan --written--> the files that all containers of the task share
//! ```
//!
//! The provider depends on this library for the one form of the [`Plan`]; the program beside it is alone in the init image. It
//! links nothing beyond std, so that it is one small static file.

mod addresses;
pub mod files;
pub mod hosts;
pub mod plan;
pub mod resolv_conf;

pub use self::{addresses::addresses, plan::Plan, resolv_conf::ResolvConf};

/// The environment variable that carries the pod's host name: the one thing that replicas do not share.
pub const HOSTNAME: &str = "NEARGATE_HOSTNAME";
