//! The source of the models: one pinned version of botocore.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use flate2::read::GzDecoder;

use crate::layout::Service;
use crate::model::Model;

/// The botocore whose models are checked in.
pub(crate) const VERSION: &str = "1.43.11";

/// A botocore of the pinned version.
#[derive(Debug)]
pub(crate) struct Source {
    data: PathBuf,
}

impl Source {
    /// Finds botocore in `directory`, else where `python` imports it from. Any other version than the pinned
    /// one is refused.
    pub(crate) fn open(directory: Option<PathBuf>, python: &Path) -> anyhow::Result<Self> {
        let directory = match directory {
            Some(directory) => directory,
            None => ask(python)?,
        };
        let version = version(&directory)?;
        ensure!(
            version == VERSION,
            "{} is botocore {version}, and {VERSION} is pinned: pip install botocore=={VERSION}",
            directory.display()
        );
        Ok(Self { data: directory.join("data") })
    }

    /// Reads the model of one service.
    pub(crate) fn model(&self, service: &Service) -> anyhow::Result<Model> {
        let path = self.data.join(service.model);
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        serde_json::from_reader(GzDecoder::new(file)).with_context(|| format!("parsing {}", path.display()))
    }
}

/// The directory from which `python` imports botocore.
fn ask(python: &Path) -> anyhow::Result<PathBuf> {
    let output = Command::new(python)
        .args(["-c", "import botocore, os; print(os.path.dirname(botocore.__file__))"])
        .output()
        .with_context(|| format!("running {}", python.display()))?;
    if !output.status.success() {
        bail!(
            "{} has no botocore: pip install botocore=={VERSION}, or specify its directory with --botocore",
            python.display()
        );
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// `__version__` of the package in `directory`.
fn version(directory: &Path) -> anyhow::Result<String> {
    let path = directory.join("__init__.py");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("__version__ = "))
        .map(|quoted| quoted.trim_matches(['\'', '"']).to_owned())
        .with_context(|| format!("{} names no __version__", path.display()))
}
