//! `kubectl` itself, for tests of what a user types: the one in PATH, else the one of the control plane.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::{Child, Command};

use crate::need;

/// The path of kubectl.
pub fn find() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|file| file.is_file()) {
        Some(found) => Ok(found),
        None => Ok(need::control_plane()?.join("kubectl")),
    }
}

/// A `kubectl ARGS…` against the cluster of `kubeconfig`, not yet started.
pub fn command(kubeconfig: &Path, args: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(find()?);
    command.env("KUBECONFIG", kubeconfig).args(args).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// Runs it to its end; returns what it printed.
pub async fn kubectl(kubeconfig: &Path, args: &[&str]) -> anyhow::Result<String> {
    let output = command(kubeconfig, args)?.output().await.context("running kubectl")?;
    ensure!(
        output.status.success(),
        "kubectl {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Starts one whose output is read as it arrives, such as `kubectl logs -f`.
pub fn follow(kubeconfig: &Path, args: &[&str]) -> anyhow::Result<Child> {
    let mut command = command(kubeconfig, args)?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("starting kubectl")
}
