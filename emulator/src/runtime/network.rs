//! Networks, the sandboxes on them, and the packet filter of a sandbox.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// An IPv4 block, such as `172.31.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    pub base: Ipv4Addr,
    pub prefix: u8,
}

impl Cidr {
    /// Every address.
    pub const ANY: Self = Self { base: Ipv4Addr::UNSPECIFIED, prefix: 0 };

    /// Its addresses, first to last.
    pub fn block(self) -> Block {
        let host = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        let base = u32::from(self.base) & !host;
        Ipv4Addr::from(base)..=Ipv4Addr::from(base | host)
    }

    /// Whether all of the other one is in it.
    pub fn holds(self, other: Self) -> bool {
        other.prefix >= self.prefix && self.block().contains(&other.base)
    }

    /// Whether they share an address: then one holds the other.
    pub fn overlaps(self, other: Self) -> bool {
        self.holds(other) || other.holds(self)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl std::str::FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(base, prefix)| {
            Some(Self { base: base.parse().ok()?, prefix: prefix.parse().ok().filter(|p| *p <= 32)? })
        });
        parsed.ok_or_else(|| format!("{text:?} is not an IPv4 CIDR block such as 172.31.0.0/16"))
    }
}

/// A network to create or to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkSpec {
    /// This instance's own, for the VPC of this id: with the first of `candidates` that no other network of the host
    /// overlaps. If this instance created it with another block before, it is replaced, unless it is in use.
    Own { vpc_id: String, candidates: Vec<Cidr> },
    /// A network of another owner. It is never created, labelled or removed. The engine assigns its addresses.
    Borrowed { name: String },
}

/// An existing network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// On the engine.
    pub name: String,
    pub cidr: Cidr,
}

/// A route to a destination outside the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub destination: Cidr,
    /// An address on the network.
    pub via: Ipv4Addr,
}

/// The content of `/etc/resolv.conf`. For an empty part the engine's default applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    pub name_servers: Vec<Ipv4Addr>,
    pub search_domains: Vec<String>,
}

/// A sandbox to create.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// Neargate's id of the sandbox, a UUID; on the engine it becomes part of the name and a label.
    pub sandbox_id: String,
    /// [`Network::name`].
    pub network: String,
    /// `None`: the engine assigns one.
    pub address: Option<Ipv4Addr>,
    pub hostname: Option<String>,
    pub resolver: Resolver,
    pub routes: Vec<Route>,
    pub filter: Arc<Filter>,
}

/// A sandbox as it was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub sandbox_id: String,
    pub address: Ipv4Addr,
    /// As the engine assigned it: `02:42:ac:1f:00:04`.
    pub mac_address: String,
}

/// The packets that a sandbox allows, in addition to loopback and to responses on allowed connections. All others are
/// dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub ingress: Vec<Allow>,
    pub egress: Vec<Allow>,
    /// The runtime's own resolver may query its upstream name servers.
    pub resolver: bool,
    /// It must also apply to raw sockets. If the runtime cannot enforce that, the task gets no raw sockets.
    pub strict: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    pub protocol: Protocol,
    /// First and last destination port of TCP and UDP; `None` for all of them.
    pub ports: Option<(u16, u16)>,
    /// Sorted, with a gap between any two.
    pub peers: Vec<Block>,
}

/// Addresses, first to last.
pub type Block = RangeInclusive<Ipv4Addr>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// EC2's `-1`.
    All,
    Tcp,
    Udp,
    Icmp,
}

impl Filter {
    /// Allows everything.
    pub fn open() -> Self {
        let all = Allow { protocol: Protocol::All, ports: None, peers: vec![Cidr::ANY.block()] };
        Self { ingress: vec![all.clone()], egress: vec![all], resolver: true, strict: false }
    }
}

/// The same addresses, sorted; overlapping and neighbouring blocks are merged.
pub fn merged(mut blocks: Vec<Block>) -> Vec<Block> {
    blocks.sort_by_key(|block| *block.start());
    let mut merged: Vec<Block> = Vec::with_capacity(blocks.len());
    for block in blocks {
        match merged.last_mut() {
            Some(last) if u32::from(*block.start()) <= u32::from(*last.end()).saturating_add(1) => {
                *last = *last.start()..=*last.end().max(block.end());
            }
            _ => merged.push(block),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Block {
        let (first, last) = text.split_once('-').unwrap();
        first.parse().unwrap()..=last.parse().unwrap()
    }

    #[test]
    fn a_cidr_is_a_block_of_addresses() {
        for (cidr, expected) in [
            ("10.0.0.0/8", "10.0.0.0-10.255.255.255"),
            ("10.1.2.3/24", "10.1.2.0-10.1.2.255"),
            ("192.0.2.1/32", "192.0.2.1-192.0.2.1"),
            ("0.0.0.0/0", "0.0.0.0-255.255.255.255"),
        ] {
            assert_eq!(cidr.parse::<Cidr>().unwrap().block(), block(expected), "{cidr}");
        }
    }

    #[test]
    fn blocks_that_overlap_or_touch_become_one() {
        let merged = |texts: &[&str]| merged(texts.iter().map(|text| block(text)).collect());
        for (given, expected) in [
            (
                &["10.0.0.9-10.0.0.9", "10.0.0.4-10.0.0.4"][..],
                &["10.0.0.4-10.0.0.4", "10.0.0.9-10.0.0.9"][..],
            ),
            (&["10.0.0.5-10.0.0.5", "10.0.0.4-10.0.0.4"], &["10.0.0.4-10.0.0.5"]),
            (&["10.0.0.0-10.255.255.255", "10.1.0.0-10.1.0.9"], &["10.0.0.0-10.255.255.255"]),
            (&["0.0.0.0-255.255.255.255", "255.255.255.255-255.255.255.255"], &["0.0.0.0-255.255.255.255"]),
            (&[], &[]),
        ] {
            let expected: Vec<Block> = expected.iter().map(|text| block(text)).collect();
            assert_eq!(merged(given), expected, "{given:?}");
        }
    }

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn blocks_overlap_if_one_contains_the_other() {
        for (a, b, expected) in [
            ("172.31.0.0/16", "172.31.0.0/16", true),
            ("172.31.0.0/16", "172.31.255.255/32", true),
            ("10.0.0.0/8", "10.200.0.0/16", true),
            ("172.31.0.0/16", "172.30.0.0/16", false),
            ("172.16.0.0/15", "172.18.0.0/16", false),
            ("0.0.0.0/0", "192.0.2.1/32", true),
        ] {
            assert_eq!(cidr(a).overlaps(cidr(b)), expected, "{a} and {b}");
            assert_eq!(cidr(b).overlaps(cidr(a)), expected, "{b} and {a}");
        }
    }
}
