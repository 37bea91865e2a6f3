//! The VPC: subnets, security groups, and the addresses in them. Pure.
//!
//! A VPC is one Docker network; its subnets are ranges inside it, because Docker isolates its bridges from each other
//! and tasks of different subnets must reach each other. AWS's five reserved addresses of a subnet are honoured
//! (Amazon VPC user guide, "Subnet CIDR blocks").

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::runtime::Cidr;

/// The default VPC and what is in it. The ids are the same on every machine, so that an example can name them.
pub const VPC_ID: &str = "vpc-0000000000000000d";
pub const SECURITY_GROUP_ID: &str = "sg-0000000000000000d";
const SUBNETS: [(&str, &str); 2] = [("subnet-0000000000000000a", "a"), ("subnet-0000000000000000b", "b")];

/// Bits of a subnet's prefix: a quarter of the VPC, 16,379 tasks.
const SUBNET_PREFIX: u8 = 18;

/// The VPC's blocks to try, AWS's own default first: the first that overlaps nothing on this host is taken.
pub fn candidates() -> Vec<Cidr> {
    let block = |a, b| Cidr { base: Ipv4Addr::new(a, b, 0, 0), prefix: 16 };
    std::iter::once(block(172, 31)).chain((200..=250).map(|second| block(10, second))).collect()
}

/// A VPC with its subnets.
#[derive(Clone, Debug)]
pub struct Vpc {
    pub vpc_id: String,
    pub cidr: Cidr,
    pub subnets: Vec<Subnet>,
    pub security_groups: Vec<String>,
    /// Refuse ids that are not known, as AWS does.
    strict: bool,
}

#[derive(Clone, Debug)]
pub struct Subnet {
    pub subnet_id: String,
    /// The zone's letter; the zone's name begins with the region of who asks.
    pub zone: String,
    pub cidr: Cidr,
}

impl Vpc {
    /// The default VPC on the given /16 block.
    pub fn new(cidr: Cidr, strict: bool) -> Self {
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
            })
            .collect();
        Self {
            vpc_id: VPC_ID.to_owned(),
            cidr,
            subnets,
            security_groups: vec![SECURITY_GROUP_ID.to_owned()],
            strict,
        }
    }

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

    /// Whether a task may name this security group.
    pub fn knows_security_group(&self, group_id: &str) -> bool {
        self.security_groups.iter().any(|known| known == group_id)
            || (!self.strict && is_resource_id(group_id, "sg-"))
    }
}

/// The prefix and 8 or 17 hexadecimal digits (Amazon EC2 user guide, "Resource IDs").
fn is_resource_id(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The private DNS name of an address: `ip-10-0-0-5.ec2.internal` in us-east-1, with the region elsewhere
/// (Amazon VPC user guide, "DNS attributes").
pub fn private_dns_name(address: Ipv4Addr, region: &str) -> String {
    let [a, b, c, d] = address.octets();
    let domain =
        if region == "us-east-1" { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") };
    format!("ip-{a}-{b}-{c}-{d}.{domain}")
}

/// The addresses of one subnet: which are free, and how many are spoken for.
#[derive(Clone, Debug)]
pub struct Addresses {
    first: u32,
    last: u32,
    /// Where the search begins: an address just given back is the last to be given out again.
    next: u32,
    used: BTreeSet<u32>,
}

impl Addresses {
    /// All of the subnet but AWS's five: the network's, the router's, the resolver's, one reserved, the broadcast's.
    pub fn new(subnet: Cidr) -> Self {
        let base = u32::from(subnet.base);
        let size = 1u32.checked_shl(32 - u32::from(subnet.prefix)).unwrap_or(u32::MAX);
        let first = base + 4;
        Self { first, last: base + (size - 2), next: first, used: BTreeSet::new() }
    }

    /// How many addresses the subnet has for tasks.
    pub fn capacity(&self) -> usize {
        usize::try_from(self.last + 1 - self.first).unwrap_or(usize::MAX)
    }

    pub fn used(&self) -> usize {
        self.used.len()
    }

    /// A free address, now used; `None` where the subnet is full.
    pub fn take(&mut self) -> Option<Ipv4Addr> {
        let free = (self.next..=self.last)
            .chain(self.first..self.next)
            .find(|address| !self.used.contains(address))?;
        self.used.insert(free);
        self.next = if free == self.last { self.first } else { free + 1 };
        Some(Ipv4Addr::from(free))
    }

    /// Marks an address as used, as a sandbox of an earlier process still does.
    pub fn mark(&mut self, address: Ipv4Addr) {
        self.used.insert(u32::from(address));
    }

    pub fn give_back(&mut self, address: Ipv4Addr) {
        self.used.remove(&u32::from(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a CIDR block")
    }

    #[test]
    fn a_subnet_keeps_awss_five_addresses_and_gives_every_other_once() {
        let mut addresses = Addresses::new(cidr("10.0.0.16/28"));
        assert_eq!(addresses.capacity(), 11);
        let given: Vec<Ipv4Addr> = std::iter::from_fn(|| addresses.take()).collect();
        let expected: Vec<Ipv4Addr> = (20..=30).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect();
        assert_eq!(given, expected);
        addresses.give_back(given[3]);
        assert_eq!(addresses.take(), Some(given[3]));
        assert_eq!(addresses.take(), None);
    }

    #[test]
    fn an_address_given_back_is_given_out_last() {
        let mut addresses = Addresses::new(cidr("10.0.0.0/28"));
        let first = addresses.take().expect("one");
        addresses.give_back(first);
        let later: Vec<Ipv4Addr> = std::iter::from_fn(|| addresses.take()).collect();
        assert_eq!(later.last(), Some(&first));
    }

    #[test]
    fn unknown_ids_are_mapped_onto_the_default_ones_unless_strict() {
        let lenient = Vpc::new(cidr("172.31.0.0/16"), false);
        let strict = Vpc::new(cidr("172.31.0.0/16"), true);
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
        let vpc = Vpc::new(cidr("10.200.0.0/16"), false);
        let blocks: Vec<String> = vpc.subnets.iter().map(|subnet| subnet.cidr.to_string()).collect();
        assert_eq!(blocks, ["10.200.0.0/18", "10.200.64.0/18"]);
    }

    #[test]
    fn private_dns_names_carry_the_region_outside_us_east_1() {
        let address = Ipv4Addr::new(10, 0, 0, 5);
        assert_eq!(private_dns_name(address, "us-east-1"), "ip-10-0-0-5.ec2.internal");
        assert_eq!(private_dns_name(address, "eu-west-1"), "ip-10-0-0-5.eu-west-1.compute.internal");
    }
}
