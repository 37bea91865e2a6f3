//! Packet filters in the form of nf_tables (linux/netfilter/nf_tables.h): the task's rules in [`filter`], their enforcement on
//! raw sockets in [`guard`], and the redirection to the emulator in [`inward`]. `nft list ruleset` in a sandbox shows all
//! three.
//!
//! Each is a table that is replaced completely in one batch. The kernel applies a batch atomically, so no packet is checked
//! by a part of it.

mod filter;
mod guard;
mod inward;

use std::net::Ipv4Addr;

pub(in crate::runtime::docker) use self::filter::filter;
pub(in crate::runtime::docker) use self::guard::guard;
pub(in crate::runtime::docker) use self::inward::{inward, port};
use super::{ACKNOWLEDGE, Attributes, Batch, CREATE, NETFILTER};

/// The interface of a sandbox on its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime::docker) struct Interface {
    /// `eth0`.
    pub(in crate::runtime::docker) name: String,
    pub(in crate::runtime::docker) mac_address: [u8; 6],
    pub(in crate::runtime::docker) address: Ipv4Addr,
}

const TABLE: &str = "neargate";

/// Kinds of messages: the subsystem in the upper byte (linux/netfilter/nfnetlink.h).
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;

/// A rule is added after the existing ones.
const APPEND: u16 = 0x800;

/// Address families: none, IPv4 and IPv6 in one table, only IPv4, a device's own packets.
const UNSPECIFIED: u8 = 0;
const INET: u8 = 1;
const IPV4: u8 = 2;
const NETDEV: u8 = 5;

/// Numbers of the Internet protocols, as IANA assigns them.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Loopback's name, in the length that the kernel compares.
const LOOPBACK: [u8; 16] = *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A table that replaces the existing one, in one batch.
struct Table {
    batch: Batch,
    family: u8,
}

/// Where a chain is called: a hook of its family, on one device if the family is of devices.
struct Hook<'a> {
    kind: &'static str,
    number: u32,
    priority: i32,
    device: Option<&'a str>,
    drops: bool,
}

impl Table {
    fn new(family: u8) -> Self {
        let mut batch = Batch::new(NETFILTER);
        batch.message(BATCH_BEGIN, 0, &head(UNSPECIFIED, SUBSYSTEM), |_| {});
        let mut table = Self { batch, family };
        // Created first, so that the deletion succeeds also if it did not exist.
        table.message(NEW_TABLE, CREATE, |_| {});
        table.message(DELETE_TABLE, 0, |_| {});
        table.message(NEW_TABLE, CREATE, |_| {});
        table
    }

    fn end(mut self) -> Batch {
        self.batch.message(BATCH_END, 0, &head(UNSPECIFIED, SUBSYSTEM), |_| {});
        self.batch
    }

    /// A message about the table, or about `what` in it: its name is the first attribute of every kind.
    fn message(&mut self, kind: u16, flags: u16, what: impl FnOnce(&mut Attributes<'_>)) {
        const TABLE_NAME: u16 = 1;
        self.batch.message(kind, flags, &head(self.family, 0), |message| {
            message.text(TABLE_NAME, TABLE);
            what(message);
        });
    }

    /// Requests an acknowledgement: the kernel sends no other response for a batch without an error.
    fn chain(&mut self, name: &str, at: &Hook<'_>) {
        const NAME: u16 = 3;
        const HOOK: u16 = 4;
        const HOOK_NUMBER: u16 = 1;
        const HOOK_PRIORITY: u16 = 2;
        const HOOK_DEVICE: u16 = 3;
        const POLICY: u16 = 5;
        const TYPE: u16 = 7;
        const DROP: u32 = 0;
        const ACCEPT: u32 = 1;
        self.message(NEW_CHAIN, CREATE | ACKNOWLEDGE, |chain| {
            chain.text(NAME, name);
            chain.nested(HOOK, |hook| {
                hook.number(HOOK_NUMBER, at.number);
                hook.bytes(HOOK_PRIORITY, &at.priority.to_be_bytes());
                if let Some(device) = at.device {
                    hook.text(HOOK_DEVICE, device);
                }
            });
            chain.number(POLICY, if at.drops { DROP } else { ACCEPT });
            chain.text(TYPE, at.kind);
        });
    }

    /// A rule that accepts the packets that meet its conditions.
    fn accept(&mut self, chain: &str, conditions: impl FnOnce(&mut Attributes<'_>)) {
        const DESTINATION: u16 = 1;
        const DATA: u16 = 2;
        const VERDICT: u16 = 2;
        const CODE: u16 = 1;
        const VERDICT_REGISTER: u32 = 0;
        const ACCEPT: u32 = 1;
        self.rule(chain, |rule| {
            conditions(rule);
            expression(rule, "immediate", |immediate| {
                immediate.number(DESTINATION, VERDICT_REGISTER);
                immediate.nested(DATA, |data| {
                    data.nested(VERDICT, |verdict| verdict.number(CODE, ACCEPT));
                });
            });
        });
    }

    fn rule(&mut self, chain: &str, expressions: impl FnOnce(&mut Attributes<'_>)) {
        const CHAIN: u16 = 2;
        const EXPRESSIONS: u16 = 4;
        self.message(NEW_RULE, CREATE | APPEND, |rule| {
            rule.text(CHAIN, chain);
            rule.nested(EXPRESSIONS, expressions);
        });
    }
}

/// nfnetlink's own header: family, version 0, and the resource id, in network byte order.
fn head(family: u8, resource: u16) -> [u8; 4] {
    let [upper, lower] = resource.to_be_bytes();
    [family, 0, upper, lower]
}

// ── expressions ──

/// The first register; values are loaded there and compared.
const REGISTER: u32 = 1;

const LIST_ELEMENT: u16 = 1;
const DATA_VALUE: u16 = 1;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

/// The start of a payload.
const LINK_HEADER: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// In an IPv4 header.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;

/// Keys of `meta`.
const IN_INTERFACE_NAME: u32 = 6;
const OUT_INTERFACE_NAME: u32 = 7;
const ROUTE_CLASS: u32 = 13;
const NETWORK_PROTOCOL: u32 = 15;
const TRANSPORT_PROTOCOL: u32 = 16;

fn expression(rule: &mut Attributes<'_>, name: &str, data: impl FnOnce(&mut Attributes<'_>)) {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    rule.nested(LIST_ELEMENT, |element| {
        element.text(NAME, name);
        element.nested(DATA, data);
    });
}

/// An expression with only numbers as data.
fn numbers(rule: &mut Attributes<'_>, name: &str, data: &[(u16, u32)]) {
    expression(rule, name, |attributes| {
        for (kind, number) in data {
            attributes.number(*kind, *number);
        }
    });
}

/// Loads metadata of the packet.
fn meta(rule: &mut Attributes<'_>, key: u32) {
    const DESTINATION: u16 = 1;
    const KEY: u16 = 2;
    numbers(rule, "meta", &[(DESTINATION, REGISTER), (KEY, key)]);
}

/// Loads bytes of the packet.
fn payload(rule: &mut Attributes<'_>, base: u32, offset: u32, length: u32) {
    const DESTINATION: u16 = 1;
    const BASE: u16 = 2;
    const OFFSET: u16 = 3;
    const LENGTH: u16 = 4;
    let data = [(DESTINATION, REGISTER), (BASE, base), (OFFSET, offset), (LENGTH, length)];
    numbers(rule, "payload", &data);
}

/// Masks the four bytes in the register with these bits.
fn mask(rule: &mut Attributes<'_>, bits: [u8; 4]) {
    const SOURCE: u16 = 1;
    const DESTINATION: u16 = 2;
    const LENGTH: u16 = 3;
    const MASK: u16 = 4;
    const XOR: u16 = 5;
    expression(rule, "bitwise", |bitwise| {
        bitwise.number(SOURCE, REGISTER);
        bitwise.number(DESTINATION, REGISTER);
        bitwise.number(LENGTH, 4);
        bitwise.nested(MASK, |data| data.bytes(DATA_VALUE, &bits));
        bitwise.nested(XOR, |data| data.bytes(DATA_VALUE, &[0; 4]));
    });
}

fn equal(rule: &mut Attributes<'_>, value: &[u8]) {
    compare(rule, EQUAL, value);
}

/// Ends the rule unless the comparison of the register with the value is true.
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
