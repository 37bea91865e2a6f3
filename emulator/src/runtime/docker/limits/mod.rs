//! How the limits of a task are held: its cpu and memory are the sum of its containers', so they belong to a cgroup
//! above them. Which way there is follows from what the engine says of itself.
//!
//! ```text
//! engine on this kernel, root, driver cgroupfs ─▶ a directory in every hierarchy   (cgroupfs)
//! engine on this kernel, root, driver systemd  ─▶ a transient slice                (systemd)
//! anything else                                ─▶ each container for itself        (no sum is enforced)
//! ```

mod cgroupfs;
mod systemd;

use std::io;

use super::facts::{Driver, Facts};
use super::names::Instance;
use crate::clock::Clock;
pub(crate) use cgroupfs::{has_processes, instances as cgroup_instances};

use cgroupfs::Tree;
use systemd::Slices;

/// Microseconds; the kernel's default. A container's quota and its task's use the same period, because cgroup v1 compares
/// their ratios and refuses a child with more than its parent.
pub(super) const CPU_PERIOD: i64 = 100_000;

/// Microseconds in a [`CPU_PERIOD`] that `cpu` units may run.
pub(super) fn cpu_quota(cpu: u32) -> i64 {
    i64::from(cpu) * CPU_PERIOD / 1024
}

/// Processes and threads that a task of `cpu` units may have, and so each of its containers: without a limit one task can
/// take all that the kernel has. Fargate's own limit is that of the task's virtual machine; this one is far from what a
/// server needs.
pub(super) fn processes(cpu: u32) -> i64 {
    i64::from(cpu.max(1024))
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
    /// Chooses by what the engine says. Changes nothing.
    pub(crate) fn choose(facts: &Facts, instance: &Instance) -> Self {
        let per_container = |why: String| Self::PerContainer { why };
        if !facts.local {
            return per_container("the engine does not run on this machine's kernel".to_owned());
        }
        if facts.rootless {
            return per_container("the engine runs rootless".to_owned());
        }
        match facts.cgroup_driver {
            Driver::Cgroupfs => match Tree::find(facts.cgroup_version, &instance.id) {
                Ok(tree) => Self::Cgroupfs(tree),
                Err(error) => per_container(error.to_string()),
            },
            Driver::Systemd => match Slices::open(&instance.id) {
                Ok(slices) => Self::Systemd(slices),
                Err(error) => per_container(error.to_string()),
            },
            Driver::None => per_container("the engine has no cgroup driver".to_owned()),
        }
    }

    /// Makes the instance's own cgroup, to see whether it may: where it can't, that is a reason to hold limits per
    /// container, not to fail later.
    pub(crate) fn claim(self) -> Self {
        match &self {
            Self::Cgroupfs(tree) => match tree.claim() {
                Ok(()) => self,
                Err(error) => Self::PerContainer { why: error.to_string() },
            },
            Self::Systemd(_) | Self::PerContainer { .. } => self,
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

    /// What a container of the task gives as its `CgroupParent`.
    pub(super) fn parent(&self, task_id: &str) -> Option<String> {
        match self {
            Self::Cgroupfs(tree) => Some(tree.parent(task_id)),
            Self::Systemd(slices) => Some(slices.name(task_id)),
            Self::PerContainer { .. } => None,
        }
    }

    /// Makes the task's cgroup with its limits, or sets them where it is there. `cpu` in units, `memory` in MiB.
    pub(super) async fn prepare(&self, task_id: &str, cpu: u32, memory: u32) -> io::Result<()> {
        match self {
            Self::Cgroupfs(tree) => tree.prepare(task_id, cpu, memory),
            Self::Systemd(slices) => slices.prepare(task_id, cpu, memory).await,
            Self::PerContainer { .. } => Ok(()),
        }
    }

    /// Removes the task's cgroup, empty by now.
    pub(super) async fn release(&self, task_id: &str, clock: &Clock) -> io::Result<()> {
        match self {
            Self::Cgroupfs(tree) => tree.release(task_id, clock).await,
            Self::Systemd(slices) => slices.release(task_id).await,
            Self::PerContainer { .. } => Ok(()),
        }
    }

    /// The tasks of this instance that have a cgroup.
    pub(super) async fn tasks(&self) -> io::Result<Vec<String>> {
        match self {
            Self::Cgroupfs(tree) => tree.tasks(),
            Self::Systemd(slices) => slices.tasks().await,
            Self::PerContainer { .. } => Ok(Vec::new()),
        }
    }

    /// Removes what is above the tasks' cgroups, where no task is left.
    pub(super) async fn remove(&self) -> io::Result<()> {
        match self {
            Self::Cgroupfs(tree) => tree.remove(),
            Self::Systemd(slices) => slices.remove().await,
            Self::PerContainer { .. } => Ok(()),
        }
    }
}

/// Removes what an instance left of cgroups and slices, whichever driver the engine has now.
pub(crate) async fn remove_left(instance: &str) -> io::Result<()> {
    cgroupfs::remove_all(instance).await?;
    let slices = |path: &str| path.starts_with("/neargate.slice/");
    if cgroup_instances().iter().any(|(id, path)| id == instance && slices(path)) {
        systemd::remove_all(instance).await?;
    }
    Ok(())
}

/// Prefixes an I/O error with what was attempted on which path or unit.
fn attempted(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_vcpu_is_a_quarter_of_the_period() {
        for (cpu, quota) in [(256, 25_000), (512, 50_000), (1024, 100_000), (16_384, 1_600_000)] {
            assert_eq!(cpu_quota(cpu), quota);
        }
    }
}
