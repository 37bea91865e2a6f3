//! `cgroups INSTANCE HIERARCHY…`: the helper of an emulator that is not root, for an engine whose cgroup driver is cgroupfs.
//! It changes what is below `neargate/INSTANCE` in the hierarchies: one line per change, its fields separated by tabs:
//!
//! ```text
//! make    PATH          a cgroup, and those above it
//! write   PATH  VALUE
//! remove  PATH          a cgroup
//! ```
//!
//! Paths are those of the engine's machine, whose hierarchies are mounted here below [`HOST`]. The response to each line is a
//! line: `0`, or the number of the kernel's error.

use std::io::{BufRead, Error, Result};
use std::path::{Path, PathBuf};

/// Mount point of the hierarchies of the engine's machine.
const HOST: &str = "/host";

const EIO: i32 = 5;
const EPERM: i32 = 1;
const EINVAL: i32 = 22;

/// The file that enables a cgroup's controllers for its children. The cgroups above the instance's have to enable them.
const DELEGATION: &str = "cgroup.subtree_control";

pub(crate) fn serve(instance: &str, hierarchies: &[&str]) -> Result<()> {
    crate::write_ready()?;
    for line in std::io::stdin().lock().lines() {
        let code = match change(&line?, instance, hierarchies) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(EIO),
        };
        crate::write_line(&code.to_string())?;
    }
    Ok(())
}

fn change(line: &str, instance: &str, hierarchies: &[&str]) -> Result<()> {
    let fields: Vec<&str> = line.split('\t').collect();
    let place = |path| place(path, instance, hierarchies).ok_or_else(|| Error::from_raw_os_error(EPERM));
    match fields.as_slice() {
        ["make", path] => std::fs::create_dir_all(place(path)?),
        ["write", path, value] => std::fs::write(place(path)?, value),
        ["remove", path] => std::fs::remove_dir(place(path)?),
        _ => Err(Error::from_raw_os_error(EINVAL)),
    }
}

/// The path in this container of a path on the engine's machine, if it may be changed.
fn place(path: &str, instance: &str, hierarchies: &[&str]) -> Option<PathBuf> {
    let below = hierarchies.iter().find_map(|hierarchy| path.strip_prefix(hierarchy)?.strip_prefix('/'))?;
    let parts: Vec<&str> = below.split('/').collect();
    let ours = match parts.as_slice() {
        [DELEGATION] | ["neargate"] | ["neargate", DELEGATION] => true,
        ["neargate", first, ..] => *first == instance,
        _ => false,
    };
    let plain = parts.iter().all(|part| !["", ".", ".."].contains(part));
    (ours && plain).then(|| Path::new(HOST).join(path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_instances_own_cgroups_are_changed() {
        let place = |path| place(path, "1a", &["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory"]);
        for path in [
            "/sys/fs/cgroup/memory/neargate",
            "/sys/fs/cgroup/memory/neargate/1a",
            "/sys/fs/cgroup/cpu,cpuacct/neargate/1a/t1/cpu.shares",
            "/sys/fs/cgroup/memory/cgroup.subtree_control",
        ] {
            assert_eq!(place(path), Some(PathBuf::from(format!("/host{path}"))), "{path}");
        }
        for path in [
            "/sys/fs/cgroup/memory",
            "/sys/fs/cgroup/memory/docker",
            "/sys/fs/cgroup/memory/neargate/1b",
            "/sys/fs/cgroup/memory/neargate/1a/../1b",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory2/neargate/1a",
            "/sys/fs/cgroup/pids/neargate/1a",
            "/etc/passwd",
            "",
        ] {
            assert_eq!(place(path), None, "{path}");
        }
    }
}
