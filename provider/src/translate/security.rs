//! Security contexts: what a task carries of them, what it cannot, and what Fargate does not enforce.
//!
//! A field that requires more than a task can have, or something else than it has, is refused. With one that requires *less*
//! (`allowPrivilegeEscalation: false`), or groups for files of volumes that do not exist, the pod still runs, and gets an event
//! that names it: hardened manifests set these fields by default.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::ecs::Capabilities;

/// What ECS carries of the security contexts; the container's field over the pod's.
pub(super) struct Security {
    pub(super) user: Option<String>,
    pub(super) read_only: Option<bool>,
    pub(super) capabilities: Option<Capabilities>,
}

impl Security {
    pub(super) fn of(spec: &PodSpec, container: &Container) -> Self {
        let own = container.security_context.as_ref();
        let pod = spec.security_context.as_ref();
        let user = own.and_then(|own| own.run_as_user).or_else(|| pod.and_then(|pod| pod.run_as_user));
        let group = own.and_then(|own| own.run_as_group).or_else(|| pod.and_then(|pod| pod.run_as_group));
        let capabilities = own.and_then(|own| own.capabilities.as_ref()).map(|capabilities| Capabilities {
            add: capabilities.add.iter().flatten().map(|name| bare(name)).collect(),
            drop: capabilities.drop.iter().flatten().map(|name| bare(name)).collect(),
        });
        Self {
            user: user.map(|user| group.map_or_else(|| user.to_string(), |group| format!("{user}:{group}"))),
            read_only: own.and_then(|own| own.read_only_root_filesystem).filter(|&read_only| read_only),
            capabilities: capabilities.filter(|capabilities| *capabilities != Capabilities::default()),
        }
    }
}

/// A capability's name as ECS writes it: upper case, without `CAP_`.
fn bare(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

/// What the pod requires and Fargate does not enforce, as it is written in the pod. ECS's `dockerSecurityOptions`, and with them
/// `no-new-privileges`, and supplementary groups are not available on Fargate.
pub(super) fn not_enforced(spec: &PodSpec) -> Vec<String> {
    let escalation = |container: &&Container| {
        container.security_context.as_ref().and_then(|own| own.allow_privilege_escalation) == Some(false)
    };
    let containers: Vec<_> = spec.containers.iter().filter(escalation).map(|c| c.name.as_str()).collect();
    let pod = spec.security_context.as_ref();
    let groups = pod.and_then(|pod| pod.supplemental_groups.as_ref()).filter(|groups| !groups.is_empty());
    let strict = pod.and_then(|pod| pod.supplemental_groups_policy.as_deref()) == Some("Strict");
    [
        (!containers.is_empty())
            .then(|| format!("allowPrivilegeEscalation: false (container {})", containers.join(", "))),
        pod.and_then(|pod| pod.fs_group).map(|group| format!("fsGroup: {group}")),
        groups.map(|groups| format!("supplementalGroups: {groups:?}")),
        strict.then(|| "supplementalGroupsPolicy: Strict".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Fields that change what runs and that Fargate has no counterpart of, each named once.
pub(super) fn unsupported(spec: &PodSpec) -> Vec<&'static str> {
    let pod = spec.security_context.as_ref();
    let own = || spec.containers.iter().filter_map(|container| container.security_context.as_ref());
    let default_only = |kind: &str| kind == "RuntimeDefault";
    let user = |container: &Container| {
        let own = container.security_context.as_ref();
        own.and_then(|own| own.run_as_user).or_else(|| pod.and_then(|pod| pod.run_as_user))
    };
    let non_root = |container: &Container| {
        let own = container.security_context.as_ref();
        own.and_then(|own| own.run_as_non_root).or_else(|| pod.and_then(|pod| pod.run_as_non_root))
            == Some(true)
    };
    let group = |container: &Container| {
        let own = container.security_context.as_ref();
        own.and_then(|own| own.run_as_group).or_else(|| pod.and_then(|pod| pod.run_as_group))
    };
    let profiles = pod.and_then(|pod| pod.seccomp_profile.as_ref()).into_iter();
    let armor = pod.and_then(|pod| pod.app_armor_profile.as_ref()).into_iter();
    let fields = [
        ("Privileged", own().any(|own| own.privileged == Some(true))),
        // The image's user is not known before it runs.
        (
            "RunAsNonRoot without RunAsUser",
            spec.containers.iter().any(|c| non_root(c) && user(c).is_none_or(|user| user <= 0)),
        ),
        (
            "RunAsGroup without RunAsUser",
            spec.containers.iter().any(|c| group(c).is_some() && user(c).is_none()),
        ),
        ("Sysctls", pod.and_then(|pod| pod.sysctls.as_ref()).is_some_and(|sysctls| !sysctls.is_empty())),
        (
            "SELinuxOptions",
            pod.is_some_and(|pod| pod.se_linux_options.is_some())
                || own().any(|own| own.se_linux_options.is_some()),
        ),
        (
            "SeccompProfile",
            profiles
                .chain(own().filter_map(|own| own.seccomp_profile.as_ref()))
                .any(|profile| !default_only(&profile.type_)),
        ),
        (
            "AppArmorProfile",
            armor
                .chain(own().filter_map(|own| own.app_armor_profile.as_ref()))
                .any(|profile| !default_only(&profile.type_)),
        ),
        (
            "WindowsOptions",
            pod.is_some_and(|pod| pod.windows_options.is_some())
                || own().any(|own| own.windows_options.is_some()),
        ),
        ("ProcMount", own().any(|own| own.proc_mount.as_deref().is_some_and(|mount| mount != "Default"))),
    ];
    fields.into_iter().filter_map(|(name, asked)| asked.then_some(name)).collect()
}

/// Capabilities that Fargate does not add: all but `SYS_PTRACE`.
pub(super) fn added_capabilities(spec: &PodSpec) -> Vec<String> {
    let mut added: Vec<String> = spec
        .containers
        .iter()
        .filter_map(|container| container.security_context.as_ref()?.capabilities.as_ref()?.add.as_ref())
        .flatten()
        .map(|name| bare(name))
        .filter(|name| name != "SYS_PTRACE")
        .collect();
    added.sort();
    added.dedup();
    added
}
