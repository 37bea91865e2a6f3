//! DescribeSecurityGroups.

use super::describe::{self, Kind, Question};
use super::error;
use super::filter::one;
use crate::api::model::ec2::{
    DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult, IpPermission, IpRange, SecurityGroup,
    UserIdGroupPair,
};
use crate::api::{Context, Error, Operation};
use crate::engine::vpc::{Peer, Permission, Protocol};

/// Shows the security groups with their rules.
#[derive(Debug)]
pub(super) struct Describe;

const KIND: Kind<SecurityGroup> = Kind {
    operation: Describe::NAME,
    id: |group| group.group_id.as_deref(),
    not_found: (error::GROUP_NOT_FOUND, "security group"),
    fields: &[
        (&["group-id"], |group| one(group.group_id.as_ref())),
        (&["group-name"], |group| one(group.group_name.as_ref())),
        (&["description"], |group| one(group.description.as_ref())),
        (&["vpc-id"], |group| one(group.vpc_id.as_ref())),
        (&["owner-id"], |group| one(group.owner_id.as_ref())),
        (&["ip-permission.cidr"], |group| cidrs(&group.ip_permissions)),
        (&["ip-permission.from-port"], |group| {
            each(&group.ip_permissions, |rule| one(rule.from_port.as_ref()))
        }),
        (&["ip-permission.to-port"], |group| each(&group.ip_permissions, |rule| one(rule.to_port.as_ref()))),
        (&["ip-permission.protocol"], |group| {
            each(&group.ip_permissions, |rule| one(rule.ip_protocol.as_ref()))
        }),
        (&["ip-permission.group-id"], |group| groups(&group.ip_permissions)),
        (&["egress.ip-permission.cidr"], |group| cidrs(&group.ip_permissions_egress)),
        (&["egress.ip-permission.from-port"], |group| {
            each(&group.ip_permissions_egress, |rule| one(rule.from_port.as_ref()))
        }),
        (&["egress.ip-permission.to-port"], |group| {
            each(&group.ip_permissions_egress, |rule| one(rule.to_port.as_ref()))
        }),
        (&["egress.ip-permission.protocol"], |group| {
            each(&group.ip_permissions_egress, |rule| one(rule.ip_protocol.as_ref()))
        }),
        (&["egress.ip-permission.group-id"], |group| groups(&group.ip_permissions_egress)),
    ],
    most: 1000,
};

fn each(rules: &Option<Vec<IpPermission>>, read: fn(&IpPermission) -> Vec<String>) -> Vec<String> {
    rules.iter().flatten().flat_map(read).collect()
}

fn cidrs(rules: &Option<Vec<IpPermission>>) -> Vec<String> {
    each(rules, |rule| {
        rule.ip_ranges.iter().flatten().flat_map(|range| one(range.cidr_ip.as_ref())).collect()
    })
}

fn groups(rules: &Option<Vec<IpPermission>>) -> Vec<String> {
    each(rules, |rule| {
        rule.user_id_group_pairs.iter().flatten().flat_map(|pair| one(pair.group_id.as_ref())).collect()
    })
}

impl Operation for Describe {
    const NAME: &'static str = "DescribeSecurityGroups";

    type Input = DescribeSecurityGroupsRequest;
    type Output = DescribeSecurityGroupsResult;

    async fn handle(
        context: &Context,
        input: DescribeSecurityGroupsRequest,
    ) -> Result<DescribeSecurityGroupsResult, Error> {
        let DescribeSecurityGroupsRequest {
            dry_run,
            filters,
            group_ids,
            group_names,
            max_results,
            next_token,
        } = input;
        let (vpc, _) = describe::vpc(context).await?;
        let account = context.account();
        let mut ids = group_ids.unwrap_or_default();
        // Names are translated to the ids of their groups.
        for name in group_names.unwrap_or_default() {
            let named = vpc.security_groups.iter().find(|group| group.group_name == name);
            ids.push(named.map_or(name, |group| group.group_id.clone()));
        }
        let permissions = |rules: &[Permission]| rules.iter().map(|rule| permission(rule, account)).collect();
        let shown = vpc.security_groups.iter().map(|group| SecurityGroup {
            group_id: Some(group.group_id.clone()),
            group_name: Some(group.group_name.clone()),
            description: Some(group.description.clone()),
            security_group_arn: Some(context.arn("ec2", format_args!("security-group/{}", group.group_id))),
            vpc_id: Some(vpc.vpc_id.clone()),
            owner_id: Some(account.to_owned()),
            ip_permissions: Some(permissions(&group.ingress)),
            ip_permissions_egress: Some(permissions(&group.egress)),
            tags: Some(Vec::new()),
        });
        let question = Question { dry_run, ids: Some(ids), filters, max_results, next_token };
        let (groups, next_token) = describe::answer(question, &KIND, shown.collect())?;
        Ok(DescribeSecurityGroupsResult { security_groups: Some(groups), next_token })
    }
}

fn permission(rule: &Permission, account: &str) -> IpPermission {
    let Permission { protocol, ports, peers } = rule;
    let name = match protocol {
        Protocol::All => "-1",
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
    };
    // All types and codes of ICMP are -1; all ports are written as a range (EC2 API reference, IpPermission).
    let ports = match protocol {
        Protocol::All => None,
        Protocol::Icmp => Some((-1, -1)),
        Protocol::Tcp | Protocol::Udp => {
            let (first, last) = ports.unwrap_or((0, u16::MAX));
            Some((i32::from(first), i32::from(last)))
        }
    };
    let mut ranges = Vec::new();
    let mut pairs = Vec::new();
    for peer in peers {
        match peer {
            Peer::Cidr(cidr) => ranges.push(IpRange { cidr_ip: Some(cidr.to_string()), description: None }),
            Peer::Group(group_id) => pairs.push(UserIdGroupPair {
                group_id: Some(group_id.clone()),
                user_id: Some(account.to_owned()),
                ..UserIdGroupPair::default()
            }),
        }
    }
    IpPermission {
        ip_protocol: Some(name.to_owned()),
        from_port: ports.map(|(first, _)| first),
        to_port: ports.map(|(_, last)| last),
        ip_ranges: Some(ranges),
        ipv6_ranges: Some(Vec::new()),
        prefix_list_ids: Some(Vec::new()),
        user_id_group_pairs: Some(pairs),
    }
}
