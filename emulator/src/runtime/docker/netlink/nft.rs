//! Packet filters, as nf_tables has them (linux/netfilter/nf_tables.h): one table with two chains that drop what no rule
//! accepts. `nft list ruleset` in a sandbox shows it.
//!
//! ```text
//! table inet neargate {
//!     set peers0 { type ipv4_addr; flags interval; elements = { 172.31.0.4-172.31.63.254 } }
//!     chain ingress {
//!         type filter hook input priority filter; policy drop;
//!         iifname "lo" accept
//!         ct state established,related accept
//!         meta nfproto ipv4 meta l4proto tcp th dport 80-88 ip saddr @peers0 accept
//!     }
//!     chain egress { … hook output … oifname … daddr … }
//! }
//! ```
//!
//! The whole table is replaced in one batch, which the kernel takes or refuses as one: no packet meets half of it.

use super::{ACKNOWLEDGE, Attributes, Batch, CREATE, NETFILTER};
use crate::runtime::{Allow, Block, Cidr, Filter, Protocol};

const TABLE: &str = "neargate";

/// Kinds of messages: the subsystem in the upper byte (linux/netfilter/nfnetlink.h).
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const NEW_SET: u16 = SUBSYSTEM << 8 | 9;
const NEW_SET_ELEMENTS: u16 = SUBSYSTEM << 8 | 12;

/// A rule comes after those that are there.
const APPEND: u16 = 0x800;

/// Address families: none, and both IPs in one table. Without a rule for IPv6 all of it is dropped.
const UNSPECIFIED: u8 = 0;
const INET: u8 = 1;
const IPV4: u8 = 2;

/// The first register; values are loaded there and compared.
const REGISTER: u32 = 1;

/// Keys of `meta`.
const IN_INTERFACE_NAME: u32 = 6;
const OUT_INTERFACE_NAME: u32 = 7;
const NETWORK_PROTOCOL: u32 = 15;
const TRANSPORT_PROTOCOL: u32 = 16;

/// Loopback's name, in the length that the kernel compares.
const LOOPBACK: [u8; 16] = *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// `ct state`, a mask in the byte order of the machine.
const ESTABLISHED: u32 = 2;
const RELATED: u32 = 4;

/// Blocks in one message: an attribute is at most 64 KiB.
const PIECE: usize = 1000;

/// Which way packets go.
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
            Self::Ingress => 12,
            Self::Egress => 16,
        }
    }
}

/// Puts the filter in place of what is there.
pub(in crate::runtime::docker) fn filter(filter: &Filter) -> Batch {
    let mut batch = Batch::new(NETFILTER);
    batch.message(BATCH_BEGIN, 0, &head(UNSPECIFIED, SUBSYSTEM), |_| {});
    // Made so that it can be deleted, whether it was there or not.
    table(&mut batch, NEW_TABLE, CREATE);
    table(&mut batch, DELETE_TABLE, 0);
    table(&mut batch, NEW_TABLE, CREATE);
    let sets = sets(filter);
    for (blocks, number) in sets.iter().zip(0u32..) {
        set(&mut batch, number, blocks);
    }
    for (direction, allows) in [(Direction::Ingress, &filter.ingress), (Direction::Egress, &filter.egress)] {
        chain(&mut batch, direction);
        rule(&mut batch, direction, 0, |rule| {
            meta(rule, direction.interface());
            equal(rule, &LOOPBACK);
        });
        // Acknowledged: of a batch that is taken whole the kernel says nothing else.
        rule(&mut batch, direction, ACKNOWLEDGE, connection_is_known);
        for allow in allows.iter().filter(|allow| !allow.peers.is_empty()) {
            let set = sets.iter().zip(0u32..).find(|(blocks, _)| ***blocks == *allow.peers);
            rule(&mut batch, direction, 0, |rule| {
                accepts(rule, direction, allow, set.map(|(_, number)| number))
            });
        }
    }
    batch.message(BATCH_END, 0, &head(UNSPECIFIED, SUBSYSTEM), |_| {});
    batch
}

/// The lists of peers that rules name, each once; every address needs none.
fn sets(filter: &Filter) -> Vec<&[Block]> {
    let mut sets: Vec<&[Block]> = Vec::new();
    for allow in filter.ingress.iter().chain(&filter.egress) {
        let everyone = allow.peers == [Cidr::ANY.block()];
        if !everyone && !allow.peers.is_empty() && !sets.contains(&allow.peers.as_slice()) {
            sets.push(&allow.peers);
        }
    }
    sets
}

/// nfnetlink's own header: family, version 0, and what the message is for, in network byte order.
fn head(family: u8, resource: u16) -> [u8; 4] {
    let [upper, lower] = resource.to_be_bytes();
    [family, 0, upper, lower]
}

fn table(batch: &mut Batch, kind: u16, flags: u16) {
    const NAME: u16 = 1;
    batch.message(kind, flags, &head(INET, 0), |table| table.text(NAME, TABLE));
}

fn name(set: u32) -> String {
    format!("peers{set}")
}

fn set(batch: &mut Batch, number: u32, blocks: &[Block]) {
    const TABLE_NAME: u16 = 1;
    const NAME: u16 = 2;
    const FLAGS: u16 = 3;
    const KEY_TYPE: u16 = 4;
    const KEY_LENGTH: u16 = 5;
    const ID: u16 = 10;
    const INTERVAL: u32 = 4;
    // Says nothing to the kernel; `nft` shows addresses by it.
    const ADDRESS: u32 = 7;
    batch.message(NEW_SET, CREATE, &head(INET, 0), |set| {
        set.text(TABLE_NAME, TABLE);
        set.text(NAME, &name(number));
        set.number(FLAGS, INTERVAL);
        set.number(KEY_TYPE, ADDRESS);
        set.number(KEY_LENGTH, 4);
        set.number(ID, number + 1);
    });
    const ELEMENTS: u16 = 3;
    for piece in blocks.chunks(PIECE) {
        batch.message(NEW_SET_ELEMENTS, CREATE, &head(INET, 0), |message| {
            message.text(TABLE_NAME, TABLE);
            message.text(NAME, &name(number));
            message.nested(ELEMENTS, |elements| {
                for block in piece {
                    element(elements, u32::from(*block.start()), false);
                    // The end is the first address that is not in it; beyond the last of all there is none.
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

fn chain(batch: &mut Batch, direction: Direction) {
    const TABLE_NAME: u16 = 1;
    const NAME: u16 = 3;
    const HOOK: u16 = 4;
    const HOOK_NUMBER: u16 = 1;
    const HOOK_PRIORITY: u16 = 2;
    const POLICY: u16 = 5;
    const TYPE: u16 = 7;
    const DROP: u32 = 0;
    batch.message(NEW_CHAIN, CREATE, &head(INET, 0), |chain| {
        chain.text(TABLE_NAME, TABLE);
        chain.text(NAME, direction.chain());
        chain.nested(HOOK, |hook| {
            hook.number(HOOK_NUMBER, direction.hook());
            hook.number(HOOK_PRIORITY, 0);
        });
        chain.number(POLICY, DROP);
        chain.text(TYPE, "filter");
    });
}

/// A rule that accepts what meets its conditions.
fn rule(batch: &mut Batch, direction: Direction, flags: u16, conditions: impl FnOnce(&mut Attributes<'_>)) {
    const TABLE_NAME: u16 = 1;
    const CHAIN: u16 = 2;
    const EXPRESSIONS: u16 = 4;
    const DESTINATION: u16 = 1;
    const DATA: u16 = 2;
    const VERDICT: u16 = 2;
    const CODE: u16 = 1;
    const VERDICT_REGISTER: u32 = 0;
    const ACCEPT: u32 = 1;
    batch.message(NEW_RULE, CREATE | APPEND | flags, &head(INET, 0), |rule| {
        rule.text(TABLE_NAME, TABLE);
        rule.text(CHAIN, direction.chain());
        rule.nested(EXPRESSIONS, |expressions| {
            conditions(expressions);
            expression(expressions, "immediate", |immediate| {
                immediate.number(DESTINATION, VERDICT_REGISTER);
                immediate.nested(DATA, |data| {
                    data.nested(VERDICT, |verdict| verdict.number(CODE, ACCEPT));
                });
            });
        });
    });
}

fn connection_is_known(rule: &mut Attributes<'_>) {
    const DESTINATION: u16 = 1;
    const KEY: u16 = 2;
    const STATE: u32 = 0;
    const BITWISE_SOURCE: u16 = 1;
    const BITWISE_DESTINATION: u16 = 2;
    const BITWISE_LENGTH: u16 = 3;
    const BITWISE_MASK: u16 = 4;
    const BITWISE_XOR: u16 = 5;
    expression(rule, "ct", |ct| {
        ct.number(DESTINATION, REGISTER);
        ct.number(KEY, STATE);
    });
    expression(rule, "bitwise", |bitwise| {
        bitwise.number(BITWISE_SOURCE, REGISTER);
        bitwise.number(BITWISE_DESTINATION, REGISTER);
        bitwise.number(BITWISE_LENGTH, 4);
        let mask = (ESTABLISHED | RELATED).to_ne_bytes();
        bitwise.nested(BITWISE_MASK, |data| data.bytes(DATA_VALUE, &mask));
        bitwise.nested(BITWISE_XOR, |data| data.bytes(DATA_VALUE, &[0; 4]));
    });
    compare(rule, NOT_EQUAL, &[0; 4]);
}

fn accepts(rule: &mut Attributes<'_>, direction: Direction, allow: &Allow, set: Option<u32>) {
    const SET: u16 = 1;
    const SOURCE: u16 = 2;
    const SET_ID: u16 = 4;
    const RANGE_SOURCE: u16 = 1;
    const RANGE_OPERATION: u16 = 2;
    const RANGE_FROM: u16 = 3;
    const RANGE_TO: u16 = 4;
    meta(rule, NETWORK_PROTOCOL);
    equal(rule, &[IPV4]);
    // Numbers of the Internet protocols, as IANA assigns them.
    let protocol = match allow.protocol {
        Protocol::All => None,
        Protocol::Icmp => Some(1),
        Protocol::Tcp => Some(6),
        Protocol::Udp => Some(17),
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
        expression(rule, "lookup", |lookup| {
            lookup.text(SET, &name(set));
            lookup.number(SOURCE, REGISTER);
            lookup.number(SET_ID, set + 1);
        });
    }
}

// ── expressions ──

const LIST_ELEMENT: u16 = 1;
const DATA_VALUE: u16 = 1;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

fn expression(rule: &mut Attributes<'_>, name: &str, data: impl FnOnce(&mut Attributes<'_>)) {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    rule.nested(LIST_ELEMENT, |element| {
        element.text(NAME, name);
        element.nested(DATA, data);
    });
}

/// Loads what is known beside the packet.
fn meta(rule: &mut Attributes<'_>, key: u32) {
    const DESTINATION: u16 = 1;
    const KEY: u16 = 2;
    expression(rule, "meta", |meta| {
        meta.number(DESTINATION, REGISTER);
        meta.number(KEY, key);
    });
}

/// Loads bytes of the packet.
fn payload(rule: &mut Attributes<'_>, base: u32, offset: u32, length: u32) {
    const DESTINATION: u16 = 1;
    const BASE: u16 = 2;
    const OFFSET: u16 = 3;
    const LENGTH: u16 = 4;
    expression(rule, "payload", |payload| {
        payload.number(DESTINATION, REGISTER);
        payload.number(BASE, base);
        payload.number(OFFSET, offset);
        payload.number(LENGTH, length);
    });
}

fn equal(rule: &mut Attributes<'_>, value: &[u8]) {
    compare(rule, EQUAL, value);
}

/// Ends the rule unless the register compares so with the value.
fn compare(rule: &mut Attributes<'_>, operation: u32, value: &[u8]) {
    const SOURCE: u16 = 1;
    const OPERATION: u16 = 2;
    const DATA: u16 = 3;
    expression(rule, "cmp", |cmp| {
        cmp.number(SOURCE, REGISTER);
        cmp.number(OPERATION, operation);
        cmp.nested(DATA, |data| data.bytes(DATA_VALUE, value));
    });
}
