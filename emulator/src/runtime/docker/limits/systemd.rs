//! The task's limits as a transient slice, for an engine whose cgroup driver is systemd.
//!
//! The slice is requested from systemd over D-Bus: it exists until it is stopped, and nothing is written to disk. Dashes in
//! its name nest it: `neargate.slice/neargate-INSTANCE.slice/…`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zbus::Variant;

use super::bus::Manager;
use super::cgroupfs::{self, Layout};
use super::helper::Engine;
use super::{attempted, bytes, cpu_quota, processes, weight};
use crate::clock::Clock;

/// The slice above those of all instances.
const ABOVE: &str = "neargate.slice";

/// How many checks there are at most whether systemd has stopped a slice, and the pause between them.
const LOOKS: u32 = 40;
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);

/// A property of a unit and its value. All that a slice has here are of D-Bus's type `t`.
type Property = (&'static str, u64);

#[derive(Clone, Debug)]
pub(crate) struct Slices {
    /// `neargate-INSTANCE`.
    prefix: String,
    cgroup_version: u8,
    layout: Layout,
    manager: Manager,
}

impl Slices {
    /// Through a helper of `engine`, if there is one and systemd would refuse this process.
    ///
    /// # Errors
    /// This process sees no hierarchy that limits, as in a container without one.
    pub(super) fn find(cgroup_version: u8, instance: &str, engine: Option<Engine>) -> io::Result<Self> {
        let layout = Layout::here(cgroup_version)?;
        let manager = Manager::new(engine);
        Ok(Self { prefix: format!("neargate-{instance}"), cgroup_version, layout, manager })
    }

    pub(super) fn is_helped(&self) -> bool {
        self.manager.is_helped()
    }

    pub(super) fn name(&self, task_id: &str) -> String {
        format!("{}-{task_id}.slice", self.prefix)
    }

    /// Creates the instance's slice.
    pub(super) async fn claim(&self) -> io::Result<()> {
        match self.start(&self.own(), &[]).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            started => started,
        }
    }

    pub(super) async fn prepare(&self, task_id: &str, cpu: u32, memory: u32) -> io::Result<()> {
        let unit = self.name(task_id);
        let limits = properties(self.cgroup_version, cpu, memory);
        match self.start(&unit, &limits).await {
            // An earlier attempt of this process created it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.set(&unit, &limits).await,
            started => started,
        }
    }

    pub(super) async fn limit_cpu(&self, task_id: &str, cpu: u32) -> io::Result<()> {
        let unit = self.name(task_id);
        // For a slice that has ended, systemd would keep the property in a file.
        if !cgroupfs::exists(&self.directory().join(&unit)) {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no cgroup of {unit}")));
        }
        self.set(&unit, &[cpu_limit(cpu)]).await
    }

    pub(super) async fn release(&self, task_id: &str) -> io::Result<()> {
        self.stop(&self.name(task_id)).await
    }

    /// Those with a slice. The cgroups show them to any user, without a call of systemd.
    pub(super) fn tasks(&self) -> io::Result<Vec<String>> {
        Ok(task_ids(&self.slices_in(&self.directory())?, &self.prefix))
    }

    /// Removes the instance's slice with all in it, and the one above it if no other instance has a slice: systemd never
    /// removes an empty one. A stop also ends what is in the slice, so an instance that starts between the check and the
    /// stop loses its slice. That short race is accepted.
    pub(super) async fn remove(&self, clock: &Clock) -> io::Result<()> {
        if !self.is_there() {
            return Ok(());
        }
        let own = self.own();
        self.stop(&own).await?;
        let mut looks = 0;
        let others = loop {
            let all = self.slices_in(Path::new(ABOVE))?;
            looks += 1;
            if !all.contains(&own) {
                break all;
            }
            // Systemd responds before the slice is stopped.
            if looks == LOOKS {
                return Err(io::Error::other(format!("systemd did not stop {own}")));
            }
            clock.sleep(BETWEEN_LOOKS).await;
        };
        if others.is_empty() { self.stop(ABOVE).await } else { Ok(()) }
    }

    /// The slices whose cgroups are directly below this one.
    fn slices_in(&self, cgroup: &Path) -> io::Result<Vec<String>> {
        let mut names = self.layout.children(cgroup)?;
        names.retain(|name| name.starts_with("neargate-") && name.ends_with(".slice"));
        Ok(names)
    }

    /// Whether the instance's slice has a cgroup, which any user can see. If it has none, systemd is not called: if nothing
    /// is left, nothing can fail.
    fn is_there(&self) -> bool {
        cgroupfs::exists(&self.directory())
    }

    /// The cgroup of the instance's slice, from the root of a hierarchy.
    fn directory(&self) -> PathBuf {
        Path::new(ABOVE).join(self.own())
    }

    fn own(&self) -> String {
        format!("{}.slice", self.prefix)
    }

    async fn start(&self, unit: &str, limits: &[Property]) -> io::Result<()> {
        let no_others: [(&str, Vec<(&str, Variant<'_>)>); 0] = [];
        let start = (unit, "fail", variants(limits), no_others.as_slice());
        let started = self.manager.call("StartTransientUnit", &start).await;
        started.map(drop).map_err(attempted(format!("cannot create {unit}")))
    }

    async fn set(&self, unit: &str, limits: &[Property]) -> io::Result<()> {
        let set = self.manager.call("SetUnitProperties", &(unit, true, variants(limits))).await;
        set.map(drop).map_err(attempted(format!("cannot set the limits of {unit}")))
    }

    async fn stop(&self, unit: &str) -> io::Result<()> {
        match self.manager.call("StopUnit", &(unit, "replace")).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(attempted(format!("cannot stop {unit}"))(error))
            }
            _ => Ok(()),
        }
    }
}

/// The properties of a task's slice (systemd.resource-control(5)). The weight is the one that the OCI runtimes give to a
/// container of as many cpu units: with systemd's default all tasks would have the same weight.
fn properties(cgroup_version: u8, cpu: u32, memory: u32) -> Vec<Property> {
    let unsigned = |value: i64| value.unsigned_abs();
    vec![
        match cgroup_version {
            1 => ("CPUShares", u64::from(cpu.max(2))),
            _ => ("CPUWeight", u64::from(weight(cpu))),
        },
        ("MemoryMax", unsigned(bytes(memory))),
        ("MemorySwapMax", 0),
        ("TasksMax", unsigned(processes(cpu))),
    ]
}

/// Microseconds of CPU time per second.
fn cpu_limit(cpu: u32) -> Property {
    ("CPUQuotaPerSecUSec", (cpu_quota(cpu) * 10).unsigned_abs())
}

fn variants(properties: &[Property]) -> Vec<(&'static str, Variant<'static>)> {
    properties.iter().map(|(name, value)| (*name, Variant::from(*value))).collect()
}

fn task_ids(units: &[String], prefix: &str) -> Vec<String> {
    let task_id = |unit: &String| {
        Some(unit.strip_prefix(prefix)?.strip_prefix('-')?.strip_suffix(".slice")?.to_owned())
    };
    units.iter().filter_map(task_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slices_of_an_instance_name_its_tasks() {
        let units = ["neargate-1a.slice", "neargate-1a-t1.slice", "neargate-1a-t2.slice"].map(str::to_owned);
        assert_eq!(task_ids(&units, "neargate-1a"), ["t1", "t2"]);
    }

    #[test]
    fn a_slice_has_every_limit_of_its_task() {
        let limits = [("MemoryMax", 1024 * 1024 * 1024), ("MemorySwapMax", 0), ("TasksMax", 1024)];
        for (version, weight) in [(2, ("CPUWeight", 20)), (1, ("CPUShares", 512))] {
            let expected: Vec<Property> = [weight].into_iter().chain(limits).collect();
            assert_eq!(properties(version, 512, 1024), expected, "cgroup v{version}");
        }
        assert_eq!(cpu_limit(512), ("CPUQuotaPerSecUSec", 500_000));
        assert_eq!(properties(2, 1024, 2048)[0], ("CPUWeight", 39));
    }
}
