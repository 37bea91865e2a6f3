//! A child process: in its own process group, its output in a file, killed when its handle is dropped.
//!
//! `setpriv --pdeathsig` (util-linux, on every Linux) makes the kernel end the child when the thread that started it
//! ends, so that nothing outlives a run that was itself killed. So long-lived processes are started from `main`.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{wait, work};

/// A process that has not ended in this time after SIGTERM is killed. An emulator may take half a minute: it waits for what
/// the engine is making, and removes it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the kernel sends to the child if its starter dies first.
#[derive(Clone, Copy, Debug)]
pub enum Orphaned {
    /// SIGKILL: nothing has to be cleaned up.
    Killed,
    /// SIGTERM: an emulator that cleans up its containers.
    Terminated,
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A command of `program` that ends with this process.
#[must_use]
pub fn command(program: impl AsRef<OsStr>, orphaned: Orphaned) -> Command {
    privileged(&[], program, orphaned)
}

/// The same as a user in one group. It takes root.
#[must_use]
pub fn as_user(user: u32, group: u32, program: impl AsRef<OsStr>, orphaned: Orphaned) -> Command {
    let (user, group) = (user.to_string(), group.to_string());
    privileged(&["--reuid", &user, "--regid", &group, "--clear-groups"], program, orphaned)
}

fn privileged(who: &[&str], program: impl AsRef<OsStr>, orphaned: Orphaned) -> Command {
    let mut command = Command::new("setpriv");
    let signal = match orphaned {
        Orphaned::Killed => "KILL",
        Orphaned::Terminated => "TERM",
    };
    command.args(who).args(["--pdeathsig", signal, "--"]).arg(program);
    command
}

impl Process {
    /// Starts `command`, its output appended to `log`.
    pub fn spawn(name: &str, mut command: Command, log: PathBuf) -> anyhow::Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        let errors = output.try_clone().context("sharing the log between stdout and stderr")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its output so far.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("looking after {}", self.name))
    }

    /// A status for waits: an error with the end of its log if the process is gone.
    pub fn alive(&mut self) -> anyhow::Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} ended: {status}\n{}", self.name, work::tail(&self.log, 30)),
        }
    }

    /// SIGKILL to the process alone, as in a crash: no time to clean up.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.signal_one(Signal::KILL);
        self.child.wait().with_context(|| format!("waiting for {} to be killed", self.name))?;
        Ok(())
    }

    /// SIGTERM, then its exit status; SIGKILL and an error if it does not end.
    pub async fn terminate(self) -> anyhow::Result<ExitStatus> {
        self.terminate_within(PATIENCE).await
    }

    /// The same, on a machine that needs that long for it.
    pub async fn terminate_within(mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.signal_one(Signal::TERM);
        let name = self.name.clone();
        wait::until(&format!("{name} ends after SIGTERM"), patience, async || match self.ended() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => Err(crate::chain(&error)),
        })
        .await
        .with_context(|| format!("its log ends:\n{}", work::tail(&self.log, 30)))
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal_one(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // An error means that it is gone already, as intended.
            kill_process(pid, signal).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Some(pid) = self.pid() {
            kill_process_group(pid, Signal::KILL).ok();
        }
        self.child.wait().ok();
    }
}

/// Whether a status is "killed by SIGKILL".
#[must_use]
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

/// The path of a binary of this workspace, beside the running one: `cargo test --workspace` builds them all.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program")?;
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built: cargo build --workspace"))
}
