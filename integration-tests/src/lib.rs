//! The harness of the end-to-end suites and of the demo: the emulator, a control plane and the provider as real
//! processes on free ports, waits for states, a dump of the world if a test fails, no leftovers.
//!
//! ```text
//! suite::run ─▶ needs (engine, images, control plane) ─▶ Context::start ─▶ the tests, each on a thread ─▶ Context::close
//!                                                            │
//!                Work (one folder) ◀─ Process (one group, ends with us) ◀─ Emulator, ControlPlane, Provider
//! ```
//!
//! Environment variables:
//! - `NEARGATE_CLUSTER`: `bare` (the default) is our own control plane; `kind` a kind cluster, whose network the tasks
//!   join; a path the cluster of that kubeconfig, whose API server must reach this machine at `NEARGATE_NODE_IP`
//!   (default 127.0.0.1). A test that needs its own control plane starts one.
//! - `CI`: a missing need is then a failure, and not a skip as on a laptop.
//! - `NEARGATE_KEEP_LOGS`: a folder that gets every process's log.

pub mod aws;
pub mod choice;
pub mod cluster;
pub mod control_plane;
pub mod deployment;
pub mod docker;
pub mod emulator;
pub mod kubeconfig;
pub mod kubectl;
pub mod member;
pub mod namespace;
pub mod need;
pub mod pods;
pub mod process;
pub mod provider;
pub mod shared;
pub mod stack;
pub mod suite;
pub mod wait;
pub mod work;

use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// A file under `fixtures/`.
#[must_use]
pub fn fixture(path: &str) -> PathBuf {
    repository().join("fixtures").join(path)
}

/// The whole chain of an error in one line.
#[must_use]
pub fn chain(error: &anyhow::Error) -> String {
    format!("{error:#}")
}
