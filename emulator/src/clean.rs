//! `neargate clean`: removes from the engine what instances that no longer run left there.
//!
//! An instance is alive while a process holds the lock of its data directory. The lock of one that does not run is held
//! here while its resources are removed, so that it cannot start meanwhile. What carries no label of Neargate is never
//! touched, and an instance of another machine is left to that machine. What cannot be removed is reported, and the rest
//! is removed.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::runtime::docker::census::{self, Resident};
use crate::runtime::docker::names::this_host;
use crate::runtime::docker::{Inner, client, limits, sandbox_image};
use crate::{runtime, store};

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// As for `neargate serve`.
    pub docker_host: Option<String>,
    /// Only the leftovers of the instance of this data directory.
    pub data_dir: Option<PathBuf>,
    /// Print what would be removed, and remove nothing.
    pub dry_run: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    #[error("could not make the path of --data-dir absolute")]
    DataDir(#[source] io::Error),
    #[error("could not print")]
    Print(#[from] io::Error),
}

/// Removes what dead instances left; prints to `out` what it removes, what it leaves and what it could not remove, one
/// line each. Returns whether nothing failed.
///
/// # Errors
/// No engine responds, or writing to `out` fails.
pub async fn run(options: &Options, out: &mut (impl Write + Send)) -> Result<bool, Error> {
    let Options { docker_host, data_dir, dry_run } = options;
    let host = client::host(docker_host.as_deref());
    let docker = client::connect(&host).await?;
    let removed = if *dry_run { "would remove" } else { "removed" };
    let (mut nothing, mut whole) = (true, true);

    // In the form that an instance writes into its labels.
    let only = data_dir.as_deref().map(std::path::absolute).transpose().map_err(Error::DataDir)?;
    let chosen = |resident: &Resident| only.as_ref().is_none_or(|only| *only == resident.instance.data_dir);
    for resident in census::take(&docker, &host).await?.into_iter().filter(chosen) {
        let id = &resident.instance.id;
        let directory = resident.instance.data_dir.display();
        match Liveness::of(&resident) {
            Liveness::Hidden { why } => writeln!(out, "left instance {id} of {directory}: {why}")?,
            Liveness::Elsewhere => {
                writeln!(out, "left instance {id}: it belongs to the machine {}", resident.instance.host)?;
            }
            Liveness::Busy => {
                writeln!(out, "left instance {id}: processes run in its cgroups, on another engine")?
            }
            Liveness::Alive { pid } => {
                writeln!(out, "left instance {id} of {directory}: process {pid} runs it")?
            }
            Liveness::Dead { held } => {
                let failures = if *dry_run { Vec::new() } else { remove(&host, &resident).await };
                drop(held);
                let left = match failures.as_slice() {
                    [] => Vec::new(),
                    _ => left_of(census::take(&docker, &host).await?, id),
                };
                for holding in &resident.holdings {
                    let done = if left.contains(holding) { "left" } else { removed };
                    writeln!(out, "{done} {holding}")?;
                }
                for failure in &failures {
                    writeln!(out, "could not {failure}")?;
                }
                whole &= failures.is_empty();
                nothing = false;
            }
        }
    }
    // The images are shared by all instances.
    if only.is_none() {
        for image in sandbox_image::sweep(&docker, &host, *dry_run).await? {
            writeln!(out, "{removed} image {image}")?;
            nothing = false;
        }
    }
    if nothing {
        writeln!(out, "nothing to remove")?;
    }
    Ok(whole)
}

/// Removes as much as possible of an instance, and returns why the rest could not be removed.
async fn remove(host: &str, resident: &Resident) -> Vec<runtime::Error> {
    match Inner::connect(host, resident.instance.clone()).await {
        Ok(inner) => inner.remove_all().await,
        Err(error) => vec![error],
    }
}

fn left_of(residents: Vec<Resident>, id: &str) -> Vec<String> {
    let mut residents = residents.into_iter();
    residents
        .find(|resident| resident.instance.id == id)
        .map(|resident| resident.holdings)
        .unwrap_or_default()
}

/// Whether an instance is alive.
enum Liveness {
    /// Its data directory is on another machine.
    Elsewhere,
    /// Only its cgroups are known here, and processes run in them.
    Busy,
    /// Its data directory belongs to another user.
    Hidden {
        why: String,
    },
    Alive {
        pid: String,
    },
    /// With its lock, if its data directory still exists.
    Dead {
        held: Option<store::Lock>,
    },
}

impl Liveness {
    fn of(resident: &Resident) -> Self {
        if resident.instance.host != this_host() {
            return Self::Elsewhere;
        }
        let directory = &resident.instance.data_dir;
        if directory.as_os_str().is_empty() {
            let busy = limits::has_processes(&resident.instance.id);
            return if busy { Self::Busy } else { Self::Dead { held: None } };
        }
        match directory.join("lock").try_exists() {
            Ok(true) => {}
            Ok(false) => return Self::Dead { held: None },
            Err(error) => return Self::Hidden { why: error.to_string() },
        }
        match store::Lock::acquire(directory) {
            Ok(lock) => Self::Dead { held: Some(lock) },
            Err(store::Error::Locked { pid, .. }) => Self::Alive { pid },
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                Self::Hidden { why: cause.unwrap_or_else(|| error.to_string()) }
            }
        }
    }
}
