//! Docker's own view of what runs, by its command: the tests compare it with ECS's.

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

/// What an instance left on the engine: what it holds, except networks that Docker refuses to remove by its own fault.
pub async fn left_by(instance: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut left = BTreeSet::new();
    for held in held_by(instance).await? {
        match held.strip_prefix("network ") {
            Some(network) if is_miscounted(network).await? => eprintln!("{held}: left by a fault of Docker"),
            _ => {
                left.insert(held);
            }
        }
    }
    Ok(left)
}

/// Whether no container is connected to the network, and Docker refuses to remove it all the same: it miscounts endpoints at
/// times (moby/moby#42119), until its next restart.
async fn is_miscounted(network: &str) -> anyhow::Result<bool> {
    let containers = docker(&["network", "inspect", "--format", "{{len .Containers}}", network]).await?;
    let refused = |error: anyhow::Error| error.to_string().contains("has active endpoints");
    Ok(containers == "0" && docker(&["network", "rm", network]).await.is_err_and(refused))
}

/// A container of an instance: a task's, or a sandbox. The emulator's helper is not one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    pub name: String,
    /// The id of the task; none for a sandbox.
    pub task: Option<String>,
    /// Docker's state: `created`, `running`, `exited`.
    pub state: String,
}

/// The containers of an instance, running or not.
pub async fn containers_of(instance: &str) -> anyhow::Result<BTreeSet<Held>> {
    let filter = format!("label=neargate.instance={instance}");
    let format = "{{.Names}}\t{{.Label \"neargate.task\"}}\t{{.State}}";
    let network = "label=neargate.sandbox";
    let listed =
        docker(&["ps", "--all", "--filter", &filter, "--filter", network, "--format", format]).await?;
    let held = listed.lines().map(|line| {
        let mut columns = line.split('\t').map(str::to_owned);
        let mut next = || columns.next().with_context(|| format!("docker ps printed {line:?}"));
        Ok(Held { name: next()?, task: Some(next()?).filter(|task| !task.is_empty()), state: next()? })
    });
    held.collect()
}

/// The names of the containers that have an address on the networks of an instance.
pub async fn addressed_of(instance: &str) -> anyhow::Result<BTreeSet<String>> {
    let filter = format!("label=neargate.instance={instance}");
    let networks = docker(&["network", "ls", "--quiet", "--filter", &filter]).await?;
    let mut names = BTreeSet::new();
    for network in networks.lines() {
        let format = "{{range .Containers}}{{println .Name}}{{end}}";
        let listed = docker(&["network", "inspect", "--format", format, network]).await?;
        names.extend(listed.lines().filter(|name| !name.is_empty()).map(str::to_owned));
    }
    Ok(names)
}

/// The ids of the tasks of an instance that have a control group.
#[must_use]
pub fn task_cgroups_of(instance: &str) -> BTreeSet<String> {
    let below = cgroups_of(instance).into_iter().flat_map(|group| folders(&group));
    let names = below.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    // A folder ID, or a slice neargate-INSTANCE-ID.slice.
    names.filter_map(|name| Some(name.trim_end_matches(".slice").rsplit('-').next()?.to_owned())).collect()
}

/// A block of 256 addresses below `10.<second>.` in which no network of this engine begins. Larger networks around it are not
/// detected.
pub async fn free_block(second: u8) -> anyhow::Result<String> {
    // A network that is removed between the two calls is not a failure.
    let taken = crate::wait::until("the networks are listed", crate::wait::seconds(30), async || {
        let listed = async {
            let ids = docker(&["network", "ls", "--quiet"]).await?;
            let format = "{{range .IPAM.Config}}{{println .Subnet}}{{end}}";
            let mut args = vec!["network", "inspect", "--format", format];
            args.extend(ids.lines());
            docker(&args).await
        };
        listed.await.map_err(|error| crate::chain(&error))
    })
    .await?;
    // Parallel runs begin at different blocks.
    let start = u8::try_from(std::process::id() % 256)?;
    let mut blocks = (0..=255u8).map(|step| format!("10.{second}.{}.", start.wrapping_add(step)));
    let free = blocks.find(|block| !taken.lines().any(|subnet| subnet.starts_with(block.as_str())));
    free.map(|block| format!("{block}0/24")).with_context(|| format!("10.{second}.0.0/16 is full"))
}

/// `docker inspect` of one container.
pub async fn inspect(container: &str) -> anyhow::Result<Value> {
    let all = docker(&["inspect", "--type", "container", container]).await?;
    let mut all: Vec<Value> = serde_json::from_str(&all).context("reading docker inspect")?;
    all.pop().context("docker inspect returned nothing")
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

/// The folders in a folder; none if a control group is removed while it is read.
fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.filter(|path| path.is_dir() && !path.is_symlink()).collect()
}
