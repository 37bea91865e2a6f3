//! The generated files: formatted, then written or compared.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// Past this many lines a file is no longer readable; [`crate::layout`] needs another group.
const MOST_LINES: usize = 900;

/// Paths below the output directory and their text.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<PathBuf, String>);

impl Files {
    pub(crate) fn add(&mut self, path: impl Into<PathBuf>, text: String) {
        self.0.insert(path.into(), text);
    }

    /// Runs rustfmt with the workspace's configuration over every file.
    pub(crate) fn format(&mut self) -> anyhow::Result<()> {
        for (path, text) in &mut self.0 {
            *text = rustfmt(text).with_context(|| format!("formatting {}", path.display()))?;
            let lines = text.lines().count();
            ensure!(
                lines <= MOST_LINES,
                "{} has {lines} lines: add another group to layout.rs",
                path.display()
            );
        }
        Ok(())
    }

    /// Makes `directory` contain exactly these files.
    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        for stale in present(directory)?.iter().filter(|path| !self.0.contains_key(*path)) {
            fs::remove_file(directory.join(stale))
                .with_context(|| format!("removing {}", stale.display()))?;
        }
        for (path, text) in &self.0 {
            let path = directory.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
            }
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    /// Fails if `directory` holds anything else than these files, naming each that differs.
    pub(crate) fn check(&self, directory: &Path) -> anyhow::Result<()> {
        let mut differing = Vec::new();
        for path in present(directory)? {
            if !self.0.contains_key(&path) {
                differing.push(format!("{} is not generated", path.display()));
            }
        }
        for (path, text) in &self.0 {
            match fs::read_to_string(directory.join(path)) {
                Ok(found) if found == *text => {}
                Ok(_) => differing.push(format!("{} differs", path.display())),
                Err(error) => differing.push(format!("{}: {error}", path.display())),
            }
        }
        if differing.is_empty() {
            return Ok(());
        }
        bail!(
            "the generated code is not up to date, run `cargo run -p neargate-generator`:\n{}",
            differing.join("\n")
        )
    }
}

/// The files below `directory`, by their path inside it.
fn present(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = directory.join(&folder);
        if !path.exists() {
            continue;
        }
        for entry in fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))? {
            let entry = entry?;
            let inside = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() { folders.push(inside) } else { found.push(inside) }
        }
    }
    Ok(found)
}

fn rustfmt(text: &str) -> anyhow::Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../rustfmt.toml")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting rustfmt")?;
    let mut stdin = child.stdin.take().context("rustfmt has no stdin")?;
    let text = text.to_owned();
    // Written from its own thread: rustfmt may write before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().context("waiting for rustfmt")?;
    match writer.join() {
        Ok(written) => written.context("writing to rustfmt")?,
        Err(_) => bail!("the thread that writes to rustfmt panicked"),
    }
    ensure!(output.status.success(), "rustfmt failed");
    Ok(String::from_utf8(output.stdout)?)
}
