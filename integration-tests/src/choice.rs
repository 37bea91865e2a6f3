//! The cluster of a run: one variable, `NEARGATE_CLUSTER`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::repository;

/// The kind cluster of the suites; the one of `make kind` has another name.
pub const KIND: &str = "neargate-test";

/// A cluster to run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `bare`, the default: our own control plane, which has no network of its own.
    Bare,
    /// `kind`: a kind cluster, created if it does not exist, and left for the next run.
    Kind,
    /// A path: the cluster of that kubeconfig.
    Kubeconfig(PathBuf),
}

impl Choice {
    /// The value of `NEARGATE_CLUSTER`.
    #[must_use]
    pub fn of_environment() -> Self {
        match std::env::var("NEARGATE_CLUSTER").as_deref() {
            Err(_) | Ok("" | "bare") => Self::Bare,
            Ok("kind") => Self::Kind,
            Ok(path) => Self::Kubeconfig(PathBuf::from(path)),
        }
    }
}

/// A running kind cluster.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its administrator's.
    pub kubeconfig: PathBuf,
    /// This machine's address on the cluster's network.
    pub gateway: String,
}

impl Kind {
    /// Creates the cluster of the suites if it does not exist.
    pub fn up() -> anyhow::Result<Self> {
        let script = repository().join("integration-tests/scripts/kind-cluster.sh");
        let up = Command::new(&script).args(["up", KIND]).stderr(std::process::Stdio::inherit()).output();
        let kubeconfig = said(up.with_context(|| format!("running {}", script.display()))?)?;
        let format = "{{range .IPAM.Config}}{{.Gateway}} {{end}}";
        let inspected =
            Command::new("docker").args(["network", "inspect", "--format", format, "kind"]).output();
        let gateways = said(inspected.context("running docker network inspect")?)?;
        // The network has an IPv6 block too.
        let gateway = gateways.split_whitespace().find(|address| address.contains('.'));
        let gateway = gateway.context("the network kind has no IPv4 gateway")?.to_owned();
        Ok(Self { kubeconfig: kubeconfig.into(), gateway })
    }
}

fn said(output: std::process::Output) -> anyhow::Result<String> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
