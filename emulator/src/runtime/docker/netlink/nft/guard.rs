//! Enforces a task's filter on its raw sockets: it checks all that leaves the interface, from any socket.
//!
//! ```text
//! table netdev neargate {
//!     chain wire {
//!         type filter hook egress device "eth0" priority filter; policy drop;
//!         ether saddr OWN ether type ip ip saddr OWN meta rtclassid != 0xffffffff accept
//!         ether saddr OWN ether type arp arp saddr ether OWN arp saddr ip OWN accept
//!     }
//! }
//! ```
//!
//! A packet socket's frames bypass the hooks of IP, and so [`super::filter`]. A packet that passed these hooks was routed and
//! so has a route, and only then `rtclassid` can be read, with any value. So only packets that the filter has accepted leave,
//! and only from this interface's own addresses. The filters of other sandboxes can therefore trust the source address.
//!
//! Fields are read from the start of the frame, because a packet socket can set the position of the network header itself.
//! The hook exists since Linux 5.16.

use super::super::Batch;
use super::{
    Hook, Interface, LINK_HEADER, NETDEV, NOT_EQUAL, ROUTE_CLASS, Table, compare, equal, meta, payload,
};

const CHAIN: &str = "wire";

/// `NF_NETDEV_EGRESS`.
const EGRESS: u32 = 1;

/// In a frame: the sender, and the type that follows it (IEEE 802.3).
const ETHERNET_SOURCE: u32 = 6;
const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_ARP: [u8; 2] = [0x08, 0x06];
/// The source address in the IPv4 header after it.
const IPV4_SOURCE: u32 = 14 + 12;
/// The sender's addresses in the ARP packet after it, one after the other (RFC 826).
const ARP_SENDER: u32 = 14 + 8;

pub(in crate::runtime::docker) fn guard(interface: &Interface) -> Batch {
    let Interface { name, mac_address, address } = interface;
    let mut table = Table::new(NETDEV);
    let hook = Hook { kind: "filter", number: EGRESS, priority: 0, device: Some(name), drops: true };
    table.chain(CHAIN, &hook);
    let frame = |kind: [u8; 2]| [mac_address.as_slice(), &kind].concat();
    table.accept(CHAIN, |rule| {
        payload(rule, LINK_HEADER, ETHERNET_SOURCE, 8);
        equal(rule, &frame(TYPE_IPV4));
        payload(rule, LINK_HEADER, IPV4_SOURCE, 4);
        equal(rule, &address.octets());
        meta(rule, ROUTE_CLASS);
        compare(rule, NOT_EQUAL, &[0xff; 4]);
    });
    table.accept(CHAIN, |rule| {
        payload(rule, LINK_HEADER, ETHERNET_SOURCE, 8);
        equal(rule, &frame(TYPE_ARP));
        payload(rule, LINK_HEADER, ARP_SENDER, 10);
        equal(rule, &[mac_address.as_slice(), &address.octets()].concat());
    });
    table.end()
}
