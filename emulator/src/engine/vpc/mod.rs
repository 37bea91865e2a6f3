//! The VPC, in EC2's terms: subnets, route tables, DHCP options, security groups. Pure values.
//!
//! A VPC is one Docker network; its subnets are ranges inside it, because Docker isolates its bridges from each other
//! and tasks of different subnets must reach each other. On a network that is not ours (`kind`) there is one subnet,
//! and the engine picks the addresses.

mod addresses;
mod builtin;
pub mod file;
mod filter;
mod kind;
mod security_group;

use std::net::Ipv4Addr;

pub use self::addresses::{Addresses, private_dns_name};
pub use self::builtin::{SECURITY_GROUP_ID, VPC_ID, candidates};
pub use self::filter::Members;
pub use self::security_group::{Peer, Permission, Protocol, SecurityGroup};
use crate::runtime::{Cidr, Route};

/// A VPC with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    pub vpc_id: String,
    pub cidr: Cidr,
    pub network: Network,
    /// At least one.
    pub subnets: Vec<Subnet>,
    /// The first is the main one.
    pub route_tables: Vec<RouteTable>,
    pub dhcp_options: DhcpOptions,
    /// The first is the default one.
    pub security_groups: Vec<SecurityGroup>,
    /// Refuse ids that are not known, as AWS does.
    pub strict: bool,
}

/// Which VPC the engine uses.
#[derive(Clone, Debug)]
pub enum Choice {
    /// The default one, on a block that is free on this host.
    Builtin { strict: bool },
    /// A described one: the start fails if its block cannot be used.
    Given(Box<Vpc>),
}

/// The container engine's network of a VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// Created for it, with the VPC's block; we assign the addresses.
    Own,
    /// A network of another program, which we never create or remove; the container engine assigns the addresses.
    Borrowed { name: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub subnet_id: String,
    /// The zone's letter; the zone's name begins with the region of the caller.
    pub zone: String,
    pub cidr: Cidr,
    pub route_table_id: String,
}

/// A route table; the local route of the VPC's block is implied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    pub route_table_id: String,
    /// The targets are addresses in the VPC.
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpOptions {
    pub dhcp_options_id: String,
    /// None: the engine's own resolver, as AmazonProvidedDNS.
    pub domain_name_servers: Vec<Ipv4Addr>,
    /// Search domains.
    pub domain_names: Vec<String>,
}

impl Vpc {
    /// The subnet that stands for `subnet_id`: itself; else, unless strict, a default one for a well-formed id, the
    /// same one each time.
    pub fn subnet(&self, subnet_id: &str) -> Option<&Subnet> {
        let known = self.subnets.iter().find(|subnet| subnet.subnet_id == subnet_id);
        known.or_else(|| {
            if self.strict || !is_resource_id(subnet_id, "subnet-") {
                return None;
            }
            let sum: usize = subnet_id.bytes().map(usize::from).sum();
            self.subnets.get(sum % self.subnets.len())
        })
    }

    /// The routes of a subnet beyond its own VPC.
    pub fn routes(&self, subnet: &Subnet) -> &[Route] {
        let of_subnet = self.route_tables.iter().find(|table| table.route_table_id == subnet.route_table_id);
        of_subnet.map_or(&[], |table| table.routes.as_slice())
    }

    /// The security group that stands for `group_id`: itself; else, unless strict, the default one for a well-formed id.
    pub fn security_group(&self, group_id: &str) -> Option<&SecurityGroup> {
        let known = self.security_groups.iter().find(|group| group.group_id == group_id);
        known.or_else(|| {
            let stands_in = !self.strict && is_resource_id(group_id, "sg-");
            self.security_groups.first().filter(|_| stands_in)
        })
    }

    /// Whether a task may name this security group.
    pub fn knows_security_group(&self, group_id: &str) -> bool {
        self.security_group(group_id).is_some()
    }
}

/// The prefix and 8 or 17 hexadecimal digits (Amazon EC2 user guide, "Resource IDs").
fn is_resource_id(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vpc(cidr: &str, strict: bool) -> Vpc {
        Vpc::builtin(cidr.parse().expect("a CIDR block"), strict)
    }

    #[test]
    fn unknown_ids_are_mapped_onto_the_default_ones_unless_strict() {
        let lenient = vpc("172.31.0.0/16", false);
        let strict = vpc("172.31.0.0/16", true);
        let zone = |vpc: &Vpc, id: &str| vpc.subnet(id).map(|subnet| subnet.zone.clone());
        for (id, well_formed) in [
            ("subnet-0123456789abcdef0", true),
            ("subnet-12345678", true),
            ("subnet-1234567", false),
            ("subnet-0123456789ABCDEF0", false),
            ("vpc-12345678", false),
            ("", false),
        ] {
            assert_eq!(zone(&lenient, id).is_some(), well_formed, "{id}");
            assert_eq!(zone(&lenient, id), zone(&lenient, id), "the same subnet each time");
            assert_eq!(zone(&strict, id), None, "{id}");
        }
        assert_eq!(zone(&strict, "subnet-0000000000000000b").as_deref(), Some("b"));
        assert!(lenient.knows_security_group("sg-12345678") && !strict.knows_security_group("sg-12345678"));
        assert!(strict.knows_security_group(SECURITY_GROUP_ID) && !lenient.knows_security_group("default"));
    }

    #[test]
    fn subnets_lie_apart_inside_the_vpc() {
        let vpc = vpc("10.200.0.0/16", false);
        let blocks: Vec<String> = vpc.subnets.iter().map(|subnet| subnet.cidr.to_string()).collect();
        assert_eq!(blocks, ["10.200.0.0/18", "10.200.64.0/18"]);
    }
}
