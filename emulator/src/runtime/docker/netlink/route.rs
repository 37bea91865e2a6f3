//! Routes, as `ip route replace` makes them (linux/rtnetlink.h).

use super::{ACKNOWLEDGE, Batch, CREATE, REPLACE, ROUTE};
use crate::runtime::Route;

const NEW_ROUTE: u16 = 24;

/// Attributes.
const DESTINATION: u16 = 1;
const GATEWAY: u16 = 5;

/// The fields of a route's head: IPv4, the main table, set by an administrator, global scope, unicast.
const AF_INET: u8 = 2;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_UNIVERSE: u8 = 0;
const TYPE_UNICAST: u8 = 1;

/// Sets each route, and replaces an existing one to the same destination.
pub(in crate::runtime::docker) fn routes(routes: &[Route]) -> Batch {
    let mut batch = Batch::new(ROUTE);
    for Route { destination, via } in routes {
        let head = [
            AF_INET,
            destination.prefix,
            0,
            0,
            TABLE_MAIN,
            PROTOCOL_STATIC,
            SCOPE_UNIVERSE,
            TYPE_UNICAST,
            0,
            0,
            0,
            0,
        ];
        batch.message(NEW_ROUTE, ACKNOWLEDGE | CREATE | REPLACE, &head, |attributes| {
            // The kernel refuses a destination with bits beyond its prefix.
            attributes.bytes(DESTINATION, &destination.block().start().octets());
            attributes.bytes(GATEWAY, &via.octets());
        });
    }
    batch
}
