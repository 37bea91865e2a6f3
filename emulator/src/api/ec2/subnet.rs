//! DescribeSubnets.

use super::describe::{self, Kind, Question};
use super::filter::one;
use super::{availability_zone, error, is_default};
use crate::api::model::ec2::{DescribeSubnetsRequest, DescribeSubnetsResult, Subnet, SubnetState};
use crate::api::{Context, Error, Operation};

/// Shows the subnets, with their number of free addresses.
#[derive(Debug)]
pub(super) struct Describe;

const KIND: Kind<Subnet> = Kind {
    operation: Describe::NAME,
    id: |subnet| subnet.subnet_id.as_deref(),
    not_found: (error::SUBNET_NOT_FOUND, "subnet ID"),
    fields: &[
        (&["subnet-id"], |subnet| one(subnet.subnet_id.as_ref())),
        (&["vpc-id"], |subnet| one(subnet.vpc_id.as_ref())),
        (&["cidr-block", "cidr", "cidrBlock"], |subnet| one(subnet.cidr_block.as_ref())),
        (&["availability-zone", "availabilityZone"], |subnet| one(subnet.availability_zone.as_ref())),
        (&["availability-zone-id", "availabilityZoneId"], |subnet| one(subnet.availability_zone_id.as_ref())),
        (&["available-ip-address-count"], |subnet| one(subnet.available_ip_address_count.as_ref())),
        (&["default-for-az", "defaultForAz"], |subnet| one(subnet.default_for_az.as_ref())),
        (&["map-public-ip-on-launch"], |subnet| one(subnet.map_public_ip_on_launch.as_ref())),
        (&["owner-id"], |subnet| one(subnet.owner_id.as_ref())),
        (&["state"], |subnet| one(subnet.state.as_ref())),
        (&["subnet-arn"], |subnet| one(subnet.subnet_arn.as_ref())),
    ],
    most: 1000,
};

impl Operation for Describe {
    const NAME: &'static str = "DescribeSubnets";

    type Input = DescribeSubnetsRequest;
    type Output = DescribeSubnetsResult;

    async fn handle(
        context: &Context,
        input: DescribeSubnetsRequest,
    ) -> Result<DescribeSubnetsResult, Error> {
        let DescribeSubnetsRequest { dry_run, filters, max_results, next_token, subnet_ids } = input;
        let (vpc, free) = describe::vpc(context).await?;
        let shown = vpc.subnets.iter().zip(free).map(|(subnet, free)| Subnet {
            subnet_id: Some(subnet.subnet_id.clone()),
            subnet_arn: Some(context.arn("ec2", format_args!("subnet/{}", subnet.subnet_id))),
            vpc_id: Some(vpc.vpc_id.clone()),
            cidr_block: Some(subnet.cidr.to_string()),
            availability_zone: Some(format!("{}{}", context.region, subnet.zone)),
            availability_zone_id: Some(availability_zone::id(&context.region, &subnet.zone)),
            available_ip_address_count: i32::try_from(free).ok(),
            assign_ipv6_address_on_creation: Some(false),
            default_for_az: Some(is_default(&vpc)),
            ipv6_cidr_block_association_set: Some(Vec::new()),
            ipv6_native: Some(false),
            map_public_ip_on_launch: Some(false),
            owner_id: Some(context.account().to_owned()),
            state: Some(SubnetState::Available),
            tags: Some(Vec::new()),
            ..Subnet::default()
        });
        let question = Question { dry_run, ids: subnet_ids, filters, max_results, next_token };
        let (subnets, next_token) = describe::answer(question, &KIND, shown.collect())?;
        Ok(DescribeSubnetsResult { subnets: Some(subnets), next_token })
    }
}
