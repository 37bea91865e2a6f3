//! How far a container's limits can be raised. An engine without CAP_SYS_RESOURCE in the first user namespace (a rootless
//! one, or one in a sandboxed CI machine) can't raise a container's limits above its own, and then fails the start. So the
//! limits are capped to what is possible.

use std::collections::HashMap;

use bollard::models::ResourcesUlimits;

use crate::runtime::Ulimit;

/// Fargate's default for open files, soft and hard (Amazon ECS developer guide, "Resource limits").
const OPEN_FILES: i64 = 65_535;

/// Bit of `CapEff` in `/proc/PID/status` (linux/capability.h).
const CAP_SYS_RESOURCE: u32 = 24;

/// The engine's value for "unlimited".
const UNLIMITED: i64 = -1;

/// The highest possible hard limit, by Docker's name of the limit. A limit that is not in it has no maximum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ceiling(HashMap<&'static str, i64>);

impl Ceiling {
    /// From the pid of a container's main process: its parent, the engine's shim, decides what may be raised. Nothing is
    /// capped if `/proc` does not have the values.
    pub(super) fn above(pid: i64) -> Self {
        let read = |pid: &str, file: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
        };
        let of_child = read(&pid.to_string(), "status");
        let Some(shim) = field(&of_child, "PPid:") else { return Self::default() };
        let open_files = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
        let may = may_raise(&read(shim, "status"), &read(shim, "uid_map"));
        Self::of(may, &read(shim, "limits"), &open_files)
    }

    /// From `/proc/PID/limits` and `/proc/sys/fs/nr_open`, the kernel's maximum.
    fn of(may_raise: bool, limits: &str, nr_open: &str) -> Self {
        let mut ceiling = Self::default();
        if let Ok(most) = nr_open.trim().parse() {
            ceiling.0.insert("nofile", most);
        }
        if !may_raise {
            ceiling.0.extend(limits.lines().filter_map(hard_limit));
        }
        ceiling
    }

    /// The engine's form of `wanted`, with Fargate's default of open files if `wanted` has no such limit.
    pub(super) fn apply(&self, wanted: &[Ulimit]) -> Vec<ResourcesUlimits> {
        let open_files = Ulimit { name: "nofile".to_owned(), soft: OPEN_FILES, hard: OPEN_FILES };
        let missing = (!wanted.iter().any(|ulimit| ulimit.name == open_files.name)).then_some(&open_files);
        wanted
            .iter()
            .chain(missing)
            .map(|ulimit| ResourcesUlimits {
                name: Some(ulimit.name.clone()),
                soft: Some(self.cap(&ulimit.name, ulimit.soft)),
                hard: Some(self.cap(&ulimit.name, ulimit.hard)),
            })
            .collect()
    }

    /// The highest number of open files that a container can have, if that is less than Fargate's.
    pub(crate) fn open_files(&self) -> Option<i64> {
        self.0.get("nofile").copied().filter(|most| *most < OPEN_FILES)
    }

    fn cap(&self, name: &str, value: i64) -> i64 {
        match self.0.get(name) {
            Some(most) if value == UNLIMITED || value > *most => *most,
            _ => value,
        }
    }
}

/// From `/proc/PID/status` and `/proc/PID/uid_map`: whether the process may raise hard limits. The kernel requires the
/// capability in the first user namespace, which maps each of the 2³² - 1 users to itself (user_namespaces(7)).
fn may_raise(status: &str, uid_map: &str) -> bool {
    let capabilities = field(status, "CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let has_capability = capabilities.is_none_or(|mask| mask & (1 << CAP_SYS_RESOURCE) != 0);
    has_capability && (uid_map.is_empty() || uid_map.split_whitespace().eq(["0", "0", "4294967295"]))
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// A line of `/proc/PID/limits`: name, soft limit, hard limit, unit. `None` if it is unlimited or not a ulimit.
fn hard_limit(line: &str) -> Option<(&'static str, i64)> {
    const NAMES: [(&str, &str); 15] = [
        ("Max cpu time", "cpu"),
        ("Max file size", "fsize"),
        ("Max data size", "data"),
        ("Max stack size", "stack"),
        ("Max core file size", "core"),
        ("Max resident set", "rss"),
        ("Max processes", "nproc"),
        ("Max open files", "nofile"),
        ("Max locked memory", "memlock"),
        ("Max file locks", "locks"),
        ("Max pending signals", "sigpending"),
        ("Max msgqueue size", "msgqueue"),
        ("Max nice priority", "nice"),
        ("Max realtime priority", "rtprio"),
        ("Max realtime timeout", "rttime"),
    ];
    let (title, name) = NAMES.into_iter().find(|(title, _)| line.starts_with(title))?;
    let hard = line.strip_prefix(title)?.split_whitespace().nth(1)?.parse().ok()?;
    Some((name, hard))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max core file size        0                    unlimited            bytes     
Max processes             96365                96365                processes 
Max open files            20000                20000                files     
";

    fn nofile(soft: i64, hard: i64) -> Ulimit {
        Ulimit { name: "nofile".to_owned(), soft, hard }
    }

    fn applied(ceiling: &Ceiling, wanted: &[Ulimit]) -> Vec<(String, i64, i64)> {
        let parts =
            |ulimit: ResourcesUlimits| (ulimit.name.unwrap(), ulimit.soft.unwrap(), ulimit.hard.unwrap());
        ceiling.apply(wanted).into_iter().map(parts).collect()
    }

    #[test]
    fn open_files_have_fargates_default_unless_set() {
        let ceiling = Ceiling::default();
        assert_eq!(applied(&ceiling, &[]), [("nofile".to_owned(), 65_535, 65_535)]);
        assert_eq!(applied(&ceiling, &[nofile(1024, 4096)]), [("nofile".to_owned(), 1024, 4096)]);
    }

    #[test]
    fn only_the_capability_in_the_first_user_namespace_raises_limits() {
        const FIRST: &str = "         0          0 4294967295\n";
        const ROOTLESS: &str = "         0       1000          1\n         1     100000      65536\n";
        for (status, uid_map, expected) in [
            ("CapEff:\t000001ffffffffff\n", FIRST, true),
            ("CapEff:\t000001fffeffffff\n", FIRST, false),
            ("CapEff:\t000001ffffffffff\n", ROOTLESS, false),
            ("", "", true),
        ] {
            assert_eq!(may_raise(status, uid_map), expected, "{status}{uid_map}");
        }
    }

    #[test]
    fn without_the_capability_limits_are_capped_to_the_engines_own() {
        let ceiling = Ceiling::of(false, LIMITS, "1048576\n");
        assert_eq!(applied(&ceiling, &[]), [("nofile".to_owned(), 20_000, 20_000)]);
        assert_eq!(applied(&ceiling, &[nofile(1024, -1)]), [("nofile".to_owned(), 1024, 20_000)]);
        let core = Ulimit { name: "core".to_owned(), soft: -1, hard: -1 };
        assert_eq!(applied(&ceiling, &[core]).first(), Some(&("core".to_owned(), -1, -1)));
        assert_eq!(ceiling.open_files(), Some(20_000));
    }

    #[test]
    fn with_the_capability_only_the_kernel_caps_limits() {
        let ceiling = Ceiling::of(true, LIMITS, "1048576\n");
        assert_eq!(applied(&ceiling, &[nofile(-1, -1)]), [("nofile".to_owned(), 1_048_576, 1_048_576)]);
        assert_eq!(ceiling.open_files(), None);
    }
}
