//! `neargate serve` as a real process, on its own port, that can be killed and restarted on the same data.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::aws::Aws;
use crate::member::Member;
use crate::process::{self, Orphaned, Process};
use crate::work::{self, Work};
use crate::{docker, wait};

/// How an emulator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tasks, pool and networks are removed with it, on SIGTERM.
    pub ephemeral: bool,
    /// `:memory:` instead of a data folder.
    pub in_memory: bool,
    /// As a [`Member`] instead of as this process's own user. Requires root.
    pub as_member: bool,
    /// `--sandbox-pool`; none: the emulator's own default, which takes seconds to fill and to remove.
    pub sandbox_pool: Option<usize>,
    /// Further arguments of `neargate serve`.
    pub arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ephemeral: true,
            in_memory: false,
            as_member: false,
            sandbox_pool: Some(4),
            arguments: Vec::new(),
        }
    }
}

/// An emulator; if dropped, it is killed, and what it left in Docker is removed.
#[derive(Debug)]
pub struct Emulator {
    name: String,
    options: Options,
    member: Option<Member>,
    data: PathBuf,
    log: PathBuf,
    listen: String,
    instance: String,
    process: Option<Process>,
}

impl Emulator {
    /// Starts one on a free port and waits until it responds.
    pub async fn start(work: &Work, name: &str, options: Options) -> anyhow::Result<Self> {
        let data = work.folder(&format!("data-{name}"))?;
        let member = options.as_member.then(|| Member::with(work, &data)).transpose()?;
        let mut emulator = Self {
            name: name.to_owned(),
            options,
            member,
            data,
            log: work.log(name)?,
            listen: "127.0.0.1:0".to_owned(),
            instance: String::new(),
            process: None,
        };
        emulator.resume().await?;
        Ok(emulator)
    }

    /// Starts it again on the same port and data, after [`Emulator::kill`] or [`Emulator::terminate`].
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        let seen = std::fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
        let mut command = self.command()?;
        let data = if self.options.in_memory { Path::new(":memory:") } else { &self.data };
        command.args(["serve", "--listen", &self.listen, "--data-dir"]).arg(data);
        if self.options.ephemeral {
            command.arg("--ephemeral");
        }
        if let Some(count) = self.options.sandbox_pool {
            command.args(["--sandbox-pool", &count.to_string()]);
        }
        command.args(&self.options.arguments);
        let mut process = Process::spawn(&self.name, command, self.log.clone())?;
        let log = self.log.clone();
        let listen =
            wait::until(&format!("{} reports its address", self.name), wait::seconds(30), async || {
                process.alive().map_err(|error| crate::chain(&error))?;
                listening(&log, seen).ok_or_else(|| format!("its log: {}", work::tail(&log, 5)))
            })
            .await?;
        self.process = Some(process);
        self.listen = listen;
        self.instance = self.healthy().await?;
        Ok(())
    }

    /// `neargate`, as its user.
    fn command(&self) -> anyhow::Result<Command> {
        Ok(match &self.member {
            None => process::command(process::binary("neargate")?, Orphaned::Terminated),
            Some(member) => member.neargate(Orphaned::Terminated),
        })
    }

    /// Waits until it is healthy, and reads its instance id.
    async fn healthy(&self) -> anyhow::Result<String> {
        let health = format!("{}/_neargate/health", self.endpoint());
        wait::until(&format!("{} is healthy", self.name), wait::seconds(30), async || {
            let answer = reqwest::get(&health).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body: serde_json::Value = answer.json().await.map_err(|error| error.to_string())?;
            let instance = body.get("instance").and_then(serde_json::Value::as_str);
            instance
                .filter(|_| status.is_success())
                .map(str::to_owned)
                .ok_or_else(|| format!("{status}: {body}"))
        })
        .await
    }

    /// The endpoint for an AWS client.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Clients of it.
    pub async fn aws(&self) -> Aws {
        Aws::connect(&self.endpoint()).await
    }

    /// The id that its containers carry.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// SIGKILL, as a crash would be.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().with_context(|| format!("{} does not run", self.name))?.kill()
    }

    /// SIGTERM; it must end with success.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        self.terminate_within(process::PATIENCE).await
    }

    /// The same, on a machine that needs that long for it.
    pub async fn terminate_within(&mut self, patience: Duration) -> anyhow::Result<()> {
        let process = self.process.take().with_context(|| format!("{} does not run", self.name))?;
        let status = process.terminate_within(patience).await?;
        let log = work::tail(&self.log, 30);
        // All that it could not remove may be a network of which Docker has miscounted the endpoints.
        let is_excused = status.code() == Some(1)
            && log.contains("the engine has miscounted")
            && docker::left_by(&self.instance).await?.is_empty();
        anyhow::ensure!(status.success() || is_excused, "{} ended with {status}:\n{log}", self.name);
        Ok(())
    }

    /// Ends it, and fails if an ephemeral one left anything in Docker.
    pub async fn close(mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            self.terminate().await?;
        }
        if self.options.ephemeral || self.options.in_memory {
            let instance = self.instance.clone();
            wait::until(&format!("{} left nothing in Docker", self.name), Duration::ZERO, async || {
                let left = docker::left_by(&instance).await.map_err(|error| crate::chain(&error))?;
                if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
            })
            .await?;
        }
        Ok(())
    }

    /// `neargate clean` for what this instance left; it does nothing to a running one.
    pub fn clean(&self) -> anyhow::Result<()> {
        let mut command = self.command()?;
        let cleaned = command
            .arg("clean")
            .arg("--data-dir")
            .arg(&self.data)
            .output()
            .context("running neargate clean")?;
        anyhow::ensure!(
            cleaned.status.success(),
            "neargate clean: {}",
            String::from_utf8_lossy(&cleaned.stderr)
        );
        Ok(())
    }

    /// The end of its log.
    #[must_use]
    pub fn dump(&self) -> String {
        format!("--- the end of {}'s log\n{}\n", self.name, work::tail(&self.log, 60))
    }
}

impl Drop for Emulator {
    /// Also removes what a failed test left in Docker: its instance is dead by then.
    fn drop(&mut self) {
        drop(self.process.take());
        if let Err(error) = self.clean() {
            eprintln!("{}: cleaning up: {error:#}", self.name);
        }
    }
}

/// The address in `neargate: listening on http://127.0.0.1:PORT`, printed after the first `seen` bytes of the log.
fn listening(log: &Path, seen: u64) -> Option<String> {
    let bytes = std::fs::read(log).ok()?;
    let fresh = bytes.get(usize::try_from(seen).ok()?..)?;
    let text = String::from_utf8_lossy(fresh);
    let address = text.lines().find_map(|line| line.split_once("listening on http://"))?.1;
    Some(address.split_whitespace().next()?.trim_end_matches('/').to_owned())
}
