//! The task's limits as a directory `neargate/INSTANCE/TASK` in the cgroup hierarchies, for an engine whose cgroup
//! driver is cgroupfs.
//!
//! The engine creates a container's own directory below it in every hierarchy, and removes only that one. So the
//! task's directory is created in the hierarchies that limit something, and removed from all.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::helper::Engine;
use super::writer::Writer;
use super::{CPU_PERIOD, attempted, bytes, cpu_quota, processes, weight};
use crate::clock::Clock;
use crate::runtime::docker::names::is_id;

#[derive(Clone, Debug)]
pub(crate) struct Tree {
    /// `/neargate/INSTANCE`, from the root of a hierarchy.
    root: PathBuf,
    layout: Layout,
    writer: Writer,
}

/// The hierarchies of this machine.
#[derive(Clone, Debug)]
pub(super) enum Layout {
    V1 { cpu: PathBuf, memory: PathBuf, pids: Option<PathBuf>, all: Vec<PathBuf> },
    V2 { mount: PathBuf },
}

impl Tree {
    /// Finds the hierarchies. If this process can't write to them, a helper of `engine` does it.
    pub(super) fn find(version: u8, instance: &str, engine: Option<Engine>) -> io::Result<Self> {
        Ok(Self::new(Layout::here(version)?, instance, engine))
    }

    fn new(layout: Layout, instance: &str, engine: Option<Engine>) -> Self {
        let writer = Writer::new(engine, layout.all());
        Self { root: Path::new("neargate").join(instance), layout, writer }
    }

    pub(super) fn is_helped(&self) -> bool {
        self.writer.is_helper()
    }

    /// Creates the instance's directory in the hierarchies that limit.
    pub(super) async fn claim(&self) -> io::Result<()> {
        for mount in self.layout.limiting() {
            self.writer.make(&mount.join(&self.root)).await?;
        }
        match &self.layout {
            Layout::V1 { .. } => Ok(()),
            Layout::V2 { mount } => self.delegate(mount, &self.root).await,
        }
    }

    pub(super) fn parent(&self, task_id: &str) -> String {
        format!("/{}", self.root.join(task_id).display())
    }

    pub(super) async fn prepare(&self, task_id: &str, cpu: u32, memory: u32) -> io::Result<()> {
        let task = self.root.join(task_id);
        let writer = &self.writer;
        for mount in self.layout.limiting() {
            writer.make(&mount.join(&task)).await?;
        }
        let memory = bytes(memory).to_string();
        let processes = processes(cpu).to_string();
        match &self.layout {
            Layout::V1 { cpu: cpu_mount, memory: memory_mount, pids, .. } => {
                if let Some(pids) = pids {
                    writer.write(&pids.join(&task).join("pids.max"), &processes).await?;
                }
                let directory = cpu_mount.join(&task);
                writer.write(&directory.join("cpu.shares"), &cpu.max(2).to_string()).await?;
                let directory = memory_mount.join(&task);
                // Linux 5.11 and newer always do it; older ones only if asked before the cgroup has children.
                let _ = writer.write(&directory.join("memory.use_hierarchy"), "1").await;
                writer.write(&directory.join("memory.limit_in_bytes"), &memory).await?;
                let with_swap = directory.join("memory.memsw.limit_in_bytes");
                if with_swap.exists() {
                    writer.write(&with_swap, &memory).await?;
                }
            }
            Layout::V2 { mount } => {
                self.delegate(mount, &task).await?;
                let directory = mount.join(&task);
                writer.write(&directory.join("cpu.weight"), &weight(cpu).to_string()).await?;
                writer.write(&directory.join("memory.max"), &memory).await?;
                let pids = directory.join("pids.max");
                if pids.exists() {
                    writer.write(&pids, &processes).await?;
                }
                let swap = directory.join("memory.swap.max");
                if swap.exists() {
                    writer.write(&swap, "0").await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn limit_cpu(&self, task_id: &str, cpu: u32) -> io::Result<()> {
        let task = self.root.join(task_id);
        let quota = cpu_quota(cpu);
        match &self.layout {
            Layout::V1 { cpu, .. } => {
                let directory = cpu.join(&task);
                self.writer.write(&directory.join("cpu.cfs_period_us"), &CPU_PERIOD.to_string()).await?;
                self.writer.write(&directory.join("cpu.cfs_quota_us"), &quota.to_string()).await
            }
            Layout::V2 { mount } => {
                let file = mount.join(&task).join("cpu.max");
                self.writer.write(&file, &format!("{quota} {CPU_PERIOD}")).await
            }
        }
    }

    pub(super) async fn release(&self, task_id: &str, clock: &Clock) -> io::Result<()> {
        if !is_id(task_id) {
            let reason = format!("{task_id:?} is not the id of a task");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let task = self.root.join(task_id);
        for mount in self.layout.all() {
            let directory = mount.join(&task);
            // The kernel removes a cgroup's last process shortly after the process's parent has seen it end.
            let mut attempts = 0;
            while let Err(error) = self.remove_tree(&directory).await {
                attempts += 1;
                if attempts == 20 {
                    return Err(error);
                }
                clock.sleep(Duration::from_millis(25)).await;
            }
        }
        Ok(())
    }

    /// Removes a cgroup and the empty ones below it. Success if it does not exist.
    async fn remove_tree(&self, directory: &Path) -> io::Result<()> {
        for cgroup in tree_of(directory)?.iter().rev() {
            self.writer.remove(cgroup).await?;
        }
        Ok(())
    }

    /// Lets the children of `path` and of every directory above it have limits of their own (cgroup v2). The limit of
    /// processes is optional: not every machine delegates it.
    async fn delegate(&self, mount: &Path, path: &Path) -> io::Result<()> {
        let mut directory = mount.to_path_buf();
        for part in std::iter::once(Path::new("")).chain(path.iter().map(Path::new)) {
            directory.push(part);
            let control = directory.join("cgroup.subtree_control");
            self.writer.write(&control, "+cpu +memory").await?;
            let _ = self.writer.write(&control, "+pids").await;
        }
        Ok(())
    }

    pub(super) fn tasks(&self) -> io::Result<Vec<String>> {
        self.layout.children(&self.root)
    }

    pub(super) async fn remove(&self) -> io::Result<()> {
        let exists = |mount: &&PathBuf| mount.join(&self.root).exists();
        for mount in self.layout.all().iter().filter(exists) {
            self.writer.remove(&mount.join(&self.root)).await?;
            // Fails as long as it holds other instances.
            let _ = self.writer.remove(&mount.join("neargate")).await;
        }
        Ok(())
    }
}

/// The folder of all instances' cgroups, and systemd's of the slices that are below `neargate.slice`.
const FOLDERS: [&str; 2] = ["neargate", "neargate.slice"];

/// The instances that have a cgroup on this machine: their ids, and the path from the root of a hierarchy. An instance with
/// processes in it is running, on this engine or another.
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

/// Whether a cgroup exists in a hierarchy.
pub(super) fn exists(path: &Path) -> bool {
    mounts().iter().any(|mount| mount.join(path).exists())
}

/// Whether a process runs in a cgroup of the instance.
pub(crate) fn has_processes(instance: &str) -> bool {
    let paths = instances().into_iter().filter(|(id, _)| id == instance).map(|(_, path)| path);
    let paths: Vec<String> = paths.collect();
    mounts().iter().any(|mount| paths.iter().any(|path| populated(&mount.join(path.trim_start_matches('/')))))
}

/// Removes the folders of an instance in every hierarchy, for any driver of the engine.
pub(super) async fn remove_all(instance: &str, engine: Option<&Engine>) -> io::Result<()> {
    let layout = |version| Layout::find(version, &std::fs::read_to_string("/proc/self/mountinfo").ok()?);
    for layout in [1, 2].into_iter().filter_map(layout) {
        let tree = Tree::new(layout, instance, engine.cloned());
        for mount in tree.layout.all() {
            for task in children(&mount.join(&tree.root))? {
                tree.release(&task, &Clock::system()).await?;
            }
        }
        tree.remove().await?;
    }
    Ok(())
}

/// The mount points of all hierarchies.
fn mounts() -> BTreeSet<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let layouts = [1, 2].into_iter().filter_map(|version| Layout::find(version, &mounts));
    layouts.flat_map(|layout| layout.all().to_vec()).collect()
}

/// The instance of a folder `ID` or a slice `neargate-ID.slice`; `None` for any other name.
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
    /// The hierarchies in which a task's cgroup has limits.
    fn limiting(&self) -> impl Iterator<Item = &PathBuf> {
        match self {
            Self::V1 { cpu, memory, pids, .. } => {
                [Some(cpu), Some(memory), pids.as_ref()].into_iter().flatten().collect()
            }
            Self::V2 { mount } => vec![mount],
        }
        .into_iter()
    }

    fn all(&self) -> &[PathBuf] {
        match self {
            Self::V1 { all, .. } => all,
            Self::V2 { mount } => std::slice::from_ref(mount),
        }
    }

    /// That of this machine.
    pub(super) fn here(version: u8) -> io::Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")
            .map_err(attempted("cannot read /proc/self/mountinfo"))?;
        Self::find(version, &mounts).ok_or_else(|| {
            io::Error::other(format!("no cgroup v{version} hierarchy with cpu and memory is mounted"))
        })
    }

    /// The cgroups below one, in a hierarchy that limits: in others an engine may leave some behind. None if it does not exist.
    pub(super) fn children(&self, cgroup: &Path) -> io::Result<Vec<String>> {
        let Some(mount) = self.limiting().next() else { return Ok(Vec::new()) };
        children(&mount.join(cgroup))
    }

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

/// A cgroup and those below it, parents before children; none if it does not exist.
fn tree_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::from_iter(directory.exists().then(|| directory.to_path_buf()));
    let mut visited = 0;
    while let Some(cgroup) = found.get(visited).cloned() {
        found.extend(children(&cgroup)?.into_iter().map(|child| cgroup.join(child)));
        visited += 1;
    }
    Ok(found)
}

/// The cgroups below a cgroup; none if it does not exist.
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
    async fn only_a_directory_named_by_a_task_id_is_removed() {
        let mount = tempfile::tempdir().unwrap();
        let tree = Tree::new(Layout::V2 { mount: mount.path().into() }, "i", None);
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
