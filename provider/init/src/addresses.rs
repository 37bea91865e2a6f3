//! The task's own addresses, which ECS does not reveal before the task runs.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Where a packet to the world would go: TEST-NET-1 (RFC 5737) and its IPv6 counterpart (RFC 3849), routed like any other
/// address, assigned to no host.
const WORLD: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// The addresses that the task sends from, at most one of each family, IPv4 first. Nothing is sent.
///
/// In a subnet without a route to the outside, the route to `towards` is used: the name servers, which must be reachable.
#[must_use]
pub fn addresses(towards: &[String]) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for place in WORLD.iter().copied().chain(towards.iter().map(String::as_str)) {
        let Some(address) = place.parse().ok().and_then(source) else { continue };
        if is_own(address) && !found.iter().any(|known| known.is_ipv4() == address.is_ipv4()) {
            found.push(address);
        }
    }
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// The address that the system would send from to `place`, if it has a route there.
fn source(place: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = if place.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((place, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whether other hosts can use the address as the task's: not a loopback or link-local one.
fn is_own(address: IpAddr) -> bool {
    let link = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_or_link_local_address_is_not_the_tasks_own() {
        for (address, own) in [
            ("10.0.1.7", true),
            ("127.0.0.1", false),
            ("169.254.172.2", false),
            ("0.0.0.0", false),
            ("2600::7", true),
            ("fd00::7", true),
            ("::1", false),
            ("fe80::7", false),
        ] {
            assert_eq!(is_own(address.parse().unwrap()), own, "{address}");
        }
    }

    #[test]
    fn a_place_on_this_machine_is_reached_from_itself() {
        assert_eq!(source("127.0.0.1".parse().unwrap()), Some("127.0.0.1".parse().unwrap()));
    }
}
