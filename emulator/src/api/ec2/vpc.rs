//! DescribeVpcs.

use super::describe::{self, Kind, Question};
use super::filter::one;
use super::{digits, error, is_default};
use crate::api::model::ec2::{
    DescribeVpcsRequest, DescribeVpcsResult, Tenancy, Vpc, VpcCidrBlockAssociation, VpcCidrBlockState,
    VpcCidrBlockStateCode, VpcState,
};
use crate::api::{Context, Error, Operation};

/// Shows the one VPC.
#[derive(Debug)]
pub(super) struct Describe;

const KIND: Kind<Vpc> = Kind {
    operation: Describe::NAME,
    id: |vpc| vpc.vpc_id.as_deref(),
    not_found: (error::VPC_NOT_FOUND, "vpc ID"),
    fields: &[
        (&["vpc-id"], |vpc| one(vpc.vpc_id.as_ref())),
        (&["cidr", "cidr-block", "cidrBlock"], |vpc| one(vpc.cidr_block.as_ref())),
        (&["cidr-block-association.cidr-block"], |vpc| one(vpc.cidr_block.as_ref())),
        (&["cidr-block-association.association-id"], |vpc| {
            associations(vpc).flat_map(|of| one(of.association_id.as_ref())).collect()
        }),
        (&["cidr-block-association.state"], |vpc| {
            let states = associations(vpc).filter_map(|of| of.cidr_block_state.as_ref());
            states.flat_map(|state| one(state.state.as_ref())).collect()
        }),
        (&["dhcp-options-id", "dhcpOptionsId"], |vpc| one(vpc.dhcp_options_id.as_ref())),
        (&["is-default", "isDefault"], |vpc| one(vpc.is_default.as_ref())),
        (&["owner-id"], |vpc| one(vpc.owner_id.as_ref())),
        (&["state"], |vpc| one(vpc.state.as_ref())),
    ],
    most: 1000,
};

fn associations(vpc: &Vpc) -> impl Iterator<Item = &VpcCidrBlockAssociation> {
    vpc.cidr_block_association_set.iter().flatten()
}

impl Operation for Describe {
    const NAME: &'static str = "DescribeVpcs";

    type Input = DescribeVpcsRequest;
    type Output = DescribeVpcsResult;

    async fn handle(context: &Context, input: DescribeVpcsRequest) -> Result<DescribeVpcsResult, Error> {
        let DescribeVpcsRequest { dry_run, filters, max_results, next_token, vpc_ids } = input;
        let (vpc, _) = describe::vpc(context).await?;
        let cidr = vpc.cidr.to_string();
        let association = VpcCidrBlockAssociation {
            association_id: Some(format!("vpc-cidr-assoc-{}", digits(&vpc.vpc_id))),
            cidr_block: Some(cidr.clone()),
            cidr_block_state: Some(VpcCidrBlockState {
                state: Some(VpcCidrBlockStateCode::Associated),
                status_message: None,
            }),
        };
        let shown = Vpc {
            vpc_id: Some(vpc.vpc_id.clone()),
            cidr_block: Some(cidr),
            cidr_block_association_set: Some(vec![association]),
            dhcp_options_id: Some(vpc.dhcp_options.dhcp_options_id.clone()),
            instance_tenancy: Some(Tenancy::Default),
            is_default: Some(is_default(&vpc)),
            owner_id: Some(context.account().to_owned()),
            state: Some(VpcState::Available),
            tags: Some(Vec::new()),
            ..Vpc::default()
        };
        let question = Question { dry_run, ids: vpc_ids, filters, max_results, next_token };
        let (vpcs, next_token) = describe::answer(question, &KIND, vec![shown])?;
        Ok(DescribeVpcsResult { vpcs: Some(vpcs), next_token })
    }
}
