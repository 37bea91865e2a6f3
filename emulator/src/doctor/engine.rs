//! The container engine and what it can enforce.

use super::Check;
use crate::runtime::Error;
use crate::runtime::docker::facts::Facts;
use crate::runtime::docker::limits::Limits;
use crate::runtime::docker::names::Instance;
use crate::runtime::docker::{Inner, client, oom, sandbox, sandbox_image, ulimits};

/// The oldest engine that is tested.
const OLDEST: (u32, u32) = (20, 10);

pub(super) async fn checks(docker_host: Option<&str>) -> Vec<Check> {
    let host = client::host(docker_host);
    let probe = match Probe::new(&host).await {
        Ok(probe) => probe,
        Err(error) => return vec![unreachable(&error)],
    };
    let facts = &probe.inner.facts;
    let mut checks = vec![version(facts, &host)];
    if let Err(reason) = facts.runs_this_build() {
        checks.push(Check::fail("sandbox", "its program can't run there", reason));
        return checks;
    }
    checks.push(limits(facts, &probe.inner.limits));
    checks.extend(kernel(facts));
    checks.push(memory(facts));
    checks.push(disk());
    checks.extend(probe.sandbox().await);
    checks.push(images(&probe).await);
    probe.end().await;
    checks
}

/// A temporary instance for the checks, removed after them.
struct Probe {
    inner: Inner,
    /// Shows `neargate clean` that the instance is in use.
    _lock: Option<crate::store::Lock>,
    _directory: Option<tempfile::TempDir>,
}

impl Probe {
    async fn new(host: &str) -> Result<Self, Error> {
        let directory = tempfile::tempdir().ok();
        let path = directory.as_ref().map(|directory| directory.path().to_owned()).unwrap_or_default();
        let lock =
            directory.as_ref().and_then(|directory| crate::store::Lock::acquire(directory.path()).ok());
        let id = uuid::Uuid::new_v4().simple().to_string();
        let mut inner = Inner::connect(host, Instance::here(id, path)).await?;
        inner.claim_limits().await;
        Ok(Self { inner, _lock: lock, _directory: directory })
    }

    /// Whether the sandbox's image loads and runs, and how many open files a container may have.
    async fn sandbox(&self) -> Vec<Check> {
        const SUBJECT: &str = "sandbox";
        let fix = "read the engine's log (journalctl -u docker)";
        match self.inner.probe_sandbox().await {
            Ok(sandbox::Probe { ceiling, guarded }) => {
                let found = format!("{} loads and runs", sandbox_image::reference());
                vec![Check::ok(SUBJECT, found), raw_sockets(&guarded), open_files(&ceiling)]
            }
            Err(error) => vec![Check::fail(SUBJECT, error.to_string(), fix)],
        }
    }

    async fn end(self) {
        if let Err(error) = self.inner.remove_everything().await {
            tracing::warn!(%error, "could not remove everything that the checks created; neargate clean removes the rest");
        }
    }
}

fn unreachable(error: &Error) -> Check {
    let found = error.to_string();
    let reason = found.to_lowercase();
    let fix = if reason.contains("permission denied") {
        "run neargate as root, or join the group that may use the engine: sudo usermod -aG docker $USER, and log in again"
    } else if reason.contains("no socket") || reason.contains("no such file") {
        "install and start Docker (on Debian: sudo apt install docker.io), or choose another engine with --docker-host"
    } else {
        "start it (sudo systemctl start docker), or choose another engine with --docker-host"
    };
    Check::fail("engine", found, fix)
}

fn version(facts: &Facts, host: &str) -> Check {
    const SUBJECT: &str = "engine";
    let found = format!("Docker {} at {host}", facts.version);
    let mut numbers = facts.version.split(['.', '-', '+', '~']).map_while(|part| part.parse::<u32>().ok());
    match numbers.next().zip(numbers.next()) {
        Some(version) if version >= OLDEST => Check::ok(SUBJECT, found),
        Some(_) => Check::fail(SUBJECT, format!("{found} is too old"), "install Docker 20.10 or newer"),
        None => Check::warn(
            SUBJECT,
            found,
            "the engine reports no version that can be read: use Docker 20.10 or newer",
        ),
    }
}

fn limits(facts: &Facts, limits: &Limits) -> Check {
    const SUBJECT: &str = "limits";
    match limits {
        Limits::PerContainer { why } => Check::warn(
            SUBJECT,
            format!("enforced per container, so a task's containers together may exceed its size: {why}"),
            "use an engine on this machine that is not rootless; if it is one already, run neargate as root",
        ),
        Limits::Cgroupfs(_) | Limits::Systemd(_) => Check::ok(
            SUBJECT,
            format!(
                "a task's cpu and memory are enforced by {} (cgroup v{}){}",
                limits.name(),
                facts.cgroup_version,
                if limits.is_helped() {
                    ", through a helper container, because you are not root"
                } else {
                    ""
                }
            ),
        ),
    }
}

/// What the engine's kernel can't limit at all.
fn kernel(facts: &Facts) -> Vec<Check> {
    const SUBJECT: &str = "kernel";
    let fix = "boot the kernel with the parameters cgroup_enable=memory swapaccount=1";
    let missing = |what: &str| Check::warn(SUBJECT, format!("it can't limit {what}"), fix);
    [("memory", facts.limits_memory), ("swap", facts.limits_swap), ("cpu by quota", facts.limits_cpu)]
        .into_iter()
        .filter(|(_, able)| !able)
        .map(|(what, _)| missing(what))
        .collect()
}

/// Not limited here. On Fargate a task has its own disk of 20 GiB or more.
fn disk() -> Check {
    Check::ok("disk", "not limited per task: a task's files and logs can fill the engine's disk")
}

/// Whether it can be detected reliably which container ran out of memory.
fn memory(facts: &Facts) -> Check {
    const SUBJECT: &str = "oom";
    let readable = if facts.local {
        oom::readable().map_err(|error| error.to_string())
    } else {
        Err("the engine does not run on this machine's kernel".to_owned())
    };
    match readable {
        Ok(()) => Check::ok(SUBJECT, "the kernel's log shows which container ran out of memory"),
        Err(why) => Check::warn(
            SUBJECT,
            format!(
                "only the engine reports which container ran out of memory, which is less reliable: the kernel's log can't be \
                 read: {why}"
            ),
            "run neargate as root on the engine's machine",
        ),
    }
}

/// Whether security groups also apply to raw sockets, which root in a task may open.
fn raw_sockets(guarded: &Result<(), String>) -> Check {
    const SUBJECT: &str = "isolation";
    match guarded {
        Ok(()) => Check::ok(SUBJECT, "a task's security groups also apply to raw sockets"),
        Err(reason) => Check::warn(
            SUBJECT,
            format!(
                "security groups can't be enforced on raw sockets, so if a VPC has more than the open default group its tasks \
                 have no CAP_NET_RAW: {reason}"
            ),
            "run the engine on Linux 5.16 or newer with nf_tables, not rootless",
        ),
    }
}

fn open_files(ceiling: &ulimits::Ceiling) -> Check {
    const SUBJECT: &str = "ulimits";
    match ceiling.open_files() {
        None => Check::ok(SUBJECT, "containers can have Fargate's 65535 open files"),
        Some(most) => Check::warn(
            SUBJECT,
            format!("containers get at most {most} open files instead of Fargate's 65535"),
            "raise the engine's limit (LimitNOFILE= of docker.service and containerd.service), or give it CAP_SYS_RESOURCE",
        ),
    }
}

async fn images(probe: &Probe) -> Check {
    const SUBJECT: &str = "images";
    match probe.inner.image_names().await {
        Ok(names) if names.is_empty() => {
            Check::ok(SUBJECT, "none on the engine: each is pulled when a task needs it")
        }
        Ok(names) => Check::ok(
            SUBJECT,
            format!("on the engine: {}; others are pulled when a task needs them", names.join(", ")),
        ),
        Err(error) => Check::fail(SUBJECT, error.to_string(), "read the engine's log (journalctl -u docker)"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use crate::runtime::docker::facts::Driver;

    fn facts(version: &str) -> Facts {
        Facts {
            version: version.to_owned(),
            architecture: "x86_64".to_owned(),
            cgroup_driver: Driver::Systemd,
            cgroup_version: 2,
            limits_memory: true,
            limits_swap: true,
            limits_cpu: true,
            rootless: false,
            seccomp: true,
            local: true,
        }
    }

    #[test]
    fn an_engine_before_20_10_is_too_old() {
        for (text, status) in [
            ("20.10.24+dfsg1", Status::Ok),
            ("28.2.2", Status::Ok),
            ("19.03.15", Status::Fail),
            ("dev", Status::Warn),
        ] {
            assert_eq!(version(&facts(text), "unix:///x").status, status, "{text}");
        }
    }

    #[test]
    fn each_reason_for_an_unreachable_engine_has_its_own_fix() {
        let fix = |reason: &str| {
            let error = Error::Unreachable { host: "unix:///x".to_owned(), reason: reason.to_owned() };
            unreachable(&error).fix.unwrap()
        };
        assert!(fix("client error: Permission denied (os error 13)").contains("usermod"));
        assert!(fix("there is no socket /x").contains("apt install"));
        assert!(fix("Connection refused").contains("systemctl start"));
    }

    #[test]
    fn what_the_kernel_can_not_limit_is_named() {
        assert_eq!(kernel(&facts("28.0.0")), []);
        let found: Vec<String> = kernel(&Facts { limits_swap: false, ..facts("28.0.0") })
            .into_iter()
            .map(|check| check.found)
            .collect();
        assert_eq!(found, ["it can't limit swap"]);
    }
}
