//! What the engine is: read once, at the connect.

use bollard::models::{SystemInfo, SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum};

/// What the runtime's decisions rest on.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Such as `20.10.24+dfsg1`.
    pub(crate) version: String,
    /// As `uname -m` says it: `x86_64`, `aarch64`.
    pub(crate) architecture: String,
    pub(crate) cgroup_driver: Driver,
    /// 1 or 2.
    pub(crate) cgroup_version: u8,
    pub(crate) rootless: bool,
    /// The engine's kernel is this process's, and so are its `/proc`, its routes and its cgroups.
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
            rootless: security.iter().any(|option| option.contains("name=rootless")),
            local: host.starts_with("unix://")
                && same(info.kernel_version.as_deref(), "/proc/sys/kernel/osrelease")
                && same(info.name.as_deref(), "/proc/sys/kernel/hostname"),
        }
    }

    /// In ECS's spelling: `X86_64`, `ARM64`; another one as the engine spells it.
    pub(crate) fn cpu_architecture(&self) -> String {
        match self.architecture.as_str() {
            "x86_64" | "amd64" => "X86_64".to_owned(),
            "aarch64" | "arm64" => "ARM64".to_owned(),
            other => other.to_owned(),
        }
    }

    /// Whether the sandbox program that is built in can run there; else the reason in a sentence.
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

fn same(said: Option<&str>, file: &str) -> bool {
    said.zip(std::fs::read_to_string(file).ok()).is_some_and(|(said, here)| said == here.trim())
}
