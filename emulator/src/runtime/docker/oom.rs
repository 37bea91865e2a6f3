//! Whether the kernel killed a container for memory.
//!
//! The engine's own mark is not reliable: on cgroup v1 the kernel notifies every cgroup below the one that ran out, so
//! the engine marks siblings of the victim as well. And the count of a container's own cgroup
//! (`memory.oom_control`, `memory.events`) is removed with the container, often before it can be read. The kernel's
//! log remains: for each victim it names the cgroup, whose last part contains the container's id, and it is written
//! before the victim has ended.
//!
//! ```text
//! exit code is not 137 ───────────────────────────────▶ no
//! the engine was asked to send it SIGKILL ────────────▶ no
//! the log names its cgroup, or its main process ──────▶ yes
//! every victim of the log is known to be another's ───▶ no
//! otherwise (no log to read, its process not known) ──▶ the engine's mark
//! ```
//!
//! After ten victims in five seconds the kernel only logs the process, and no longer its cgroup (`oom_kill_process` in
//! mm/oom_kill.c). For that case the main process is needed; its pid is read when the container starts.

/// The exit code of a process that SIGKILL ended.
pub(super) const SIGKILLED: i64 = 137;

/// The kernel's log about one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// A process of it was a victim.
    Victim,
    /// No victim, or only victims of other containers.
    Spared,
    /// The log can't be read, or a victim in it could be this container's.
    Unknown,
}

/// The decision. `marked` is the engine's `OOMKilled`, `killed` whether the engine was asked for a SIGKILL.
pub(super) fn decide(
    exit_code: i64,
    killed: bool,
    marked: bool,
    evidence: impl FnOnce() -> Evidence,
) -> bool {
    if exit_code != SIGKILLED || killed {
        return false;
    }
    match evidence() {
        Evidence::Victim => true,
        Evidence::Spared => false,
        Evidence::Unknown => marked,
    }
}

/// Reads the kernel's log of this machine from its oldest line. `main` is the pid of the container's main process, if
/// known.
pub(super) fn evidence(container_id: &str, main: Option<i64>) -> Evidence {
    match kernel_log() {
        Ok(lines) => weigh(lines.iter().map(String::as_str), container_id, main),
        Err(error) => {
            tracing::debug!(%error, "could not read the kernel's log; using the engine's OOM mark");
            Evidence::Unknown
        }
    }
}

/// Whether [`evidence`] can read the kernel's log.
pub(crate) fn readable() -> std::io::Result<()> {
    std::fs::File::open(LOG).map(drop)
}

const LOG: &str = "/dev/kmsg";

fn kernel_log() -> std::io::Result<Vec<String>> {
    use std::io::{ErrorKind, Read};
    use std::os::unix::fs::OpenOptionsExt;

    // O_NONBLOCK, the same number on both architectures of Fargate: the read ends instead of waiting for more.
    const NONBLOCKING: i32 = 0o4000;
    let mut log = std::fs::OpenOptions::new().read(true).custom_flags(NONBLOCKING).open(LOG)?;
    let mut lines = Vec::new();
    // A read returns one record, and a record is at most 8 KiB (Documentation/ABI/testing/dev-kmsg).
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(0) => return Ok(lines),
            Ok(length) => {
                let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default());
                if text.contains(VICTIM) || text.contains(KILLED) {
                    lines.push(text.into_owned());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(lines),
            // EPIPE: the record was overwritten before it was read; the next read continues after it.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

/// `oom-kill:constraint=CONSTRAINT_MEMCG,…,task_memcg=/neargate/I/T/CONTAINER,task=app,pid=4711,uid=0`
const VICTIM: &str = "oom-kill:constraint=";
/// `Memory cgroup out of memory: Killed process 4711 (app) total-vm:…`
const KILLED: &str = "out of memory: Killed process ";

fn weigh<'a>(lines: impl Iterator<Item = &'a str>, container_id: &str, main: Option<i64>) -> Evidence {
    let mut named = Vec::new();
    let mut nameless = Vec::new();
    for line in lines {
        if let Some((_, fields)) = line.split_once(VICTIM) {
            let field = |name: &str| fields.split(',').find_map(|field| field.strip_prefix(name));
            if field("task_memcg=").is_some_and(|cgroup| cgroup.contains(container_id)) {
                return Evidence::Victim;
            }
            named.extend(field("pid="));
        } else if let Some((_, process)) = line.split_once(KILLED) {
            nameless.extend(process.split_whitespace().next().filter(|pid| !named.contains(pid)));
        }
    }
    match main {
        _ if nameless.is_empty() => Evidence::Spared,
        Some(main) if nameless.contains(&main.to_string().as_str()) => Evidence::Victim,
        Some(_) => Evidence::Spared,
        None => Evidence::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: [&str; 2] = [
        "6,801,99,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c0ffee,mems_allowed=0,\
         oom_memcg=/neargate/i/t,task_memcg=/neargate/i/t/c0ffee,task=hog,pid=4711,uid=0",
        "3,802,99,-;Memory cgroup out of memory: Killed process 4711 (hog) total-vm:99kB, anon-rss:98kB",
    ];

    #[test]
    fn the_log_distinguishes_the_victim_from_its_sibling() {
        assert_eq!(weigh(LOG.into_iter(), "c0ffee", None), Evidence::Victim);
        assert_eq!(weigh(LOG.into_iter(), "decade", None), Evidence::Spared);
        assert_eq!(weigh(std::iter::empty(), "c0ffee", None), Evidence::Spared);
    }

    #[test]
    fn a_victim_without_its_cgroup_is_recognized_by_its_process() {
        let without_cgroup = || LOG.into_iter().skip(1);
        assert_eq!(weigh(without_cgroup(), "c0ffee", Some(4711)), Evidence::Victim);
        assert_eq!(weigh(without_cgroup(), "decade", Some(471)), Evidence::Spared);
        assert_eq!(weigh(without_cgroup(), "decade", None), Evidence::Unknown);
    }

    #[test]
    fn only_a_sigkill_that_was_not_requested_can_be_for_memory() {
        use Evidence::{Spared, Unknown, Victim};
        for (code, killed, marked, evidence, expected) in [
            (137, false, false, Victim, true),
            (137, false, true, Spared, false),
            (137, false, true, Unknown, true),
            (137, false, false, Unknown, false),
            (137, true, true, Victim, false),
            (0, false, true, Victim, false),
            (143, false, true, Unknown, false),
        ] {
            let decided = decide(code, killed, marked, || evidence);
            assert_eq!(decided, expected, "{code} killed={killed} marked={marked} {evidence:?}");
        }
    }
}
