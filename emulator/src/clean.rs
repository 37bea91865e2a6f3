//! `neargate clean`: removes from the engine what dead instances left there.
//!
//! An instance lives while a process holds the lock of its data directory. A dead one's lock is held here while its
//! things are removed, so that nobody starts it meanwhile. What carries no label of Neargate is never looked at, and
//! an instance of another machine is left to that machine.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::runtime::docker::census::{self, Resident};
use crate::runtime::docker::names::this_host;
use crate::runtime::docker::{Inner, client, sandbox_image};
use crate::{runtime, store};

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// As for `neargate serve`.
    pub docker_host: Option<String>,
    /// Only what the instance of this data directory left.
    pub data_dir: Option<PathBuf>,
    /// Say what would be removed, and remove nothing.
    pub dry_run: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    #[error("could not tell where the data directory is")]
    DataDir(#[source] io::Error),
    #[error("could not print")]
    Print(#[from] io::Error),
}

/// Removes what dead instances left; says on `out` what it removes and what it leaves, a line each.
///
/// # Errors
/// No engine answers, it refuses a removal, or `out` does.
pub async fn run(options: &Options, out: &mut (impl Write + Send)) -> Result<(), Error> {
    let Options { docker_host, data_dir, dry_run } = options;
    let host = client::host(docker_host.as_deref());
    let docker = client::connect(&host).await?;
    let removed = if *dry_run { "would remove" } else { "removed" };
    let mut nothing = true;

    // As an instance writes it onto what it makes.
    let only = data_dir.as_deref().map(std::path::absolute).transpose().map_err(Error::DataDir)?;
    let chosen = |resident: &Resident| only.as_ref().is_none_or(|only| *only == resident.instance.data_dir);
    for resident in census::take(&docker, &host).await?.into_iter().filter(chosen) {
        let id = &resident.instance.id;
        let directory = resident.instance.data_dir.display();
        match Life::of(&resident) {
            Life::Hidden { why } => writeln!(out, "left instance {id} of {directory}: {why}")?,
            Life::Elsewhere => {
                writeln!(out, "left instance {id}: it belongs to the machine {}", resident.instance.host)?;
            }
            Life::Alive { pid } => writeln!(out, "left instance {id} of {directory}: process {pid} runs it")?,
            Life::Dead { held } => {
                if !dry_run {
                    Inner::connect(&host, resident.instance.clone()).await?.remove_everything().await?;
                }
                drop(held);
                for holding in &resident.holdings {
                    writeln!(out, "{removed} {holding}")?;
                }
                nothing = false;
            }
        }
    }
    // The images are every instance's.
    if only.is_none() {
        for image in sandbox_image::sweep(&docker, &host, *dry_run).await? {
            writeln!(out, "{removed} image {image}")?;
            nothing = false;
        }
    }
    if nothing {
        writeln!(out, "nothing to remove")?;
    }
    Ok(())
}

/// Whether an instance lives.
enum Life {
    /// Its data directory is on another machine.
    Elsewhere,
    /// Its data directory is another user's.
    Hidden {
        why: String,
    },
    Alive {
        pid: String,
    },
    /// With its lock, where there still is a data directory.
    Dead {
        held: Option<store::Lock>,
    },
}

impl Life {
    fn of(resident: &Resident) -> Self {
        if resident.instance.host != this_host() {
            return Self::Elsewhere;
        }
        let directory = &resident.instance.data_dir;
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
