//! The task's limits as a transient slice, for an engine whose cgroup driver is systemd.
//!
//! The slice is asked of systemd over D-Bus with `busctl`, which comes with systemd: it lives until it is stopped,
//! and nothing is written to disk. Dashes in its name nest it: `neargate.slice/neargate-INSTANCE.slice/…`.

use std::io;
use std::process::Stdio;

use tokio::process::Command;

use super::{attempted, bytes, cpu_quota, processes};

#[derive(Clone, Debug)]
pub(crate) struct Slices {
    /// `neargate-INSTANCE`.
    prefix: String,
}

impl Slices {
    /// Fails where systemd would refuse us: it lets only root make system slices without asking a person.
    pub(super) fn open(instance: &str) -> io::Result<Self> {
        if !is_root(&std::fs::read_to_string("/proc/self/status")?) {
            return Err(io::Error::other("only root may make systemd slices"));
        }
        Ok(Self { prefix: format!("neargate-{instance}") })
    }

    pub(super) fn name(&self, task_id: &str) -> String {
        format!("{}-{task_id}.slice", self.prefix)
    }

    pub(super) async fn prepare(&self, task_id: &str, cpu: u32, memory: u32) -> io::Result<()> {
        let unit = self.name(task_id);
        // systemd counts the quota in microseconds of CPU a second.
        let quota = (cpu_quota(cpu) * 10).to_string();
        let memory = bytes(memory).to_string();
        let processes = processes(cpu).to_string();
        let limits = [
            ["CPUQuotaPerSecUSec", "t", &quota],
            ["MemoryMax", "t", &memory],
            ["MemorySwapMax", "t", "0"],
            ["TasksMax", "t", &processes],
        ];
        let (count, limits) = (limits.len().to_string(), limits.concat());
        let mut make = vec!["StartTransientUnit", "ssa(sv)a(sa(sv))", &unit, "fail", &count];
        make.extend(&limits);
        make.push("0");
        let Err(error) = manager(&make).await else { return Ok(()) };
        // There already: an earlier attempt of ours made it. Else setting its limits fails as well.
        let mut set = vec!["SetUnitProperties", "sba(sv)", &unit, "true", &count];
        set.extend(&limits);
        manager(&set).await.map_err(|_| attempted(format!("cannot make {unit}"))(error))
    }

    pub(super) async fn release(&self, task_id: &str) -> io::Result<()> {
        stop(&self.name(task_id)).await
    }

    pub(super) async fn tasks(&self) -> io::Result<Vec<String>> {
        let pattern = format!("{}-*.slice", self.prefix);
        let arguments = ["list-units", "--type=slice", "--all", "--plain", "--no-legend", &pattern];
        Ok(task_ids(&run("systemctl", &arguments).await?, &self.prefix))
    }

    /// Removes the instance's slice with all in it, and the one above it if it was the last.
    pub(super) async fn remove(&self) -> io::Result<()> {
        stop(&format!("{}.slice", self.prefix)).await?;
        remove_parent().await
    }
}

/// Removes the slices of an instance, whichever driver the engine has now.
pub(super) async fn remove_all(instance: &str) -> io::Result<()> {
    Slices { prefix: format!("neargate-{instance}") }.remove().await
}

/// Stops `neargate.slice` if no slice is in it: systemd keeps an empty one without end. A stop would end what is in it, so
/// only the moment between this look and the stop is not covered: that of another instance's very first task.
async fn remove_parent() -> io::Result<()> {
    let arguments = ["list-units", "--type=slice", "--all", "--plain", "--no-legend", "neargate-*.slice"];
    if run("systemctl", &arguments).await?.trim().is_empty() {
        stop("neargate.slice").await?;
    }
    Ok(())
}

async fn stop(unit: &str) -> io::Result<()> {
    match manager(&["StopUnit", "ss", unit, "replace"]).await {
        Err(error) if !error.to_string().contains("not loaded") => {
            Err(attempted(format!("cannot stop {unit}"))(error))
        }
        _ => Ok(()),
    }
}

async fn manager(arguments: &[&str]) -> io::Result<()> {
    let mut all = vec![
        "call",
        "--system",
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
    ];
    all.extend(arguments);
    run("busctl", &all).await.map(drop)
}

async fn run(program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(attempted(format!("cannot run {program}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// `Uid:` of `/proc/self/status`: real, effective, saved, file system.
fn is_root(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    effective == Some("0")
}

fn task_ids(units: &str, prefix: &str) -> Vec<String> {
    units
        .lines()
        .filter_map(|line| {
            let unit = line.split_whitespace().next()?;
            Some(unit.strip_prefix(prefix)?.strip_prefix('-')?.strip_suffix(".slice")?.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slices_of_an_instance_name_its_tasks() {
        let units = "neargate-1a-t1.slice loaded active active Slice /neargate/1a/t1\n\
                     neargate-1a-t2.slice loaded active active Slice /neargate/1a/t2\n";
        assert_eq!(task_ids(units, "neargate-1a"), ["t1", "t2"]);
    }

    #[test]
    fn the_effective_user_decides() {
        assert!(is_root("Name:\tx\nUid:\t1000\t0\t0\t0\n"));
        assert!(!is_root("Name:\tx\nUid:\t0\t1000\t0\t0\n"));
    }
}
