//! What a task is to run: the task definition with RunTask's overrides merged in, defaults filled.
//!
//! The API builds it from the wire types. After that the task definition is not read again, so a running task does not
//! depend on it, as on ECS.

use serde::{Deserialize, Serialize};

use crate::runtime::Process;

/// Everything that starts a task's containers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// In the order of the task definition.
    pub containers: Vec<ContainerSpec>,
    /// Names of the bind-mount volumes.
    pub volumes: Vec<String>,
    /// `pidMode: task`.
    pub shared_pid: bool,
}

/// One container to run: a process, and what ECS does with it. The JSON of it is part of every stored task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub name: String,
    /// Its secrets are names here. What they resolve to is only in the runtime's spec, which is never stored.
    #[serde(flatten)]
    pub process: Process,
    pub essential: bool,
    pub depends_on: Vec<Dependency>,
    /// Seconds that a dependency may take to reach its condition, counted from its start.
    pub start_timeout: Option<u32>,
    /// Seconds between SIGTERM and SIGKILL.
    pub stop_timeout: u32,
    pub restart_policy: Option<RestartPolicy>,
    /// Where the output goes; `None`: nowhere.
    pub log: Option<AwsLogs>,
    /// Those that name one port.
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
}

/// A port that a container listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    pub container_port: u16,
    pub protocol: Transport,
}

/// `protocol` of a port mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    Tcp,
    Udp,
}

/// `dependsOn` of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub container: String,
    pub condition: Condition,
}

/// When a dependency is satisfied (amazon-ecs-agent `agent/engine/dependencygraph`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Running, or stopped already.
    Start,
    /// Stopped, whatever its exit code.
    Complete,
    /// Stopped with exit code 0.
    Success,
    /// Its health check passed.
    Healthy,
}

/// A container's own restart policy, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    pub ignored_exit_codes: Vec<i64>,
    pub restart_attempt_period: u32,
}

/// The `awslogs` log driver's options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsLogs {
    pub group: String,
    pub region: String,
    pub stream_prefix: String,
    pub create_group: bool,
    /// Already translated from `awslogs-datetime-format`, or `awslogs-multiline-pattern` as given: a line that
    /// matches begins a new event.
    pub multiline_pattern: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_an_earlier_release_stored_is_read_and_written_as_it_was() {
        let golden = serde_json::json!({
            "name": "app", "image": "nginx", "entry_point": null, "command": ["a"],
            "environment": [["NAME", "value"]], "user": null, "working_directory": "/srv",
            "readonly_root_filesystem": true, "interactive": false, "pseudo_terminal": false, "init_process": true,
            "add_capabilities": ["SYS_PTRACE"], "drop_capabilities": [],
            "ulimits": [{"name": "nofile", "soft": 1, "hard": 2}], "sysctls": {"net.core.somaxconn": "5"},
            "docker_labels": {"team": "a"},
            "health_check": {"command": ["CMD", "true"], "interval": 30, "timeout": 5, "retries": 3, "start_period": 0},
            "mounts": [{"volume": "v", "path": "/v", "read_only": true}], "volumes_from": [["side", true]],
            "essential": true, "depends_on": [{"container": "side", "condition": "Start"}],
            "start_timeout": 60, "stop_timeout": 30,
            "restart_policy": {"ignored_exit_codes": [0], "restart_attempt_period": 60},
            "cpu": 64, "memory": 128, "memory_reservation": null,
            "log": {"group": "g", "region": "r", "stream_prefix": "p", "create_group": true, "multiline_pattern": null},
            "port_mappings": [{"container_port": 80, "protocol": "tcp"}],
        });
        let spec: ContainerSpec = serde_json::from_value(golden.clone()).expect("it parses");
        assert_eq!(spec.process.labels.get("team").map(String::as_str), Some("a"));
        assert_eq!(serde_json::to_value(&spec).expect("it serialises"), golden);
    }
}
