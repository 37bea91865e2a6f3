//! The VPC if none is described: two subnets in two zones, and a default security group.

use std::net::Ipv4Addr;

use super::{DhcpOptions, Network, Peer, Permission, RouteTable, SecurityGroup, Subnet, Vpc};
use crate::runtime::Cidr;

/// The default VPC and what is in it. The ids are the same on every machine, so that an example can name them.
pub const VPC_ID: &str = "vpc-0000000000000000d";
pub const SECURITY_GROUP_ID: &str = "sg-0000000000000000d";
pub(super) const ROUTE_TABLE_ID: &str = "rtb-0000000000000000d";
pub(super) const DHCP_OPTIONS_ID: &str = "dopt-0000000000000000d";
pub(super) const SUBNETS: [(&str, &str); 2] =
    [("subnet-0000000000000000a", "a"), ("subnet-0000000000000000b", "b")];

/// Bits of a subnet's prefix: a quarter of the VPC, 16,379 tasks.
const SUBNET_PREFIX: u8 = 18;

/// The VPC's blocks to try, AWS's own default first: the first that overlaps nothing on this host is taken.
pub fn candidates() -> Vec<Cidr> {
    let block = |a, b| Cidr { base: Ipv4Addr::new(a, b, 0, 0), prefix: 16 };
    std::iter::once(block(172, 31)).chain((200..=250).map(|second| block(10, second))).collect()
}

impl Vpc {
    /// The default VPC on the given /16 block. Its default security group lets in its own members, and the host at the
    /// network's gateway, from which probes and published ports connect.
    pub fn builtin(cidr: Cidr, strict: bool) -> Self {
        let base = u32::from(cidr.base);
        let subnets = SUBNETS
            .iter()
            .zip(0u32..)
            .map(|((subnet_id, zone), place)| Subnet {
                subnet_id: (*subnet_id).to_owned(),
                zone: (*zone).to_owned(),
                cidr: Cidr {
                    base: Ipv4Addr::from(base + (place << (32 - SUBNET_PREFIX))),
                    prefix: SUBNET_PREFIX,
                },
                route_table_id: ROUTE_TABLE_ID.to_owned(),
            })
            .collect();
        let host = Cidr { base: Ipv4Addr::from(base + 1), prefix: 32 };
        let mut group = SecurityGroup::open_within_itself(SECURITY_GROUP_ID);
        group.ingress.push(Permission::all(vec![Peer::Cidr(host)]));
        Self {
            vpc_id: VPC_ID.to_owned(),
            cidr,
            network: Network::Own,
            subnets,
            route_tables: vec![RouteTable { route_table_id: ROUTE_TABLE_ID.to_owned(), routes: Vec::new() }],
            dhcp_options: DhcpOptions {
                dhcp_options_id: DHCP_OPTIONS_ID.to_owned(),
                domain_name_servers: Vec::new(),
                domain_names: Vec::new(),
            },
            security_groups: vec![group],
            strict,
        }
    }
}
