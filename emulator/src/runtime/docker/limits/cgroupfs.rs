//! The task's limits as a directory `neargate/INSTANCE/TASK` in the cgroup hierarchies, for an engine whose cgroup
//! driver is cgroupfs.
//!
//! The engine makes a container's own directory below it in every hierarchy, and removes only that one: so the
//! task's is written where it limits something and removed everywhere.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CPU_PERIOD, attempted, bytes, cpu_quota, processes};
use crate::clock::Clock;
use crate::runtime::docker::names::is_id;

#[derive(Clone, Debug)]
pub(crate) struct Tree {
    /// `/neargate/INSTANCE`, from the root of a hierarchy.
    root: PathBuf,
    layout: Layout,
}

#[derive(Clone, Debug)]
enum Layout {
    V1 { cpu: PathBuf, memory: PathBuf, pids: Option<PathBuf>, all: Vec<PathBuf> },
    V2 { mount: PathBuf },
}

impl Tree {
    /// Finds the hierarchies.
    pub(super) fn find(version: u8, instance: &str) -> io::Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")
            .map_err(attempted("cannot read /proc/self/mountinfo"))?;
        let layout = Layout::find(version, &mounts).ok_or_else(|| {
            io::Error::other(format!("no cgroup v{version} hierarchy with cpu and memory is mounted"))
        })?;
        Ok(Self { root: Path::new("neargate").join(instance), layout })
    }

    /// Makes the instance's directory in the hierarchies that limit.
    pub(super) fn claim(&self) -> io::Result<()> {
        for mount in self.limiting() {
            make(&mount.join(&self.root))?;
        }
        match &self.layout {
            Layout::V1 { .. } => Ok(()),
            Layout::V2 { mount } => delegate(mount, &self.root),
        }
    }

    pub(super) fn parent(&self, task_id: &str) -> String {
        format!("/{}", self.root.join(task_id).display())
    }

    pub(super) fn prepare(&self, task_id: &str, cpu: u32, memory: u32) -> io::Result<()> {
        let task = self.root.join(task_id);
        for mount in self.limiting() {
            make(&mount.join(&task))?;
        }
        let quota = cpu_quota(cpu).to_string();
        let memory = bytes(memory).to_string();
        let processes = processes(cpu).to_string();
        match &self.layout {
            Layout::V1 { cpu: cpu_mount, memory: memory_mount, pids, .. } => {
                if let Some(pids) = pids {
                    write(&pids.join(&task).join("pids.max"), &processes)?;
                }
                let directory = cpu_mount.join(&task);
                write(&directory.join("cpu.cfs_period_us"), &CPU_PERIOD.to_string())?;
                write(&directory.join("cpu.cfs_quota_us"), &quota)?;
                write(&directory.join("cpu.shares"), &cpu.max(2).to_string())?;
                let directory = memory_mount.join(&task);
                // The only way since Linux 5.11; before that a choice, which falls once children are there.
                let _ = std::fs::write(directory.join("memory.use_hierarchy"), "1");
                write(&directory.join("memory.limit_in_bytes"), &memory)?;
                let with_swap = directory.join("memory.memsw.limit_in_bytes");
                if with_swap.exists() {
                    write(&with_swap, &memory)?;
                }
            }
            Layout::V2 { mount } => {
                delegate(mount, &task)?;
                let directory = mount.join(&task);
                write(&directory.join("cpu.max"), &format!("{quota} {CPU_PERIOD}"))?;
                write(&directory.join("cpu.weight"), &weight(cpu).to_string())?;
                write(&directory.join("memory.max"), &memory)?;
                let pids = directory.join("pids.max");
                if pids.exists() {
                    write(&pids, &processes)?;
                }
                let swap = directory.join("memory.swap.max");
                if swap.exists() {
                    write(&swap, "0")?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn release(&self, task_id: &str, clock: &Clock) -> io::Result<()> {
        if !is_id(task_id) {
            let reason = format!("{task_id:?} is not the id of a task");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let task = self.root.join(task_id);
        for mount in self.all() {
            let directory = mount.join(&task);
            // The kernel takes a cgroup's last process off a moment after its parent has seen it end.
            let mut attempts = 0;
            while let Err(error) = remove_tree(&directory) {
                attempts += 1;
                if attempts == 20 {
                    return Err(attempted(format!("cannot remove {}", directory.display()))(error));
                }
                clock.sleep(Duration::from_millis(25)).await;
            }
        }
        Ok(())
    }

    pub(super) fn tasks(&self) -> io::Result<Vec<String>> {
        let Some(mount) = self.limiting().next() else { return Ok(Vec::new()) };
        children(&mount.join(&self.root))
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        for mount in self.all() {
            let directory = mount.join(&self.root);
            ignore_absent(std::fs::remove_dir(&directory))
                .map_err(attempted(format!("cannot remove {}", directory.display())))?;
            // Holds other instances, or goes with the last one.
            let _ = std::fs::remove_dir(mount.join("neargate"));
        }
        Ok(())
    }

    fn limiting(&self) -> impl Iterator<Item = &PathBuf> {
        match &self.layout {
            Layout::V1 { cpu, memory, pids, .. } => {
                [Some(cpu), Some(memory), pids.as_ref()].into_iter().flatten().collect()
            }
            Layout::V2 { mount } => vec![mount],
        }
        .into_iter()
    }

    fn all(&self) -> &[PathBuf] {
        match &self.layout {
            Layout::V1 { all, .. } => all,
            Layout::V2 { mount } => std::slice::from_ref(mount),
        }
    }
}

/// The folder of all instances' cgroups, and systemd's of the slices that are below `neargate.slice`.
const FOLDERS: [&str; 2] = ["neargate", "neargate.slice"];

/// The instances that have a cgroup on this machine: their ids, and the path from the root of a hierarchy. Those with
/// processes in it are at work, with whatever engine.
pub(crate) fn instances() -> BTreeSet<(String, String)> {
    let mounts = mounts();
    let pairs = mounts.iter().flat_map(|mount| FOLDERS.map(|folder| (mount, folder)));
    pairs
        .flat_map(|(mount, folder)| {
            let names = children(&mount.join(folder)).unwrap_or_default();
            names.into_iter().filter_map(move |name| Some((instance_of(&name)?, format!("/{folder}/{name}"))))
        })
        .collect()
}

/// Whether a process runs in a cgroup of the instance.
pub(crate) fn has_processes(instance: &str) -> bool {
    let paths = instances().into_iter().filter(|(id, _)| id == instance).map(|(_, path)| path);
    let paths: Vec<String> = paths.collect();
    mounts().iter().any(|mount| paths.iter().any(|path| populated(&mount.join(path.trim_start_matches('/')))))
}

/// Removes the folders of an instance in every hierarchy, whichever driver the engine has now.
pub(super) async fn remove_all(instance: &str) -> io::Result<()> {
    let layout = |version| Layout::find(version, &std::fs::read_to_string("/proc/self/mountinfo").ok()?);
    for layout in [1, 2].into_iter().filter_map(layout) {
        let tree = Tree { root: Path::new("neargate").join(instance), layout };
        if tree.all().iter().any(|mount| mount.join(&tree.root).exists()) {
            for mount in tree.all() {
                for task in children(&mount.join(&tree.root))? {
                    tree.release(&task, &Clock::system()).await?;
                }
            }
            tree.remove()?;
        }
    }
    Ok(())
}

/// Where hierarchies are mounted.
fn mounts() -> BTreeSet<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let layouts = [1, 2].into_iter().filter_map(|version| Layout::find(version, &mounts));
    layouts
        .flat_map(|layout| match layout {
            Layout::V1 { all, .. } => all,
            Layout::V2 { mount } => vec![mount],
        })
        .collect()
}

/// The instance of a folder `ID` or a slice `neargate-ID.slice`. Others' folders are not looked at.
fn instance_of(name: &str) -> Option<String> {
    let slice = name.strip_prefix("neargate-").and_then(|name| name.strip_suffix(".slice"));
    let id = slice.unwrap_or(name);
    is_id(id).then(|| id.to_owned())
}

fn populated(directory: &Path) -> bool {
    let processes = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let below = || children(directory).unwrap_or_default();
    !processes.trim().is_empty() || below().iter().any(|child| populated(&directory.join(child)))
}

impl Layout {
    /// From `/proc/self/mountinfo` (proc(5)): the fifth field is the mount point; after the lone `-` come the file
    /// system's type, its source and its options, among which v1 names a hierarchy's controllers.
    fn find(version: u8, mountinfo: &str) -> Option<Self> {
        let mounts: Vec<(&str, PathBuf, Vec<&str>)> = mountinfo
            .lines()
            .filter_map(|line| {
                let (left, right) = line.split_once(" - ")?;
                let mut right = right.split(' ');
                let (kind, options) = (right.next()?, right.nth(1)?);
                Some((kind, PathBuf::from(left.split(' ').nth(4)?), options.split(',').collect()))
            })
            .collect();
        if version == 2 {
            let (_, mount, _) = mounts.into_iter().find(|(kind, _, _)| *kind == "cgroup2")?;
            return Some(Self::V2 { mount });
        }
        let v1 = || mounts.iter().filter(|(kind, _, _)| *kind == "cgroup");
        let controller = |name: &str| {
            v1().find(|(_, _, options)| options.contains(&name)).map(|(_, mount, _)| mount.clone())
        };
        Some(Self::V1 {
            cpu: controller("cpu")?,
            memory: controller("memory")?,
            pids: controller("pids"),
            all: mounts
                .iter()
                .filter(|(kind, _, _)| matches!(*kind, "cgroup" | "cgroup2"))
                .map(|(_, mount, _)| mount.clone())
                .collect(),
        })
    }
}

/// The v2 weight of cpu units, as the OCI runtimes convert v1's shares (runc `ConvertCPUSharesToCgroupV2Value`).
fn weight(cpu: u32) -> u32 {
    1 + (cpu.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

/// Lets the children of `path` and of every directory above it have limits of their own (cgroup v2). The one of processes
/// is left out where the machine does not delegate it.
fn delegate(mount: &Path, path: &Path) -> io::Result<()> {
    let mut directory = mount.to_path_buf();
    for part in std::iter::once(Path::new("")).chain(path.iter().map(Path::new)) {
        directory.push(part);
        let control = directory.join("cgroup.subtree_control");
        write(&control, "+cpu +memory")?;
        let _ = std::fs::write(&control, "+pids");
    }
    Ok(())
}

fn make(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory).map_err(attempted(format!("cannot make {}", directory.display())))
}

fn write(file: &Path, value: &str) -> io::Result<()> {
    std::fs::write(file, value).map_err(attempted(format!("cannot write {value} to {}", file.display())))
}

/// Removes a cgroup and the empty ones below it; done where it is gone.
fn remove_tree(directory: &Path) -> io::Result<()> {
    for child in children(directory)? {
        remove_tree(&directory.join(child))?;
    }
    ignore_absent(std::fs::remove_dir(directory))
}

/// The cgroups below a cgroup; none where it is gone.
fn children(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(attempted(format!("cannot list {}", directory.display()))(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
34 30 0:30 / /sys/fs/cgroup/cpuset rw,nosuid - cgroup cgroup rw,cpuset
";

    #[test]
    fn v1_limits_in_cpu_and_memory_and_removes_everywhere() {
        let Some(Layout::V1 { cpu, memory, pids, all }) = Layout::find(1, V1) else { panic!("no v1 layout") };
        assert_eq!(pids, None, "a machine without it");
        assert_eq!(cpu, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(memory, Path::new("/sys/fs/cgroup/memory"));
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_hierarchy_without_memory_is_no_layout() {
        let without: String =
            V1.lines().filter(|line| !line.contains("memory")).collect::<Vec<_>>().join("\n");
        assert!(Layout::find(1, &without).is_none());
    }

    #[tokio::test]
    async fn what_is_no_id_of_a_task_is_no_directory_to_remove() {
        let mount = tempfile::tempdir().unwrap();
        let tree =
            Tree { root: PathBuf::from("neargate/i"), layout: Layout::V2 { mount: mount.path().into() } };
        let outside = mount.path().join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        for label in ["../../outside", "/outside", "", "..", &"A".repeat(32), &"a".repeat(33)] {
            let error = tree.release(label, &Clock::system()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{label}");
        }
        assert!(outside.is_dir());
        let task = "0123456789abcdef".repeat(2);
        std::fs::create_dir_all(mount.path().join("neargate/i").join(&task)).unwrap();
        tree.release(&task, &Clock::system()).await.unwrap();
        assert!(!mount.path().join("neargate/i").join(&task).exists());
    }

    #[test]
    fn v2_is_one_mount() {
        let line =
            "35 25 0:31 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot";
        let Some(Layout::V2 { mount }) = Layout::find(2, line) else { panic!("no v2 layout") };
        assert_eq!(mount, Path::new("/sys/fs/cgroup"));
    }

    #[test]
    fn weights_are_runcs() {
        for (cpu, expected) in [(0, 1), (2, 1), (256, 10), (1024, 39), (16_384, 625)] {
            assert_eq!(weight(cpu), expected, "{cpu} units");
        }
    }

    #[test]
    fn folders_and_slices_of_instances_are_known_by_their_ids() {
        let id = "0123456789abcdef0123456789abcdef";
        for (name, expected) in [
            (id.to_owned(), Some(id)),
            (format!("neargate-{id}.slice"), Some(id)),
            (format!("neargate-{id}-{id}.slice"), None),
            ("neargate-tests.slice".to_owned(), None),
            ("..".to_owned(), None),
        ] {
            assert_eq!(instance_of(&name).as_deref(), expected, "{name}");
        }
    }
}
