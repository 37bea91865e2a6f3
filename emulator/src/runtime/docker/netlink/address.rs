//! Addresses on loopback, as `ip address replace` makes them (linux/if_addr.h).

use std::net::Ipv4Addr;

use super::{ACKNOWLEDGE, Batch, CREATE, REPLACE, ROUTE};

const NEW_ADDRESS: u16 = 20;

/// Attributes.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;

/// The fields of an address's head: IPv4, one address, no flags, only valid on this host.
const AF_INET: u8 = 2;
const PREFIX: u8 = 32;
const SCOPE_HOST: u8 = 254;

/// Loopback is the first interface of every namespace.
const LOOPBACK: u32 = 1;

/// Gives loopback each address.
pub(in crate::runtime::docker) fn addresses(addresses: impl IntoIterator<Item = Ipv4Addr>) -> Batch {
    let mut batch = Batch::new(ROUTE);
    for address in addresses {
        let mut head = vec![AF_INET, PREFIX, 0, SCOPE_HOST];
        head.extend(LOOPBACK.to_ne_bytes());
        batch.message(NEW_ADDRESS, ACKNOWLEDGE | CREATE | REPLACE, &head, |attributes| {
            attributes.bytes(LOCAL, &address.octets());
            attributes.bytes(ADDRESS, &address.octets());
        });
    }
    batch
}
