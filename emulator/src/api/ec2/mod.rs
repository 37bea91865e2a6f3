//! Amazon EC2, as much of it as describes the VPC: one file per operation. What they have in common is in [`describe`].

mod availability_zone;
mod describe;
mod dhcp_options;
mod error;
mod filter;
mod network_interface;
mod route_table;
mod security_group;
mod subnet;
mod vpc;

use super::model::ec2::{API_VERSION, OPERATIONS, XML_NAMESPACE};
use super::protocol::query::{Flavor, Query};
use super::service::Service;

pub(super) fn service() -> Service<Query> {
    let protocol = Query { flavor: Flavor::Ec2, version: API_VERSION, namespace: XML_NAMESPACE };
    Service::new("ec2", protocol, OPERATIONS, [error::INVALID_PARAMETER_VALUE, error::INTERNAL_ERROR])
        .with::<availability_zone::Describe>()
        .with::<dhcp_options::Describe>()
        .with::<network_interface::Describe>()
        .with::<route_table::Describe>()
        .with::<security_group::Describe>()
        .with::<subnet::Describe>()
        .with::<vpc::Describe>()
}

/// The digits of an id, for what belongs to the resource and has no id of its own: `rtbassoc-<digits of the subnet>`.
fn digits(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

/// Whether this is the VPC that AWS would call the account's default one.
fn is_default(vpc: &crate::engine::vpc::Vpc) -> bool {
    vpc.vpc_id == crate::engine::vpc::VPC_ID
}
