//! Properties of the engine, read once when it is connected.

use bollard::models::{SystemInfo, SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum};

use super::names::this_host;

/// The properties on which the runtime's decisions depend.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Such as `20.10.24+dfsg1`.
    pub(crate) version: String,
    /// As `uname -m` prints it: `x86_64`, `aarch64`.
    pub(crate) architecture: String,
    pub(crate) cgroup_driver: Driver,
    /// 1 or 2.
    pub(crate) cgroup_version: u8,
    pub(crate) rootless: bool,
    pub(crate) seccomp: bool,
    /// Whether the kernel can limit memory and swap, and cpu by quota. Some distributions disable a part of it.
    pub(crate) limits_memory: bool,
    pub(crate) limits_swap: bool,
    pub(crate) limits_cpu: bool,
    /// The engine runs on this process's kernel, and so has the same `/proc`, routes and cgroups.
    pub(crate) local: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    Cgroupfs,
    Systemd,
    None,
}

impl Facts {
    pub(crate) fn of(info: &SystemInfo, host: &str) -> Self {
        let security = info.security_options.as_deref().unwrap_or_default();
        Self {
            version: info.server_version.clone().unwrap_or_default(),
            architecture: info.architecture.clone().unwrap_or_default(),
            cgroup_driver: match info.cgroup_driver {
                Some(SystemInfoCgroupDriverEnum::CGROUPFS) => Driver::Cgroupfs,
                Some(SystemInfoCgroupDriverEnum::SYSTEMD) => Driver::Systemd,
                _ => Driver::None,
            },
            cgroup_version: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_2) => 2,
                _ => 1,
            },
            limits_memory: info.memory_limit.unwrap_or_default(),
            limits_swap: info.swap_limit.unwrap_or_default(),
            limits_cpu: info.cpu_cfs_quota.unwrap_or_default(),
            seccomp: security.iter().any(|option| option.contains("name=seccomp")),
            rootless: security.iter().any(|option| option.contains("name=rootless")),
            local: host.starts_with("unix://")
                && info.name.as_ref().is_some_and(|name| *name == this_host())
                && info.kernel_version.as_ref().is_some_and(|version| *version == this_kernel()),
        }
    }

    /// In ECS's spelling: `X86_64`, `ARM64`; any other in the engine's spelling.
    pub(crate) fn cpu_architecture(&self) -> String {
        match self.architecture.as_str() {
            "x86_64" | "amd64" => "X86_64".to_owned(),
            "aarch64" | "arm64" => "ARM64".to_owned(),
            other => other.to_owned(),
        }
    }

    /// Whether the engine can run the embedded sandbox program; else the reason as a sentence.
    pub(crate) fn runs_this_build(&self) -> Result<(), String> {
        let engine = match self.architecture.as_str() {
            "amd64" => "x86_64",
            "arm64" => "aarch64",
            other => other,
        };
        if engine == std::env::consts::ARCH {
            return Ok(());
        }
        Err(format!(
            "the engine runs containers for {engine}, and this neargate is built for {}: use a neargate that is built \
             for {engine}",
            std::env::consts::ARCH
        ))
    }
}

fn this_kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}
