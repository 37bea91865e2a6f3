//! How the limits of a task are enforced: its cpu and memory are the sum of its containers', so they belong to a cgroup
//! above them. The facts that the engine reports decide the way.
//!
//! ```text
//! engine on this kernel, driver cgroupfs ─▶ a directory in every hierarchy   (cgroupfs ─▶ writer)
//! engine on this kernel, driver systemd  ─▶ a transient slice                (systemd ─▶ bus)
//! anything else                          ─▶ each container for itself        (no sum is enforced)
//! ```
//!
//! Both require root: if this process is not root, a [`helper`] container does it.

mod bus;
mod cgroupfs;
mod helper;
mod systemd;
mod writer;

use std::io;
use std::time::Duration;

use super::facts::{Driver, Facts};
use crate::clock::Clock;
pub(crate) use cgroupfs::{has_processes, instances as cgroup_instances};
pub(crate) use helper::Engine;

use cgroupfs::Tree;
use systemd::Slices;

/// How long [`Limits::claim`] tries, and its pause between two attempts.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(8);
const BETWEEN_CLAIMS: Duration = Duration::from_millis(500);

/// Microseconds; the kernel's default. A container's quota and its task's use the same period, because cgroup v1 compares
/// their ratios and refuses a child with more than its parent.
pub(super) const CPU_PERIOD: i64 = 100_000;

/// Microseconds in a [`CPU_PERIOD`] that `cpu` units may run.
pub(super) fn cpu_quota(cpu: u32) -> i64 {
    i64::from(cpu) * CPU_PERIOD / 1024
}

/// Processes and threads that a task of `cpu` units may have, and so each of its containers: without a limit one task can
/// use up all that the kernel allows. Fargate's own limit is that of the task's virtual machine; this one is far above
/// what a server needs.
pub(super) fn processes(cpu: u32) -> i64 {
    i64::from(cpu.max(1024))
}

/// The cgroup v2 weight of cpu units, as the OCI runtimes convert v1's shares (runc `ConvertCPUSharesToCgroupV2Value`).
fn weight(cpu: u32) -> u32 {
    1 + (cpu.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

/// Bytes of MiB.
pub(super) fn bytes(mebibytes: u32) -> i64 {
    i64::from(mebibytes) * 1024 * 1024
}

#[derive(Clone, Debug)]
pub(crate) enum Limits {
    Cgroupfs(Tree),
    Systemd(Slices),
    PerContainer { why: String },
}

impl Limits {
    /// Chooses by what the engine reports. Changes nothing.
    pub(crate) fn choose(facts: &Facts, engine: Engine) -> Self {
        if let Err(why) = reaches_kernel(facts) {
            return Self::PerContainer { why: why.to_owned() };
        }
        let (version, instance) = (facts.cgroup_version, engine.instance.id.clone());
        let chosen = match facts.cgroup_driver {
            Driver::Cgroupfs => Tree::find(version, &instance, Some(engine)).map(Self::Cgroupfs),
            Driver::Systemd => Slices::find(version, &instance, Some(engine)).map(Self::Systemd),
            Driver::None => Err(io::Error::other("the engine has no cgroup driver")),
        };
        chosen.unwrap_or_else(|error| Self::PerContainer { why: error.to_string() })
    }

    /// Creates the instance's own cgroup, to find out whether that is allowed. If it is refused, the limits are enforced per
    /// container, instead of an error for each task later. Silence is no refusal: then the first task tries again. Takes
    /// 8 s at most, which the server's own timeout for connecting includes.
    pub(crate) async fn claim(self, clock: &Clock) -> Self {
        let mut last = None;
        let claimed = clock.timeout(CLAIM_TIMEOUT, async {
            while let Err(error) = self.try_claim().await {
                let may_pass = may_pass(error.kind());
                last = Some(error);
                if !may_pass {
                    return;
                }
                clock.sleep(BETWEEN_CLAIMS).await;
            }
            last = None;
        });
        // The reason is in `last`.
        let _ = claimed.await;
        match last {
            Some(error) if is_refusal(error.kind()) => Self::PerContainer { why: error.to_string() },
            _ => self,
        }
    }

    async fn try_claim(&self) -> io::Result<()> {
        match self {
            Self::Cgroupfs(tree) => tree.claim().await,
            Self::Systemd(slices) => slices.claim().await,
            Self::PerContainer { .. } => Ok(()),
        }
    }

    /// Whether a helper container does it, because this process is not allowed to.
    pub(crate) fn is_helped(&self) -> bool {
        match self {
            Self::Cgroupfs(tree) => tree.is_helped(),
            Self::Systemd(slices) => slices.is_helped(),
            Self::PerContainer { .. } => false,
        }
    }

    /// For people: `cgroupfs`, `systemd` or `per container`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Cgroupfs(_) => "cgroupfs",
            Self::Systemd(_) => "systemd",
            Self::PerContainer { .. } => "per container",
        }
    }

    /// The `CgroupParent` of the task's containers.
    pub(super) fn parent(&self, task_id: &str) -> Option<String> {
        match self {
            Self::Cgroupfs(tree) => Some(tree.parent(task_id)),
            Self::Systemd(slices) => Some(slices.name(task_id)),
            Self::PerContainer { .. } => None,
        }
    }

    /// Creates the task's cgroup with its limits, or sets them if it exists. `cpu` in units, `memory` in MiB.
    pub(super) async fn prepare(&self, task_id: &str, cpu: u32, memory: u32) -> io::Result<()> {
        match self {
            Self::Cgroupfs(tree) => tree.prepare(task_id, cpu, memory).await,
            Self::Systemd(slices) => slices.prepare(task_id, cpu, memory).await,
            Self::PerContainer { .. } => Ok(()),
        }
    }

    /// Limits the CPU of the task's cgroup. `cpu` in units.
    pub(super) async fn limit_cpu(&self, task_id: &str, cpu: u32) -> io::Result<()> {
        match self {
            Self::Cgroupfs(tree) => tree.limit_cpu(task_id, cpu).await,
            Self::Systemd(slices) => slices.limit_cpu(task_id, cpu).await,
            Self::PerContainer { .. } => Ok(()),
        }
    }

    /// Removes the task's cgroup, which must be empty.
    pub(super) async fn release(&self, task_id: &str, clock: &Clock) -> io::Result<()> {
        match self {
            Self::Cgroupfs(tree) => tree.release(task_id, clock).await,
            Self::Systemd(slices) => slices.release(task_id).await,
            Self::PerContainer { .. } => Ok(()),
        }
    }

    /// The tasks of this instance that have a cgroup.
    pub(super) fn tasks(&self) -> io::Result<Vec<String>> {
        match self {
            Self::Cgroupfs(tree) => tree.tasks(),
            Self::Systemd(slices) => slices.tasks(),
            Self::PerContainer { .. } => Ok(Vec::new()),
        }
    }

    /// Removes what is above the tasks' cgroups, if no task is left.
    pub(super) async fn remove(&self, clock: &Clock) -> io::Result<()> {
        match self {
            Self::Cgroupfs(tree) => tree.remove().await,
            Self::Systemd(slices) => slices.remove(clock).await,
            Self::PerContainer { .. } => Ok(()),
        }
    }
}

/// Removes the cgroups and slices that an instance left, for any driver: the engine's may have changed since.
pub(super) async fn remove_left(facts: &Facts, engine: Engine, clock: &Clock) -> io::Result<()> {
    let instance = engine.instance.id.clone();
    let engine = reaches_kernel(facts).is_ok().then_some(engine);
    cgroupfs::remove_all(&instance, engine.as_ref()).await?;
    match Slices::find(facts.cgroup_version, &instance, engine) {
        Ok(slices) => slices.remove(clock).await,
        // Where no hierarchy is seen, no slice is.
        Err(_) => Ok(()),
    }
}

/// Whether root of this kernel can limit the engine's containers; else the reason.
fn reaches_kernel(facts: &Facts) -> Result<(), &'static str> {
    match facts {
        Facts { local: false, .. } => Err("the engine does not run on this machine's kernel"),
        Facts { rootless: true, .. } => Err("the engine runs rootless"),
        _ => Ok(()),
    }
}

/// Whether a retry may succeed: the helper, the bus or the connection to one of them was lost or slow, or refused to be opened,
/// as while the engine or the bus restarts.
pub(super) fn may_pass(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected, TimedOut,
        UnexpectedEof,
    };
    matches!(
        kind,
        BrokenPipe
            | ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | NotConnected
            | TimedOut
            | UnexpectedEof
    )
}

/// Whether an error that has lasted says that the limits are not to be had: something answered, with an error.
fn is_refusal(kind: io::ErrorKind) -> bool {
    kind == io::ErrorKind::ConnectionRefused || !may_pass(kind)
}

/// Prefixes an I/O error with what was attempted on which path or unit.
fn attempted(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_no_refusal() {
        use io::ErrorKind::{ConnectionRefused, NotConnected, Other, PermissionDenied, TimedOut};
        for (kind, passes, refuses) in [
            (PermissionDenied, false, true),
            (Other, false, true),
            (ConnectionRefused, true, true),
            (NotConnected, true, false),
            (TimedOut, true, false),
        ] {
            assert_eq!((may_pass(kind), is_refusal(kind)), (passes, refuses), "{kind:?}");
        }
    }

    #[test]
    fn weights_are_runcs() {
        for (cpu, expected) in [(0, 1), (2, 1), (256, 10), (512, 20), (1024, 39), (16_384, 625)] {
            assert_eq!(weight(cpu), expected, "{cpu} units");
        }
    }

    #[test]
    fn a_quarter_vcpu_is_a_quarter_of_the_period() {
        for (cpu, quota) in [(256, 25_000), (512, 50_000), (1024, 100_000), (16_384, 1_600_000)] {
            assert_eq!(cpu_quota(cpu), quota);
        }
    }
}
