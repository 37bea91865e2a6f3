//! Placing: an order becomes tasks, each in one of its subnets with an address promised.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::network::pool::Pool;
use super::run::{self, Order, Ran};
use super::task::{
    Attachment, AttachmentStatus, Container, ContainerSpec, ContainerStatus, Desired, Health, KeptJson,
    Status, Task,
};
use crate::clock::Timestamp;

/// ECS's reason for a task for which its subnets have no address.
const NO_ADDRESS: &str = "RESOURCE:ENI";

/// The tasks of an order. A task for which no subnet has an address is a failure; an unknown id refuses the whole order.
pub(super) fn place(order: &Order, pool: &Pool, activating: bool, now: Timestamp) -> Result<Ran, run::Error> {
    let (vpc, template) = (pool.vpc(), &order.template);
    if let Some(unknown) = template.security_groups.iter().find(|group| !vpc.knows_security_group(group)) {
        return Err(run::Error::UnknownSecurityGroup(unknown.clone()));
    }
    if let Some(unknown) = template.subnets.iter().find(|subnet| vpc.subnet(subnet).is_none()) {
        return Err(run::Error::UnknownSubnet(unknown.clone()));
    }
    let mut ran = Ran::default();
    for nth in 0..usize::try_from(order.count).unwrap_or(0) {
        let chosen = (0..template.subnets.len()).find_map(|step| {
            let requested = &template.subnets[(nth + step) % template.subnets.len()];
            let subnet = vpc.subnet(requested)?;
            pool.promise(&subnet.subnet_id).then_some((requested, subnet))
        });
        match chosen {
            Some((requested, subnet)) => {
                let zone = format!("{}{}", order.region, subnet.zone);
                ran.tasks.push(Arc::new(task(order, nth, requested, zone, activating, now)));
            }
            None => ran.failures.push(NO_ADDRESS.to_owned()),
        }
    }
    Ok(ran)
}

/// The `nth` task of an order as RunTask returns it: PROVISIONING, version 1, its attachment PRECREATED with only the subnet.
fn task(
    order: &Order,
    nth: usize,
    subnet_id: &str,
    availability_zone: String,
    shows_activating: bool,
    now: Timestamp,
) -> Task {
    let template = &order.template;
    let id = Uuid::new_v4().simple().to_string();
    let arn =
        |kind: &str, rest: &str| format!("arn:aws:ecs:{}:{}:{kind}/{rest}", order.region, order.account);
    let container = |spec: &ContainerSpec| Container {
        name: spec.name.clone(),
        arn: arn("container", &format!("{}/{id}/{}", order.cluster, Uuid::new_v4())),
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
    };
    Task {
        arn: arn("task", &format!("{}/{id}", order.cluster)),
        region: order.region.clone(),
        cluster_arn: order.cluster_arn.clone(),
        task_definition_arn: template.task_definition_arn.clone(),
        family: template.family.clone(),
        group: order.group.clone(),
        started_by: order.started_by.clone(),
        launch_type: order.launch_type.clone(),
        capacity_provider_name: order.capacity_providers.get(nth).cloned(),
        platform_version: template.platform_version.clone(),
        platform_family: "Linux".to_owned(),
        cpu_architecture: template.cpu_architecture.clone(),
        cpu: template.cpu,
        memory: template.memory,
        ephemeral_storage: template.ephemeral_storage.unwrap_or(fargate_facts::storage::INCLUDED),
        ephemeral_storage_requested: template.ephemeral_storage.is_some(),
        enable_execute_command: template.enable_execute_command,
        overrides: if template.overrides.is_null() {
            Value::Object(serde_json::Map::new())
        } else {
            template.overrides.clone()
        },
        tags: order.tags.clone(),
        availability_zone,
        last_status: Status::Provisioning,
        desired_status: Desired::Running,
        version: 1,
        health: Health::Unknown,
        connectivity: None,
        stop_code: None,
        stopped_reason: None,
        created_at: now,
        connectivity_at: None,
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        stopped_at: None,
        initialized: false,
        shows_activating,
        attachment: Attachment {
            id: Uuid::new_v4().to_string(),
            status: AttachmentStatus::Precreated,
            subnet_id: subnet_id.to_owned(),
            security_groups: template.security_groups.clone(),
            assign_public_ip: template.assign_public_ip,
            sandbox_id: None,
            network_interface_id: None,
            mac_address: None,
            private_dns_name: None,
            private_ipv4_address: None,
            replaced: 0,
        },
        containers: template.spec.containers.iter().map(container).collect(),
        spec: template.spec.clone(),
        id,
        json: KeptJson::default(),
    }
}
