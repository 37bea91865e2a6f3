//! DescribeNetworkInterfaces.

use super::describe::{self, Kind, Question};
use super::filter::one;
use super::{availability_zone, digits, error};
use crate::api::model::ec2::{
    AttachmentStatus, DescribeNetworkInterfacesRequest, DescribeNetworkInterfacesResult, GroupIdentifier,
    NetworkInterface, NetworkInterfaceAssociation, NetworkInterfaceAttachment,
    NetworkInterfacePrivateIpAddress, NetworkInterfaceStatus, NetworkInterfaceType,
};
use crate::api::shape::Iso8601;
use crate::api::{Context, Error, Operation};
use crate::engine::task::{self, Task};
use crate::engine::vpc::{SecurityGroup, Vpc};

/// Shows the elastic network interfaces of the region's tasks, from when each has one until it has stopped.
#[derive(Debug)]
pub(super) struct Describe;

const KIND: Kind<NetworkInterface> = Kind {
    operation: Describe::NAME,
    id: |interface| interface.network_interface_id.as_deref(),
    not_found: (error::NETWORK_INTERFACE_NOT_FOUND, "networkInterface ID"),
    fields: &[
        (&["network-interface-id"], |interface| one(interface.network_interface_id.as_ref())),
        (&["subnet-id"], |interface| one(interface.subnet_id.as_ref())),
        (&["vpc-id"], |interface| one(interface.vpc_id.as_ref())),
        (&["availability-zone"], |interface| one(interface.availability_zone.as_ref())),
        (&["availability-zone-id"], |interface| one(interface.availability_zone_id.as_ref())),
        (&["description"], |interface| one(interface.description.as_ref())),
        (&["group-id"], |interface| {
            groups(interface).flat_map(|group| one(group.group_id.as_ref())).collect()
        }),
        (&["group-name"], |interface| {
            groups(interface).flat_map(|group| one(group.group_name.as_ref())).collect()
        }),
        (&["interface-type"], |interface| one(interface.interface_type.as_ref())),
        (&["mac-address"], |interface| one(interface.mac_address.as_ref())),
        (&["owner-id"], |interface| one(interface.owner_id.as_ref())),
        (&["private-ip-address", "addresses.private-ip-address"], |interface| {
            one(interface.private_ip_address.as_ref())
        }),
        (&["private-dns-name"], |interface| one(interface.private_dns_name.as_ref())),
        (&["requester-managed"], |interface| one(interface.requester_managed.as_ref())),
        (&["source-dest-check"], |interface| one(interface.source_dest_check.as_ref())),
        (&["status"], |interface| one(interface.status.as_ref())),
        (&["association.public-ip", "addresses.association.public-ip"], |interface| {
            interface.association.iter().flat_map(|of| one(of.public_ip.as_ref())).collect()
        }),
        (&["association.ip-owner-id"], |interface| {
            interface.association.iter().flat_map(|of| one(of.ip_owner_id.as_ref())).collect()
        }),
        (&["attachment.attachment-id"], |interface| {
            attachment(interface).flat_map(|of| one(of.attachment_id.as_ref())).collect()
        }),
        (&["attachment.status"], |interface| {
            attachment(interface).flat_map(|of| one(of.status.as_ref())).collect()
        }),
    ],
    most: 1000,
};

fn groups(interface: &NetworkInterface) -> impl Iterator<Item = &GroupIdentifier> {
    interface.groups.iter().flatten()
}

fn attachment(interface: &NetworkInterface) -> impl Iterator<Item = &NetworkInterfaceAttachment> {
    interface.attachment.iter()
}

impl Operation for Describe {
    const NAME: &'static str = "DescribeNetworkInterfaces";

    type Input = DescribeNetworkInterfacesRequest;
    type Output = DescribeNetworkInterfacesResult;

    async fn handle(
        context: &Context,
        input: DescribeNetworkInterfacesRequest,
    ) -> Result<DescribeNetworkInterfacesResult, Error> {
        let DescribeNetworkInterfacesRequest {
            dry_run,
            filters,
            // Those of tasks are managed by ECS and always shown, as AWS shows Fargate's.
            include_managed_resources: _,
            max_results,
            network_interface_ids,
            next_token,
        } = input;
        let (vpc, _) = describe::vpc(context).await?;
        let tasks = context.engine().all_tasks();
        let of_region = tasks.iter().filter(|task| task.region == context.region);
        let shown = of_region.filter_map(|task| interface(task, &vpc, context)).collect();
        let question = Question { dry_run, ids: network_interface_ids, filters, max_results, next_token };
        let (interfaces, next_token) = describe::answer(question, &KIND, shown)?;
        Ok(DescribeNetworkInterfacesResult { network_interfaces: Some(interfaces), next_token })
    }
}

/// A task's interface, as Fargate makes one; `None` if it does not have one yet or no longer has one.
fn interface(task: &Task, vpc: &Vpc, context: &Context) -> Option<NetworkInterface> {
    let of = &task.attachment;
    let id = of.network_interface_id.clone()?;
    let (status, attached) = match of.status {
        task::AttachmentStatus::Precreated
        | task::AttachmentStatus::Created
        | task::AttachmentStatus::Attaching => {
            (NetworkInterfaceStatus::Attaching, AttachmentStatus::Attaching)
        }
        task::AttachmentStatus::Attached => (NetworkInterfaceStatus::InUse, AttachmentStatus::Attached),
        task::AttachmentStatus::Detaching => (NetworkInterfaceStatus::Detaching, AttachmentStatus::Detaching),
        task::AttachmentStatus::Detached
        | task::AttachmentStatus::Deleted
        | task::AttachmentStatus::Failed => return None,
    };
    let subnet = vpc.subnet(&of.subnet_id);
    let address = of.private_ipv4_address.map(|address| address.to_string());
    // On AWS the public address leads to the task from outside of its VPC, and from this machine its own address does.
    let association = of.assign_public_ip.then(|| NetworkInterfaceAssociation {
        ip_owner_id: Some("amazon".to_owned()),
        public_ip: address.clone(),
        ..NetworkInterfaceAssociation::default()
    });
    let described = context.arn("ecs", format_args!("attachment/{}", of.id));
    Some(NetworkInterface {
        association: association.clone(),
        attachment: Some(NetworkInterfaceAttachment {
            attachment_id: Some(format!("eni-attach-{}", digits(&id))),
            attach_time: Some(Iso8601(task.created_at)),
            delete_on_termination: Some(false),
            device_index: Some(1),
            status: Some(attached),
            ..NetworkInterfaceAttachment::default()
        }),
        availability_zone: Some(task.availability_zone.clone()),
        availability_zone_id: subnet.map(|subnet| availability_zone::id(&task.region, &subnet.zone)),
        description: Some(described),
        groups: Some(security_groups(&of.security_groups, vpc).map(identifier).collect()),
        interface_type: Some(NetworkInterfaceType::Interface),
        ipv6_addresses: Some(Vec::new()),
        mac_address: of.mac_address.clone(),
        network_interface_id: Some(id),
        owner_id: Some(context.account().to_owned()),
        private_dns_name: of.private_dns_name.clone(),
        private_ip_address: address.clone(),
        private_ip_addresses: Some(vec![NetworkInterfacePrivateIpAddress {
            association,
            primary: Some(true),
            private_dns_name: of.private_dns_name.clone(),
            private_ip_address: address,
        }]),
        requester_managed: Some(true),
        source_dest_check: Some(true),
        status: Some(status),
        subnet_id: subnet.map(|subnet| subnet.subnet_id.clone()),
        tag_set: Some(Vec::new()),
        vpc_id: Some(vpc.vpc_id.clone()),
        ..NetworkInterface::default()
    })
}

/// The groups that a task is in: the VPC's default one if it named none.
fn security_groups<'v>(named: &[String], vpc: &'v Vpc) -> impl Iterator<Item = &'v SecurityGroup> {
    let default = vpc.security_groups.first().filter(|_| named.is_empty());
    let mut groups: Vec<&SecurityGroup> = named.iter().filter_map(|id| vpc.security_group(id)).collect();
    // All unknown ids are replaced by the same group.
    groups.dedup();
    groups.into_iter().chain(default)
}

fn identifier(group: &SecurityGroup) -> GroupIdentifier {
    GroupIdentifier { group_id: Some(group.group_id.clone()), group_name: Some(group.group_name.clone()) }
}
