//! The lifecycle by table and by property: a driver carries the plan out with outcomes of its choice.

mod lifecycle;
mod properties;
mod sandbox;

use std::net::Ipv4Addr;

use super::*;
use crate::clock::Timestamp;
use crate::runtime::{Exit, Process};

/// A container that only has a name.
fn container(name: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.into(),
        process: Process { image: "app".into(), ..Process::default() },
        essential: true,
        stop_timeout: 30,
        ..ContainerSpec::default()
    }
}

fn depends_on(name: &str, on: &[(&str, Condition)]) -> ContainerSpec {
    let depends_on = on
        .iter()
        .map(|(container, condition)| Dependency { container: (*container).into(), condition: *condition })
        .collect();
    ContainerSpec { depends_on, ..container(name) }
}

fn helper(name: &str) -> ContainerSpec {
    ContainerSpec { essential: false, ..container(name) }
}

/// A task as RunTask creates it.
fn task(specs: Vec<ContainerSpec>) -> Task {
    Task {
        arn: "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef".into(),
        id: "0123456789abcdef0123456789abcdef".into(),
        region: "us-east-1".into(),
        cluster_arn: "arn:aws:ecs:us-east-1:000000000000:cluster/default".into(),
        task_definition_arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/app:1".into(),
        family: "app".into(),
        group: "family:app".into(),
        started_by: None,
        launch_type: Some("FARGATE".into()),
        capacity_provider_name: None,
        platform_version: "1.4.0".into(),
        platform_family: "Linux".into(),
        cpu_architecture: "X86_64".into(),
        cpu: 256,
        memory: 512,
        ephemeral_storage: 20,
        ephemeral_storage_requested: false,
        enable_execute_command: false,
        overrides: serde_json::Value::Null,
        tags: Vec::new(),
        availability_zone: "us-east-1a".into(),
        last_status: Status::Provisioning,
        desired_status: Desired::Running,
        version: 1,
        health: Health::Unknown,
        connectivity: None,
        stop_code: None,
        stopped_reason: None,
        created_at: Timestamp(0),
        connectivity_at: None,
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        stopped_at: None,
        initialized: false,
        shows_activating: false,
        attachment: Attachment {
            assign_public_ip: false,
            id: "a".into(),
            status: AttachmentStatus::Precreated,
            subnet_id: "subnet-0000000000000000a".into(),
            security_groups: Vec::new(),
            sandbox_id: None,
            network_interface_id: None,
            mac_address: None,
            private_dns_name: None,
            private_ipv4_address: None,
            replaced: 0,
        },
        containers: specs
            .iter()
            .map(|spec| Container {
                name: spec.name.clone(),
                arn: String::new(),
                runtime_id: None,
                container_id: None,
                image_digest: None,
                last_status: ContainerStatus::Pending,
                started_at: None,
                stopped_at: None,
                exit_code: None,
                reason: None,
                health: Health::Unknown,
                restart_count: 0,
            })
            .collect(),
        spec: Spec { containers: specs, volumes: Vec::new(), shared_pid: false },
        json: KeptJson::default(),
    }
}

/// Drives a task and remembers each published change.
#[derive(Debug)]
struct Drive {
    task: Task,
    now: i64,
    /// `(version, lastStatus, desiredStatus)` of each published change, the first being RunTask's reply.
    published: Vec<(i64, Status, Desired)>,
    /// Every start and every exit that was reported.
    reported: Vec<Event>,
}

impl Drive {
    fn new(specs: Vec<ContainerSpec>) -> Self {
        let task = task(specs);
        let published = vec![(1, task.last_status, task.desired_status)];
        Self { task, now: 1000, published, reported: Vec::new() }
    }

    #[track_caller]
    fn event(&mut self, event: Event) -> &mut Self {
        self.now += 1000;
        let after = next(&self.task, &event, Timestamp(self.now)).expect("the event is legal");
        if matches!(event, Event::Started { .. } | Event::Exited { .. }) {
            self.reported.push(event);
        }
        if after.version != self.task.version {
            self.published.push((after.version, after.last_status, after.desired_status));
        }
        self.task = after;
        self
    }

    fn index(&self, name: &str) -> usize {
        self.task.container(name).expect("a container of the task")
    }

    /// Carries an action out as a healthy runtime would.
    fn succeed(&mut self, action: Action) -> &mut Self {
        let at = Timestamp(self.now);
        match action {
            Action::Claim => self.event(Event::Connected(claim())),
            Action::Initialize => self.event(Event::Initialized),
            Action::Pull(container) => self
                .event(Event::PullStarted { at })
                .event(Event::Pulled { container, digest: "sha256:1".into() }),
            Action::Start(container) => {
                let container_id = format!("c{container}");
                self.event(Event::Created { container, container_id, runtime_id: "r".into() })
                    .event(Event::Started { container, at })
            }
            Action::AnnounceStop => self.event(Event::Stopping),
            Action::Stop(container) if self.task.containers[container].container_id.is_none() => {
                self.event(Event::Gone { container })
            }
            Action::Stop(container) => {
                self.event(Event::Exited { container, exit: Exit { code: 143, oom_killed: false, at } })
            }
            Action::Look(_) => self,
            Action::Release => self.event(Event::Released { left: None }),
        }
    }

    /// Carries plans out until nothing is left to do but wait.
    fn settle(&mut self) -> &mut Self {
        while let Some(action) = plan(&self.task).first().copied() {
            self.succeed(action);
        }
        self
    }

    fn exit(&mut self, name: &str, code: i64) -> &mut Self {
        let (container, at) = (self.index(name), Timestamp(self.now));
        self.event(Event::Exited { container, exit: Exit { code, oom_killed: false, at } })
    }

    fn statuses(&self) -> Vec<(i64, Status)> {
        self.published.iter().map(|(version, status, _)| (*version, *status)).collect()
    }

    fn exit_codes(&self) -> Vec<Option<i64>> {
        self.task.containers.iter().map(|container| container.exit_code).collect()
    }
}

fn claim() -> Claim {
    Claim {
        sandbox_id: "s".into(),
        network_interface_id: "eni-1".into(),
        mac_address: "02:42:ac:1f:00:04".into(),
        private_dns_name: "ip-172-31-0-4.ec2.internal".into(),
        address: Ipv4Addr::new(172, 31, 0, 4),
    }
}
