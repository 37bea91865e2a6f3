//! The addresses of a subnet, and the names they have. Pure.
//!
//! AWS's five reserved addresses of a subnet are honoured (Amazon VPC user guide, "Subnet CIDR blocks").

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::runtime::{Block, Cidr};

/// The private DNS name of an address: `ip-10-0-0-5.ec2.internal` in us-east-1, with the region elsewhere
/// (Amazon VPC user guide, "DNS attributes").
pub fn private_dns_name(address: Ipv4Addr, region: &str) -> String {
    let [a, b, c, d] = address.octets();
    let domain =
        if region == "us-east-1" { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") };
    format!("ip-{a}-{b}-{c}-{d}.{domain}")
}

/// The addresses of one subnet: which are free, and how many are used.
#[derive(Clone, Debug)]
pub struct Addresses {
    first: u32,
    last: u32,
    /// Where the search begins: an address that was just given back is the last to be used again.
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

    /// All addresses that tasks can have.
    pub fn block(&self) -> Block {
        Ipv4Addr::from(self.first)..=Ipv4Addr::from(self.last)
    }

    /// How many addresses the subnet has for tasks.
    pub fn capacity(&self) -> usize {
        usize::try_from(self.last + 1 - self.first).unwrap_or(usize::MAX)
    }

    pub fn used(&self) -> usize {
        self.used.len()
    }

    /// A free address, now used; `None` if the subnet is full.
    pub fn take(&mut self) -> Option<Ipv4Addr> {
        let free = (self.next..=self.last)
            .chain(self.first..self.next)
            .find(|address| !self.used.contains(address))?;
        self.used.insert(free);
        self.next = if free == self.last { self.first } else { free + 1 };
        Some(Ipv4Addr::from(free))
    }

    /// Marks an address as used by a sandbox of an earlier process.
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
    fn private_dns_names_carry_the_region_outside_us_east_1() {
        let address = Ipv4Addr::new(10, 0, 0, 5);
        assert_eq!(private_dns_name(address, "us-east-1"), "ip-10-0-0-5.ec2.internal");
        assert_eq!(private_dns_name(address, "eu-west-1"), "ip-10-0-0-5.eu-west-1.compute.internal");
    }
}
