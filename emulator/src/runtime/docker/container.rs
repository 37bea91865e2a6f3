//! What a container of a task is to the engine. Pure: [`body`] is the whole translation.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount as DockerMount, MountType,
};

use super::limits::{CPU_PERIOD, Limits, bytes, cpu_quota};
use super::names::{CONTAINER, Instance, SANDBOX, TASK};
use super::ulimits::Ceiling;
use crate::runtime::{ContainerSpec, HealthCheck, Mount};

const NANOSECONDS: i64 = 1_000_000_000;

/// CPU units of a container that reserves none (amazon-ecs-agent's least).
const LEAST_CPU: u32 = 2;

/// CPU shares of a unit below the task's cgroup, where shares have meaning among siblings alone: as many as keep the
/// largest task, 16,384 units, within the kernel's 262,144. With one for one a container that reserves nothing has
/// so few that on a busy machine its start takes a quarter longer.
const SHARES: i64 = 16;

pub(super) fn body(
    spec: &ContainerSpec,
    instance: &Instance,
    limits: &Limits,
    ceiling: &Ceiling,
) -> ContainerCreateBody {
    let mut labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    labels.extend(instance.labels(&[
        (TASK, &spec.task_id),
        (CONTAINER, &spec.name),
        (SANDBOX, &spec.sandbox_id),
    ]));
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entry_point.clone().filter(|words| !words.is_empty()),
        cmd: spec.command.clone().filter(|words| !words.is_empty()),
        env: Some(spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: spec.user.clone(),
        working_dir: spec.working_directory.clone(),
        tty: Some(spec.pseudo_terminal),
        open_stdin: Some(spec.interactive),
        healthcheck: Some(health(spec.health_check.as_ref())),
        labels: Some(labels),
        host_config: Some(host_config(spec, instance, limits, ceiling)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &ContainerSpec, instance: &Instance, limits: &Limits, ceiling: &Ceiling) -> HostConfig {
    let sibling = |name: &str| instance.container(&spec.task_id, name);
    let memory = bytes(spec.memory.unwrap_or(spec.task_memory));
    let cgroup_parent = limits.parent(&spec.task_id);
    HostConfig {
        network_mode: Some(format!("container:{}", instance.sandbox(&spec.sandbox_id))),
        pid_mode: spec.share_pid_with.as_deref().map(|holder| format!("container:{}", sibling(holder))),
        cpu_shares: Some(shares(spec, cgroup_parent.is_some())),
        cgroup_parent,
        // The task's, so that a JVM or a Go program counts the processors that it has.
        cpu_period: Some(CPU_PERIOD),
        cpu_quota: Some(cpu_quota(spec.task_cpu)),
        memory: Some(memory),
        memory_swap: Some(memory),
        memory_reservation: spec.memory_reservation.map(bytes),
        ulimits: Some(ceiling.apply(&spec.ulimits)),
        // The net.* ones are of the sandbox's namespace, and so every container's of the task, as on Fargate.
        sysctls: (!spec.sysctls.is_empty()).then(|| spec.sysctls.clone().into_iter().collect()),
        // On top of the engine's default set, which is Fargate's as well.
        cap_add: Some(spec.add_capabilities.clone()),
        cap_drop: Some(spec.drop_capabilities.clone()),
        readonly_rootfs: Some(spec.readonly_root_filesystem),
        init: Some(spec.init_process),
        mounts: Some(spec.mounts.iter().map(|mount| docker_mount(mount, instance, &spec.task_id)).collect()),
        volumes_from: Some(
            spec.volumes_from
                .iter()
                .map(|(name, read_only)| {
                    format!("{}:{}", sibling(name), if *read_only { "ro" } else { "rw" })
                })
                .collect(),
        ),
        log_config: Some(whole_log()),
        auto_remove: Some(false),
        ..HostConfig::default()
    }
}

/// Among the containers of its task; where the task has no cgroup, among all of the engine's.
fn shares(spec: &ContainerSpec, among_siblings: bool) -> i64 {
    match (among_siblings, spec.cpu) {
        (true, cpu) => i64::from(cpu.max(LEAST_CPU)) * SHARES,
        (false, 0) => i64::from(spec.task_cpu),
        (false, cpu) => i64::from(cpu.max(LEAST_CPU)),
    }
}

/// One file that grows: rotation would throw lines away that nobody has read. The engine adds its own defaults for
/// options that are absent, and takes no word for "unlimited": so each is said, with a size that no disk has.
fn whole_log() -> HostConfigLogConfig {
    let options = [("max-size", "1000p"), ("max-file", "1"), ("compress", "false"), ("mode", "blocking")];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
    }
}

/// The image's own HEALTHCHECK never counts (ECS API, `HealthCheck`).
fn health(check: Option<&HealthCheck>) -> HealthConfig {
    let Some(check) = check else {
        return HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() };
    };
    let nanoseconds = |seconds: u32| Some(i64::from(seconds) * NANOSECONDS);
    HealthConfig {
        test: Some(check.command.clone()),
        interval: nanoseconds(check.interval),
        timeout: nanoseconds(check.timeout),
        retries: Some(i64::from(check.retries)),
        start_period: nanoseconds(check.start_period),
        start_interval: None,
    }
}

fn docker_mount(mount: &Mount, instance: &Instance, task_id: &str) -> DockerMount {
    DockerMount {
        typ: Some(MountType::VOLUME),
        source: Some(instance.volume(task_id, &mount.volume)),
        target: Some(mount.path.clone()),
        read_only: Some(mount.read_only),
        ..DockerMount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        Instance::here("0123456789abcdef".to_owned(), "/data".into())
    }

    fn spec() -> ContainerSpec {
        ContainerSpec {
            task_id: "f".repeat(32),
            sandbox_id: "s1".to_owned(),
            name: "web".to_owned(),
            task_cpu: 256,
            task_memory: 512,
            ..ContainerSpec::default()
        }
    }

    fn host(spec: &ContainerSpec) -> HostConfig {
        let limits = Limits::PerContainer { why: String::new() };
        body(spec, &instance(), &limits, &Ceiling::default()).host_config.unwrap()
    }

    #[test]
    fn a_container_without_limits_gets_its_tasks() {
        let host = host(&spec());
        assert_eq!(host.memory, Some(512 << 20));
        assert_eq!(host.memory_swap, host.memory, "no swap");
        assert_eq!(host.cpu_quota, Some(25_000));
    }

    #[test]
    fn a_containers_own_limits_stand() {
        let host =
            host(&ContainerSpec { cpu: 128, memory: Some(64), memory_reservation: Some(32), ..spec() });
        assert_eq!(host.memory, Some(64 << 20));
        assert_eq!(host.memory_reservation, Some(32 << 20));
        assert_eq!(host.cpu_shares, Some(128));
    }

    #[test]
    fn reserved_cpu_is_a_proportion() {
        let shares = |cpu, among_siblings| shares(&ContainerSpec { cpu, ..spec() }, among_siblings);
        assert_eq!(shares(256, true), 128 * shares(0, true), "as ECS has it: 256 to 2");
        assert_eq!(shares(16_384, true), 262_144, "the kernel's most");
        assert_eq!((shares(0, false), shares(128, false)), (256, 128), "unreserved: the task's");
    }

    #[test]
    fn a_users_label_cannot_hide_whose_container_it_is() {
        let mut spec = spec();
        spec.labels.insert(super::super::names::INSTANCE.to_owned(), "another".to_owned());
        spec.labels.insert("team".to_owned(), "a".to_owned());
        let limits = Limits::PerContainer { why: String::new() };
        let labels = body(&spec, &instance(), &limits, &Ceiling::default()).labels.unwrap();
        assert!(instance().owns(Some(&labels)));
        assert_eq!(labels.get("team").map(String::as_str), Some("a"));
    }

    #[test]
    fn the_images_health_check_is_switched_off() {
        assert_eq!(health(None).test, Some(vec!["NONE".to_owned()]));
    }
}
