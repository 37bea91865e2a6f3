//! Pods in, Fargate tasks out: one virtual node whose pods run as ECS tasks.
//!
//! ```text
//! Kubernetes API --watch--> pods::Controller --decide--> act --RunTask, StopTask--> ECS
//!        ^                        ^   |                              (fargate::Client)
//!        |                        |   +--> probes::Prober --verdicts--+
//!        +----- pod status -------+---------- DescribeTasks ----------+
//!        +----- node, lease ------ node::Service <-- fargate::Health
//! kubectl logs --> API server --> kubelet::Service --GetLogEvents--> CloudWatch Logs
//! ```
//!
//! The crate knows only the public interfaces of AWS and of Kubernetes: it runs against the real AWS
//! as it runs against an emulator of it. It keeps no state of its own: everything that it must
//! remember is on the pod, on the task, or on both.

mod background;
pub mod clock;
mod cluster_dns;
pub mod fargate;
pub mod kubelet;
pub mod node;
pub mod nodes;
mod open_files;
pub mod options;
pub mod pods;
pub mod probes;
mod quantity;
pub mod service;
mod tls;
pub mod translate;
