//! The packets that a task may receive and send: chains that drop all that no rule accepts.
//!
//! ```text
//! table inet neargate {
//!     set own { type ipv4_addr; flags interval; elements = { OWN, 127.0.0.0/8, 169.254.170.2, … } }
//!     set peers0 { type ipv4_addr; flags interval; elements = { 172.31.0.4-172.31.63.254 } }
//!     chain ingress {
//!         type filter hook input priority filter; policy drop;
//!         iifname "lo" meta nfproto ipv4 ip saddr @own accept
//!         iifname "lo" meta nfproto ipv6 accept
//!         meta nfproto ipv4 ip daddr OWN ct state established,related accept
//!         meta nfproto ipv4 ip daddr OWN meta l4proto tcp th dport 80-88 ip saddr @peers0 accept
//!     }
//!     chain egress { … hook output … oifname … ip saddr OWN … ip daddr @peers0 … }
//!     chain forward { type filter hook forward priority filter; policy drop; }
//! }
//! ```
//!
//! Loopback accepts nothing from an address that is not the sandbox's own. Otherwise a raw socket could write a packet with
//! the source address of another host there, the connection would be established, and its responses could leave the sandbox.
//! From outside, only packets to the interface's own address are accepted: the addresses on loopback are private to the
//! task. A task does not forward packets.

use std::net::Ipv4Addr;

use super::super::{Attributes, Batch, CREATE};
use super::{
    DATA_VALUE, DESTINATION, EQUAL, Hook, ICMP, IN_INTERFACE_NAME, INET, IPV4, Interface, LIST_ELEMENT,
    LOOPBACK, NETWORK_HEADER, NETWORK_PROTOCOL, NOT_EQUAL, OUT_INTERFACE_NAME, REGISTER, SOURCE, SUBSYSTEM,
    TCP, TRANSPORT_HEADER, TRANSPORT_PROTOCOL, Table, UDP, compare, equal, expression, mask, meta, numbers,
    payload,
};
use crate::runtime::{Allow, Block, Cidr, Filter, Inward, Protocol, merged};

const NEW_SET: u16 = SUBSYSTEM << 8 | 9;
const NEW_SET_ELEMENTS: u16 = SUBSYSTEM << 8 | 12;

/// IPv6 on loopback; elsewhere all of it is dropped, because no rule accepts it.
const IPV6: u8 = 10;

/// `ct state`, a mask in the byte order of the machine.
const ESTABLISHED: u32 = 2;
const RELATED: u32 = 4;

/// Blocks in one message: an attribute is at most 64 KiB.
const PIECE: usize = 1000;

/// `NF_INET_FORWARD`.
const FORWARD: u32 = 2;

/// The direction of packets.
#[derive(Clone, Copy)]
enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    fn chain(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// `NF_INET_LOCAL_IN`, `NF_INET_LOCAL_OUT`.
    fn hook(self) -> u32 {
        match self {
            Self::Ingress => 1,
            Self::Egress => 3,
        }
    }

    fn interface(self) -> u32 {
        match self {
            Self::Ingress => IN_INTERFACE_NAME,
            Self::Egress => OUT_INTERFACE_NAME,
        }
    }

    /// Where the peer's address is in the IPv4 header.
    fn peer(self) -> u32 {
        match self {
            Self::Ingress => SOURCE,
            Self::Egress => DESTINATION,
        }
    }

    /// Where the task's own address is.
    fn own(self) -> u32 {
        match self {
            Self::Ingress => DESTINATION,
            Self::Egress => SOURCE,
        }
    }
}

/// Replaces the filter. `interface`: the sandbox's, if it is on a network. `resolvers`: the name servers that the engine's
/// own resolver queries from inside the sandbox.
pub(in crate::runtime::docker) fn filter(
    filter: &Filter,
    interface: Option<&Interface>,
    resolvers: &[Ipv4Addr],
) -> Batch {
    let resolver = |protocol| {
        let peers = merged(resolvers.iter().map(|address| *address..=*address).collect());
        Allow { protocol, ports: Some((53, 53)), peers }
    };
    let mut egress = filter.egress.clone();
    egress.extend([Protocol::Udp, Protocol::Tcp].into_iter().filter(|_| filter.resolver).map(resolver));
    let allowed = [(Direction::Ingress, filter.ingress.as_slice()), (Direction::Egress, egress.as_slice())];

    let mut table = Table::new(INET);
    let own = own(interface);
    let mut sets: Vec<&[Block]> = vec![&own];
    for (_, allows) in allowed {
        for allow in allows.iter().filter(|allow| !is_empty(allow) && !is_everyone(allow)) {
            if !sets.contains(&allow.peers.as_slice()) {
                sets.push(&allow.peers);
            }
        }
    }
    for (blocks, number) in sets.iter().zip(0u32..) {
        set(&mut table, number, blocks);
    }
    for (direction, allows) in allowed {
        let hook = Hook { kind: "filter", number: direction.hook(), priority: 0, device: None, drops: true };
        table.chain(direction.chain(), &hook);
        table.accept(direction.chain(), |rule| {
            on_loopback(rule, direction, IPV4);
            payload(rule, NETWORK_HEADER, SOURCE, 4);
            lookup(rule, 0);
        });
        table.accept(direction.chain(), |rule| on_loopback(rule, direction, IPV6));
        table.accept(direction.chain(), |rule| {
            is_own(rule, direction, interface);
            connection_is_known(rule);
        });
        for allow in allows.iter().filter(|allow| !is_empty(allow)) {
            let set = sets.iter().zip(0u32..).find(|(blocks, _)| ***blocks == *allow.peers);
            table.accept(direction.chain(), |rule| {
                is_own(rule, direction, interface);
                accepts(rule, direction, allow, set.map(|(_, number)| number));
            });
        }
    }
    let hook = Hook { kind: "filter", number: FORWARD, priority: 0, device: None, drops: true };
    table.chain("forward", &hook);
    table.end()
}

/// The addresses inside.
fn own(interface: Option<&Interface>) -> Vec<Block> {
    let loopback = Cidr { base: Ipv4Addr::LOCALHOST, prefix: 8 };
    let inward = Inward::ALL.iter().map(|inward| *inward.address().ip());
    let addresses = inward.chain(interface.map(|interface| interface.address));
    merged(addresses.map(|address| address..=address).chain([loopback.block()]).collect())
}

fn is_empty(allow: &Allow) -> bool {
    allow.peers.is_empty()
}

/// Every address needs no set.
fn is_everyone(allow: &Allow) -> bool {
    allow.peers == [Cidr::ANY.block()]
}

fn name(set: u32) -> String {
    match set {
        0 => "own".to_owned(),
        peers => format!("peers{}", peers - 1),
    }
}

fn set(table: &mut Table, number: u32, blocks: &[Block]) {
    const NAME: u16 = 2;
    const FLAGS: u16 = 3;
    const KEY_TYPE: u16 = 4;
    const KEY_LENGTH: u16 = 5;
    const ID: u16 = 10;
    const INTERVAL: u32 = 4;
    // The kernel ignores it; `nft` shows addresses by it.
    const ADDRESS: u32 = 7;
    table.message(NEW_SET, CREATE, |set| {
        set.text(NAME, &name(number));
        set.number(FLAGS, INTERVAL);
        set.number(KEY_TYPE, ADDRESS);
        set.number(KEY_LENGTH, 4);
        set.number(ID, number + 1);
    });
    const ELEMENTS: u16 = 3;
    for piece in blocks.chunks(PIECE) {
        table.message(NEW_SET_ELEMENTS, CREATE, |message| {
            message.text(NAME, &name(number));
            message.nested(ELEMENTS, |elements| {
                for block in piece {
                    element(elements, u32::from(*block.start()), false);
                    // The end is the first address after the block; a block with the very last address has no end.
                    if let Some(end) = u32::from(*block.end()).checked_add(1) {
                        element(elements, end, true);
                    }
                }
            });
        });
    }
}

fn element(elements: &mut Attributes<'_>, key: u32, ends: bool) {
    const KEY: u16 = 1;
    const FLAGS: u16 = 3;
    const INTERVAL_END: u32 = 1;
    elements.nested(LIST_ELEMENT, |element| {
        element.nested(KEY, |data| data.number(DATA_VALUE, key));
        if ends {
            element.number(FLAGS, INTERVAL_END);
        }
    });
}

fn on_loopback(rule: &mut Attributes<'_>, direction: Direction, protocol: u8) {
    meta(rule, direction.interface());
    equal(rule, &LOOPBACK);
    meta(rule, NETWORK_PROTOCOL);
    equal(rule, &[protocol]);
}

/// IPv4 to or from the interface's own address.
fn is_own(rule: &mut Attributes<'_>, direction: Direction, interface: Option<&Interface>) {
    meta(rule, NETWORK_PROTOCOL);
    equal(rule, &[IPV4]);
    if let Some(interface) = interface {
        payload(rule, NETWORK_HEADER, direction.own(), 4);
        equal(rule, &interface.address.octets());
    }
}

fn connection_is_known(rule: &mut Attributes<'_>) {
    const DESTINATION: u16 = 1;
    const KEY: u16 = 2;
    const STATE: u32 = 0;
    numbers(rule, "ct", &[(DESTINATION, REGISTER), (KEY, STATE)]);
    mask(rule, (ESTABLISHED | RELATED).to_ne_bytes());
    compare(rule, NOT_EQUAL, &[0; 4]);
}

fn accepts(rule: &mut Attributes<'_>, direction: Direction, allow: &Allow, set: Option<u32>) {
    const RANGE_SOURCE: u16 = 1;
    const RANGE_OPERATION: u16 = 2;
    const RANGE_FROM: u16 = 3;
    const RANGE_TO: u16 = 4;
    let protocol = match allow.protocol {
        Protocol::All => None,
        Protocol::Icmp => Some(ICMP),
        Protocol::Tcp => Some(TCP),
        Protocol::Udp => Some(UDP),
    };
    if let Some(protocol) = protocol {
        meta(rule, TRANSPORT_PROTOCOL);
        equal(rule, &[protocol]);
    }
    if let (Some((first, last)), Protocol::Tcp | Protocol::Udp) = (allow.ports, allow.protocol) {
        // The destination port of both.
        payload(rule, TRANSPORT_HEADER, 2, 2);
        expression(rule, "range", |range| {
            range.number(RANGE_SOURCE, REGISTER);
            range.number(RANGE_OPERATION, EQUAL);
            range.nested(RANGE_FROM, |data| data.bytes(DATA_VALUE, &first.to_be_bytes()));
            range.nested(RANGE_TO, |data| data.bytes(DATA_VALUE, &last.to_be_bytes()));
        });
    }
    if let Some(set) = set {
        payload(rule, NETWORK_HEADER, direction.peer(), 4);
        lookup(rule, set);
    }
}

/// Ends the rule unless the address in the register is in the set.
fn lookup(rule: &mut Attributes<'_>, set: u32) {
    const SET: u16 = 1;
    const SOURCE: u16 = 2;
    const SET_ID: u16 = 4;
    expression(rule, "lookup", |lookup| {
        lookup.text(SET, &name(set));
        lookup.number(SOURCE, REGISTER);
        lookup.number(SET_ID, set + 1);
    });
}
