//! What the engine is to run of a task definition with its overrides merged in. Pure.

use std::collections::BTreeMap;

use fargate_facts::timeout;

use super::datetime;
use crate::api::model::ecs::{
    self as model, ContainerCondition, ContainerDefinition, ContainerDependency, HealthCheck,
    LogConfiguration, LogDriver, PidMode, TaskDefinition, TransportProtocol, Ulimit,
};
use crate::engine::task::{
    AwsLogs, Condition, ContainerSpec, Dependency, PortMapping, RestartPolicy, Spec, Transport,
};
use crate::runtime;

/// Translates a merged task definition; `region` is that of logs whose options name none.
pub(super) fn of(definition: &TaskDefinition, region: &str) -> Spec {
    let names = definition.volumes.iter().flatten().filter_map(|volume| volume.name.clone());
    Spec {
        containers: definition.container_definitions.iter().flatten().map(|c| container(c, region)).collect(),
        volumes: names.collect(),
        shared_pid: definition.pid_mode == Some(PidMode::Task),
    }
}

fn container(definition: &ContainerDefinition, region: &str) -> ContainerSpec {
    let linux = definition.linux_parameters.as_ref();
    let capabilities = linux.and_then(|linux| linux.capabilities.as_ref());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let positive = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    let list = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let environment =
        definition.environment.iter().flatten().map(|pair| (text(&pair.name), text(&pair.value)));
    let mounts = definition.mount_points.iter().flatten().map(|mount| runtime::Mount {
        volume: text(&mount.source_volume),
        path: text(&mount.container_path),
        read_only: mount.read_only == Some(true),
    });
    let volumes_from = definition.volumes_from.iter().flatten();
    let sysctls = definition.system_controls.iter().flatten();
    ContainerSpec {
        name: text(&definition.name),
        process: runtime::Process {
            image: text(&definition.image),
            entry_point: list(&definition.entry_point),
            command: list(&definition.command),
            environment: environment.collect(),
            user: definition.user.clone().filter(|user| !user.is_empty()),
            working_directory: definition.working_directory.clone().filter(|path| !path.is_empty()),
            readonly_root_filesystem: definition.readonly_root_filesystem == Some(true),
            interactive: definition.interactive == Some(true),
            pseudo_terminal: definition.pseudo_terminal == Some(true),
            init_process: linux.is_some_and(|linux| linux.init_process_enabled == Some(true)),
            add_capabilities: capabilities.and_then(|c| c.add.clone()).unwrap_or_default(),
            drop_capabilities: capabilities.and_then(|c| c.drop.clone()).unwrap_or_default(),
            ulimits: definition.ulimits.iter().flatten().map(ulimit).collect(),
            sysctls: sysctls.map(|control| (text(&control.namespace), text(&control.value))).collect(),
            labels: definition.docker_labels.clone().unwrap_or_default(),
            health_check: definition.health_check.as_ref().and_then(health_check),
            mounts: mounts.collect(),
            volumes_from: volumes_from
                .map(|from| (text(&from.source_container), from.read_only == Some(true)))
                .collect(),
            cpu: positive(definition.cpu).unwrap_or_default(),
            memory: positive(definition.memory),
            memory_reservation: positive(definition.memory_reservation),
        },
        essential: definition.essential != Some(false),
        depends_on: definition.depends_on.iter().flatten().map(dependency).collect(),
        start_timeout: positive(definition.start_timeout),
        stop_timeout: positive(definition.stop_timeout).unwrap_or(timeout::STOP),
        restart_policy: definition.restart_policy.as_ref().filter(|policy| policy.enabled == Some(true)).map(
            |policy| RestartPolicy {
                ignored_exit_codes: policy
                    .ignored_exit_codes
                    .iter()
                    .flatten()
                    .copied()
                    .map(i64::from)
                    .collect(),
                restart_attempt_period: positive(policy.restart_attempt_period)
                    .unwrap_or(timeout::RESTART_ATTEMPT),
            },
        ),
        log: definition.log_configuration.as_ref().and_then(|log| awslogs(log, region)),
        port_mappings: definition.port_mappings.iter().flatten().filter_map(port_mapping).collect(),
    }
}

/// `None` for a range of ports, and for an invalid port.
fn port_mapping(mapping: &model::PortMapping) -> Option<PortMapping> {
    let container_port = u16::try_from(mapping.container_port?).ok().filter(|port| *port > 0)?;
    let protocol = match mapping.protocol {
        Some(TransportProtocol::Udp) => Transport::Udp,
        _ => Transport::Tcp,
    };
    Some(PortMapping { container_port, protocol })
}

fn ulimit(ulimit: &Ulimit) -> runtime::Ulimit {
    runtime::Ulimit {
        name: ulimit.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        soft: ulimit.soft_limit.map(i64::from).unwrap_or_default(),
        hard: ulimit.hard_limit.map(i64::from).unwrap_or_default(),
    }
}

/// `NONE` is no check; an image's own is not used either (API reference, HealthCheck).
fn health_check(check: &HealthCheck) -> Option<runtime::HealthCheck> {
    let mut command =
        check.command.clone().filter(|command| command.first().is_some_and(|kind| kind != "NONE"))?;
    // Without a kind it is run in exec form.
    if !["CMD", "CMD-SHELL"].contains(&command[0].as_str()) {
        command.insert(0, "CMD".to_owned());
    }
    let seconds =
        |number: Option<i32>, default| number.and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    Some(runtime::HealthCheck {
        command,
        interval: seconds(check.interval, 30),
        timeout: seconds(check.timeout, 5),
        retries: seconds(check.retries, 3),
        start_period: seconds(check.start_period, 0),
    })
}

fn dependency(dependency: &ContainerDependency) -> Dependency {
    Dependency {
        container: dependency.container_name.clone().unwrap_or_default(),
        condition: match dependency.condition {
            Some(ContainerCondition::Complete) => Condition::Complete,
            Some(ContainerCondition::Success) => Condition::Success,
            Some(ContainerCondition::Healthy) => Condition::Healthy,
            _ => Condition::Start,
        },
    }
}

/// Source: developer guide, "Send Amazon ECS logs to CloudWatch", the options of the awslogs log driver.
fn awslogs(log: &LogConfiguration, region: &str) -> Option<AwsLogs> {
    if log.log_driver != Some(LogDriver::Awslogs) {
        return None;
    }
    let none = BTreeMap::new();
    let options = log.options.as_ref().unwrap_or(&none);
    let option = |name: &str| options.get(name).cloned();
    let datetime = option("awslogs-datetime-format").map(|format| datetime::pattern(&format));
    Some(AwsLogs {
        group: option("awslogs-group").unwrap_or_default(),
        region: option("awslogs-region").unwrap_or_else(|| region.to_owned()),
        stream_prefix: option("awslogs-stream-prefix").unwrap_or_default(),
        create_group: option("awslogs-create-group")
            .is_some_and(|create| create.eq_ignore_ascii_case("true")),
        multiline_pattern: option("awslogs-multiline-pattern").or(datetime),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(definition: serde_json::Value) -> Spec {
        of(&serde_json::from_value(definition).unwrap(), "eu-west-1")
    }

    #[test]
    fn what_the_definition_leaves_out_has_fargates_defaults() {
        let spec = spec(serde_json::json!({"containerDefinitions": [{"name": "app", "image": "nginx"}]}));
        let expected = ContainerSpec {
            name: "app".to_owned(),
            process: runtime::Process { image: "nginx".to_owned(), ..runtime::Process::default() },
            essential: true,
            stop_timeout: 30,
            ..ContainerSpec::default()
        };
        assert_eq!(spec, Spec { containers: vec![expected], volumes: Vec::new(), shared_pid: false });
    }

    #[test]
    fn everything_that_the_definition_contains_reaches_the_engine() {
        let spec = spec(serde_json::json!({
            "pidMode": "task",
            "volumes": [{"name": "scratch", "host": {}}],
            "containerDefinitions": [{
                "name": "app", "image": "app:1", "essential": false,
                "entryPoint": ["/app"], "command": ["serve", "now"],
                "environment": [{"name": "A", "value": "1"}, {"name": "EMPTY"}],
                "user": "1000:1000", "workingDirectory": "/srv", "readonlyRootFilesystem": true,
                "interactive": true, "pseudoTerminal": true,
                "linuxParameters": {"initProcessEnabled": true, "capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}},
                "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}],
                "systemControls": [{"namespace": "net.core.somaxconn", "value": "1024"}],
                "dockerLabels": {"team": "a"},
                "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 1, "startPeriod": 9},
                "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/scratch", "readOnly": true}],
                "volumesFrom": [{"sourceContainer": "side"}],
                "dependsOn": [{"containerName": "side", "condition": "HEALTHY"}],
                "startTimeout": 20, "stopTimeout": 2,
                "restartPolicy": {"enabled": true, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
                "cpu": 64, "memory": 128, "memoryReservation": 64,
                "portMappings": [
                    {"containerPort": 80}, {"containerPort": 53, "protocol": "udp"}, {"containerPortRange": "90-99"},
                ],
                "logConfiguration": {"logDriver": "awslogs", "options": {
                    "awslogs-group": "/app", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p",
                    "awslogs-create-group": "true", "awslogs-datetime-format": "%Y",
                }},
            }],
        }));
        let text = |text: &[&str]| text.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let expected = ContainerSpec {
            name: "app".to_owned(),
            process: runtime::Process {
                image: "app:1".to_owned(),
                entry_point: Some(text(&["/app"])),
                command: Some(text(&["serve", "now"])),
                environment: vec![("A".to_owned(), "1".to_owned()), ("EMPTY".to_owned(), String::new())],
                user: Some("1000:1000".to_owned()),
                working_directory: Some("/srv".to_owned()),
                readonly_root_filesystem: true,
                interactive: true,
                pseudo_terminal: true,
                init_process: true,
                add_capabilities: text(&["SYS_PTRACE"]),
                drop_capabilities: text(&["ALL"]),
                ulimits: vec![runtime::Ulimit { name: "nofile".to_owned(), soft: 1024, hard: 4096 }],
                sysctls: BTreeMap::from([("net.core.somaxconn".to_owned(), "1024".to_owned())]),
                labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
                health_check: Some(runtime::HealthCheck {
                    command: text(&["CMD-SHELL", "true"]),
                    interval: 5,
                    timeout: 2,
                    retries: 1,
                    start_period: 9,
                }),
                mounts: vec![runtime::Mount {
                    volume: "scratch".to_owned(),
                    path: "/scratch".to_owned(),
                    read_only: true,
                }],
                volumes_from: vec![("side".to_owned(), false)],
                cpu: 64,
                memory: Some(128),
                memory_reservation: Some(64),
            },
            essential: false,
            depends_on: vec![Dependency { container: "side".to_owned(), condition: Condition::Healthy }],
            start_timeout: Some(20),
            stop_timeout: 2,
            restart_policy: Some(RestartPolicy { ignored_exit_codes: vec![0], restart_attempt_period: 60 }),
            log: Some(AwsLogs {
                group: "/app".to_owned(),
                region: "us-east-1".to_owned(),
                stream_prefix: "p".to_owned(),
                create_group: true,
                multiline_pattern: Some(r"\d{4}".to_owned()),
            }),
            port_mappings: vec![
                PortMapping { container_port: 80, protocol: Transport::Tcp },
                PortMapping { container_port: 53, protocol: Transport::Udp },
            ],
        };
        assert_eq!(
            spec,
            Spec { containers: vec![expected], volumes: vec!["scratch".to_owned()], shared_pid: true }
        );
    }

    #[test]
    fn a_health_check_of_none_is_no_check() {
        let spec = spec(serde_json::json!({"containerDefinitions": [
            {"name": "app", "image": "nginx", "healthCheck": {"command": ["NONE"]}},
        ]}));
        assert_eq!(spec.containers[0].process.health_check, None);
    }

    #[test]
    fn a_health_check_without_a_kind_is_run_in_exec_form() {
        let spec = spec(serde_json::json!({"containerDefinitions": [
            {"name": "app", "image": "nginx", "healthCheck": {"command": ["/healthcheck", "-v"]}},
        ]}));
        let check = spec.containers[0].process.health_check.as_ref().map(|check| check.command.join(" "));
        assert_eq!(check.as_deref(), Some("CMD /healthcheck -v"));
    }
}
