//! The engine's task as the wire shows it. Pure.
//!
//! Source: API reference, Task and Container; field by field as in real responses.

use serde::Deserialize as _;

use crate::api::model::ecs::{
    Attachment, Attribute, Connectivity, Container, EphemeralStorage, HealthStatus, KeyValuePair, LaunchType,
    NetworkBinding, NetworkInterface, Tag, Task, TaskEphemeralStorage, TaskOverride, TaskStopCode,
    TransportProtocol,
};
use crate::engine::Binding;
use crate::engine::task::{self as model, Health, Transport};

/// Whether a task's tags are shown: always by RunTask and StopTask, by DescribeTasks if `include` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    Shown,
    Hidden,
}

/// The wire's task.
pub(super) fn of(task: &model::Task, tags: Tags) -> Task {
    let gib = i32::try_from(task.ephemeral_storage).ok();
    Task {
        attachments: Some(vec![attachment(&task.attachment)]),
        attributes: Some(vec![Attribute {
            name: Some("ecs.cpu-architecture".to_owned()),
            value: Some(task.cpu_architecture.to_ascii_lowercase()),
            ..Attribute::default()
        }]),
        availability_zone: Some(task.availability_zone.clone()),
        capacity_provider_name: task.capacity_provider_name.clone(),
        cluster_arn: Some(task.cluster_arn.clone()),
        connectivity: task.connectivity.map(|connectivity| match connectivity {
            model::Connectivity::Connected => Connectivity::Connected,
            model::Connectivity::Disconnected => Connectivity::Disconnected,
        }),
        connectivity_at: task.connectivity_at.map(Into::into),
        container_instance_arn: None,
        containers: Some(containers(task)),
        cpu: Some(task.cpu.to_string()),
        created_at: Some(task.created_at.into()),
        desired_status: Some(word(task.desired_status)),
        enable_execute_command: Some(task.enable_execute_command),
        ephemeral_storage: Some(EphemeralStorage { size_in_gi_b: gib }),
        execution_stopped_at: task.execution_stopped_at.map(Into::into),
        fargate_ephemeral_storage: Some(TaskEphemeralStorage { size_in_gi_b: gib, kms_key_id: None }),
        group: Some(task.group.clone()),
        health_status: Some(health(task.health)),
        inference_accelerators: Some(Vec::new()),
        last_status: Some(word(task.last_status)),
        launch_type: task.launch_type.clone().map(LaunchType::from),
        memory: Some(task.memory.to_string()),
        overrides: TaskOverride::deserialize(&task.overrides).ok(),
        platform_family: Some(task.platform_family.clone()),
        platform_version: Some(task.platform_version.clone()),
        pull_started_at: task.pull_started_at.map(Into::into),
        pull_stopped_at: task.pull_stopped_at.map(Into::into),
        started_at: task.started_at.map(Into::into),
        started_by: task.started_by.clone(),
        stop_code: task.stop_code.map(|code| TaskStopCode::from(word(code))),
        stopped_at: task.stopped_at.map(Into::into),
        stopped_reason: task.stopped_reason.clone(),
        stopping_at: task.stopping_at.map(Into::into),
        tags: Some(match tags {
            Tags::Shown => task.tags.iter().cloned().map(Tag::from).collect(),
            Tags::Hidden => Vec::new(),
        }),
        task_arn: Some(task.arn.clone()),
        task_definition_arn: Some(task.task_definition_arn.clone()),
        version: Some(task.version),
    }
}

/// The task with its published ports, which ECS shows as network bindings. Without any, as on Fargate.
pub(super) fn bound(mut task: Task, bindings: &[(usize, Binding)]) -> Task {
    let containers = task.containers.as_deref_mut().unwrap_or_default();
    for (container, binding) in bindings {
        let Some(container) = containers.get_mut(*container) else { continue };
        container.network_bindings.get_or_insert_default().push(NetworkBinding {
            bind_ip: Some(binding.host.ip().to_string()),
            container_port: Some(i32::from(binding.container_port)),
            host_port: Some(i32::from(binding.host.port())),
            protocol: Some(match binding.protocol {
                Transport::Tcp => TransportProtocol::Tcp,
                Transport::Udp => TransportProtocol::Udp,
            }),
            ..NetworkBinding::default()
        });
    }
    task
}

fn attachment(attachment: &model::Attachment) -> Attachment {
    let details = [
        ("subnetId", Some(attachment.subnet_id.clone())),
        ("networkInterfaceId", attachment.network_interface_id.clone()),
        ("macAddress", attachment.mac_address.clone()),
        ("privateDnsName", attachment.private_dns_name.clone()),
        // With a capital IP, unlike a container's network interface.
        ("privateIPv4Address", attachment.private_ipv4_address.map(|address| address.to_string())),
    ];
    let details = details.into_iter().filter(|(_, value)| value.is_some());
    Attachment {
        details: Some(
            details.map(|(name, value)| KeyValuePair { name: Some(name.to_owned()), value }).collect(),
        ),
        id: Some(attachment.id.clone()),
        status: Some(word(attachment.status)),
        r#type: Some("ElasticNetworkInterface".to_owned()),
    }
}

fn containers(task: &model::Task) -> Vec<Container> {
    let address = task.attachment.private_ipv4_address.map(|address| address.to_string());
    let interfaces: Vec<NetworkInterface> = address
        .into_iter()
        .map(|address| NetworkInterface {
            attachment_id: Some(task.attachment.id.clone()),
            private_ipv4_address: Some(address),
            ipv6_address: None,
        })
        .collect();
    let pairs = task.containers.iter().zip(&task.spec.containers);
    pairs
        .map(|(container, spec)| Container {
            container_arn: Some(container.arn.clone()),
            cpu: Some(spec.process.cpu.to_string()),
            exit_code: container.exit_code.and_then(|code| i32::try_from(code).ok()),
            gpu_ids: None,
            health_status: Some(health(container.health)),
            image: Some(spec.process.image.clone()),
            image_digest: container.image_digest.clone(),
            last_status: Some(word(container.last_status)),
            managed_agents: None,
            memory: spec.process.memory.map(|memory| memory.to_string()),
            memory_reservation: spec.process.memory_reservation.map(|memory| memory.to_string()),
            name: Some(container.name.clone()),
            network_bindings: Some(Vec::new()),
            network_interfaces: Some(interfaces.clone()),
            reason: container.reason.clone(),
            runtime_id: container.runtime_id.clone(),
            task_arn: Some(task.arn.clone()),
        })
        .collect()
}

fn health(health: Health) -> HealthStatus {
    match health {
        Health::Healthy => HealthStatus::Healthy,
        Health::Unhealthy => HealthStatus::Unhealthy,
        Health::Unknown => HealthStatus::Unknown,
    }
}

/// A state in ECS's spelling, which is how the engine's states serialise.
fn word(state: impl serde::Serialize) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
