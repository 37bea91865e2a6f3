//! What a suite needs. If it is missing on a laptop, the tests are skipped with one clear line; in CI they fail.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::choice::Choice;
use crate::repository;

/// A thing that `make test` prepares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A Docker engine that responds, and the fixture images on it.
    Images,
    /// Kubernetes and etcd, built, unless `NEARGATE_CLUSTER` names a cluster.
    ControlPlane,
    /// A cluster with its own nodes, whose network tasks can join: `NEARGATE_CLUSTER=kind`.
    ClusterNetwork,
    /// A Docker engine that nothing else uses, under systemd, which tests may kill: `NEARGATE_OWN_ENGINE=1`, as in the VM
    /// of `make test-vm`.
    OwnEngine,
}

impl Need {
    /// An error says what is missing and how to get it.
    pub fn check(self) -> anyhow::Result<()> {
        match self {
            Self::Images => images(),
            Self::ControlPlane if Choice::of_environment() != Choice::Bare => Ok(()),
            Self::ControlPlane => control_plane().map(drop),
            Self::ClusterNetwork | Self::OwnEngine => Ok(()),
        }
    }

    /// Why it is not wanted in this run, if it is not: that is not a failure, not even in CI.
    #[must_use]
    pub fn unwanted(self) -> Option<&'static str> {
        match self {
            Self::ClusterNetwork if Choice::of_environment() != Choice::Kind => {
                Some("it needs a cluster's network: NEARGATE_CLUSTER=kind")
            }
            Self::OwnEngine if std::env::var_os("NEARGATE_OWN_ENGINE").is_none() => {
                Some("it kills the container engine, so it needs one of its own: make test-vm")
            }
            _ => None,
        }
    }
}

/// Whether this is CI, where nothing may be skipped.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

fn images() -> anyhow::Result<()> {
    for image in ["neargate/fixture:latest", "neargate/busybox:latest"] {
        let output = Command::new("docker")
            .args(["image", "inspect", "--format", "{{.Id}}", image])
            .output()
            .context("Docker is not installed: make images")?;
        ensure!(
            output.status.success(),
            "no image {image} ({}): make images",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// The folder of the control plane's programs.
pub fn control_plane() -> anyhow::Result<PathBuf> {
    script("controlplane.sh")
}

/// The folder of the Python environment with the AWS clients.
pub fn python() -> anyhow::Result<PathBuf> {
    script("venv.sh")
}

fn script(name: &str) -> anyhow::Result<PathBuf> {
    let path = repository().join("integration-tests/scripts").join(name);
    let output =
        Command::new(&path).arg("--path").output().with_context(|| format!("running {}", path.display()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
