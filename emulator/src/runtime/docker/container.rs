//! Translates a container of a task into the engine's request. Pure: [`body`] is the whole translation.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount as DockerMount, MountType,
    MountVolumeOptions,
};

use super::limits::{CPU_PERIOD, Limits, bytes, cpu_quota, processes};
use super::names::{CONTAINER, Instance, SANDBOX, TASK};
use super::ulimits::Ceiling;
use crate::runtime::{ContainerSpec, HealthCheck, Mount};

const NANOSECONDS: i64 = 1_000_000_000;

/// CPU units of a container that reserves none (amazon-ecs-agent's minimum).
const LEAST_CPU: u32 = 2;

/// CPU shares per unit below the task's cgroup, where shares only count among siblings: the largest number with which 16,384
/// units are within [`MOST_SHARES`]. With one share per unit a container that reserves nothing has so few that its start on
/// a busy machine takes a quarter longer.
const SHARES: i64 = 16;

/// The kernel's maximum (`MAX_SHARES`), to which runc caps a container. At most one container of a task can reserve more than
/// half of its 32,768 units, so at most one is capped.
const MOST_SHARES: i64 = 262_144;

pub(super) fn body(
    spec: &ContainerSpec,
    instance: &Instance,
    limits: &Limits,
    ceiling: &Ceiling,
) -> ContainerCreateBody {
    let process = &spec.process;
    let mut labels: HashMap<String, String> = process.labels.clone().into_iter().collect();
    labels.extend(instance.labels(&[
        (TASK, &spec.task_id),
        (CONTAINER, &spec.name),
        (SANDBOX, &spec.sandbox_id),
    ]));
    ContainerCreateBody {
        image: Some(process.image.clone()),
        entrypoint: process.entry_point.clone().filter(|words| !words.is_empty()),
        cmd: process.command.clone().filter(|words| !words.is_empty()),
        env: Some(process.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: process.user.clone(),
        working_dir: process.working_directory.clone(),
        tty: Some(process.pseudo_terminal),
        open_stdin: Some(process.interactive),
        healthcheck: Some(health(process.health_check.as_ref())),
        labels: Some(labels),
        host_config: Some(host_config(spec, instance, limits, ceiling)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &ContainerSpec, instance: &Instance, limits: &Limits, ceiling: &Ceiling) -> HostConfig {
    let process = &spec.process;
    let sibling = |name: &str| instance.container(&spec.task_id, name);
    let memory = bytes(process.memory.unwrap_or(spec.task_memory));
    let cgroup_parent = limits.parent(&spec.task_id);
    HostConfig {
        network_mode: Some(format!("container:{}", instance.sandbox(&spec.sandbox_id))),
        pid_mode: spec.share_pid_with.as_deref().map(|holder| format!("container:{}", sibling(holder))),
        cpu_shares: Some(shares(spec, cgroup_parent.is_some())),
        cgroup_parent,
        // The task's, so that a JVM or a Go program detects its number of processors.
        cpu_period: Some(CPU_PERIOD),
        cpu_quota: Some(cpu_quota(spec.task_cpu)),
        memory: Some(memory),
        memory_swap: Some(memory),
        memory_reservation: process.memory_reservation.map(bytes),
        pids_limit: Some(processes(spec.task_cpu)),
        ulimits: Some(ceiling.apply(&process.ulimits)),
        // Those of net.* belong to the sandbox's namespace, and so apply to all containers of the task, as on Fargate.
        sysctls: (!process.sysctls.is_empty()).then(|| process.sysctls.clone().into_iter().collect()),
        // In addition to the engine's default set, which is the same on Fargate.
        cap_add: Some(process.add_capabilities.clone()),
        cap_drop: Some(process.drop_capabilities.clone()),
        readonly_rootfs: Some(process.readonly_root_filesystem),
        init: Some(process.init_process),
        mounts: Some(
            process.mounts.iter().map(|mount| docker_mount(mount, instance, &spec.task_id)).collect(),
        ),
        volumes_from: Some(
            process
                .volumes_from
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

/// CPU shares among the containers of the task; if the task has no cgroup, among all containers of the engine.
fn shares(spec: &ContainerSpec, among_siblings: bool) -> i64 {
    match (among_siblings, spec.process.cpu) {
        (true, cpu) => (i64::from(cpu.max(LEAST_CPU)) * SHARES).min(MOST_SHARES),
        (false, 0) => i64::from(spec.task_cpu),
        (false, cpu) => i64::from(cpu.max(LEAST_CPU)),
    }
}

/// One growing file: rotation would delete lines that have not been read. The engine adds its own defaults for missing
/// options, and accepts no value for "unlimited". So all are set, with a size that no disk has.
///
/// The space of lines that are already stored is not freed while the container exists: Docker 20.10 skips 165 lines after a
/// hole of 1 MB in the file, and stops reading after one of 39 MB ("invalid character '\x00'").
fn whole_log() -> HostConfigLogConfig {
    let options = [("max-size", "1000p"), ("max-file", "1"), ("compress", "false"), ("mode", "blocking")];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
    }
}

/// The image's own HEALTHCHECK is always ignored (ECS API, `HealthCheck`).
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
        // `docker volume prune` may remove a volume that was never mounted. The engine creates it again at the start, and
        // without its labels the task's release would not find it.
        volume_options: Some(MountVolumeOptions {
            labels: Some(instance.labels(&[(TASK, task_id)])),
            ..MountVolumeOptions::default()
        }),
        ..DockerMount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Process;

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

    fn with(change: impl FnOnce(&mut Process)) -> ContainerSpec {
        let mut spec = spec();
        change(&mut spec.process);
        spec
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
        assert_eq!(host.pids_limit, Some(1024));
    }

    #[test]
    fn a_containers_own_limits_are_kept() {
        let host = host(&with(|process| {
            process.cpu = 128;
            process.memory = Some(64);
            process.memory_reservation = Some(32);
        }));
        assert_eq!(host.memory, Some(64 << 20));
        assert_eq!(host.memory_reservation, Some(32 << 20));
        assert_eq!(host.cpu_shares, Some(128));
    }

    #[test]
    fn reserved_cpu_is_a_proportion() {
        let shares = |cpu, among_siblings| shares(&with(|process| process.cpu = cpu), among_siblings);
        assert_eq!(shares(256, true), 128 * shares(0, true), "as ECS has it: 256 to 2");
        assert_eq!(shares(16_384, true), 262_144, "the kernel's most");
        assert_eq!(shares(32_768, true), 262_144, "and not more for a task of 32 vCPU");
        assert_eq!((shares(0, false), shares(128, false)), (256, 128), "unreserved: the task's");
    }

    #[test]
    fn a_users_label_cannot_hide_whose_container_it_is() {
        let mut spec = spec();
        spec.process.labels.insert(super::super::names::INSTANCE.to_owned(), "another".to_owned());
        spec.process.labels.insert("team".to_owned(), "a".to_owned());
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
