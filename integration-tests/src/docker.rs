//! Docker's own view of what runs, by its command: what the tests hold against what ECS says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

/// The output of `docker ARGS…`.
pub async fn docker(args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker").args(args).output().await.context("running docker")?;
    ensure!(
        output.status.success(),
        "docker {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What an instance holds on the engine: containers, networks and volumes, each as `kind name`.
pub async fn held_by(instance: &str) -> anyhow::Result<BTreeSet<String>> {
    let filter = format!("label=neargate.instance={instance}");
    let mut held = BTreeSet::new();
    for (kind, args) in [
        ("container", vec!["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]),
        ("network", vec!["network", "ls", "--filter", &filter, "--format", "{{.Name}}"]),
        ("volume", vec!["volume", "ls", "--filter", &filter, "--format", "{{.Name}}"]),
    ] {
        held.extend(docker(&args).await?.lines().map(|name| format!("{kind} {name}")));
    }
    Ok(held)
}

/// `docker inspect` of one container.
pub async fn inspect(container: &str) -> anyhow::Result<Value> {
    let all = docker(&["inspect", "--type", "container", container]).await?;
    let mut all: Vec<Value> = serde_json::from_str(&all).context("reading docker inspect")?;
    all.pop().context("docker inspect answered nothing")
}

/// The control groups of an instance, by their names, in the two levels under every hierarchy's root.
#[must_use]
pub fn cgroups_of(instance: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for hierarchy in folders(Path::new("/sys/fs/cgroup")) {
        for group in folders(&hierarchy) {
            found.extend(folders(&group).into_iter().filter(|path| names(path, instance)));
            if names(&group, instance) {
                found.push(group);
            }
        }
    }
    found
}

fn names(path: &Path, instance: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(instance))
}

/// The folders in a folder; a control group that goes while it is read holds none.
fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.filter(|path| path.is_dir() && !path.is_symlink()).collect()
}
