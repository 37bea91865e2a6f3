//! Redirects a task's connections to the sandbox's program, which forwards them to the emulator.
//!
//! ```text
//! table ip neargate {
//!     chain inward {
//!         type nat hook output priority dstnat; policy accept;
//!         ip daddr 169.254.170.2 tcp dport 80 dnat to :61170
//!     }
//! }
//! ```
//!
//! The program listens on other ports: if it used port 80 of one address, a task could not listen on port 80 of all its
//! addresses.

use super::super::{Attributes, Batch};
use super::{
    DATA_VALUE, DESTINATION, Hook, IPV4, NETWORK_HEADER, REGISTER, TCP, TRANSPORT_HEADER, TRANSPORT_PROTOCOL,
    Table, equal, expression, meta, numbers, payload,
};
use crate::runtime::Inward;

const CHAIN: &str = "inward";

/// `NF_INET_LOCAL_OUT`, at the priority of destination NAT.
const OUTPUT: u32 = 3;
const PRIORITY: i32 = -100;

/// Above the ports that the kernel assigns to connections itself (`net.ipv4.ip_local_port_range`: to 60999).
const FIRST_PORT: u16 = 61_170;

/// The port on which the program listens for it.
pub(in crate::runtime::docker) fn port(of: Inward) -> u16 {
    let number = Inward::ALL.iter().zip(FIRST_PORT..).find(|(inward, _)| **inward == of);
    number.map_or(FIRST_PORT, |(_, port)| port)
}

pub(in crate::runtime::docker) fn inward() -> Batch {
    let mut table = Table::new(IPV4);
    let hook = Hook { kind: "nat", number: OUTPUT, priority: PRIORITY, device: None, drops: false };
    table.chain(CHAIN, &hook);
    for to in Inward::ALL {
        table.rule(CHAIN, |rule| {
            payload(rule, NETWORK_HEADER, DESTINATION, 4);
            equal(rule, &to.address().ip().octets());
            meta(rule, TRANSPORT_PROTOCOL);
            equal(rule, &[TCP]);
            payload(rule, TRANSPORT_HEADER, 2, 2);
            equal(rule, &to.address().port().to_be_bytes());
            destination_port(rule, port(to));
        });
    }
    table.end()
}

fn destination_port(rule: &mut Attributes<'_>, port: u16) {
    const IMMEDIATE_DESTINATION: u16 = 1;
    const IMMEDIATE_DATA: u16 = 2;
    const NAT_TYPE: u16 = 1;
    const NAT_FAMILY: u16 = 2;
    const NAT_PORT: u16 = 5;
    const DESTINATION_NAT: u32 = 1;
    expression(rule, "immediate", |immediate| {
        immediate.number(IMMEDIATE_DESTINATION, REGISTER);
        immediate.nested(IMMEDIATE_DATA, |data| data.bytes(DATA_VALUE, &port.to_be_bytes()));
    });
    let data = [(NAT_TYPE, DESTINATION_NAT), (NAT_FAMILY, u32::from(IPV4)), (NAT_PORT, REGISTER)];
    numbers(rule, "nat", &data);
}
