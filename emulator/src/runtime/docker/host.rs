//! The IPv4 blocks that this host uses already: its routes and its interfaces' addresses.

use std::net::Ipv4Addr;

use crate::runtime::Cidr;

/// The blocks of the main routing table and the local addresses; empty if `/proc` does not have them.
pub(crate) fn blocks() -> Vec<Cidr> {
    let mut blocks = routes(&std::fs::read_to_string("/proc/net/route").unwrap_or_default());
    blocks.extend(addresses(&std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default()));
    blocks
}

/// `/proc/net/route`: the second column is the destination and the eighth the mask, in hexadecimal, in the byte
/// order of the machine. The default route covers all addresses, and so is ignored.
fn routes(text: &str) -> Vec<Cidr> {
    let number = |text: &str| {
        u32::from_str_radix(text, 16).ok().map(|number| u32::from_be_bytes(number.to_ne_bytes()))
    };
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let destination = number(columns.get(1)?)?;
            let prefix = u8::try_from(number(columns.get(7)?)?.count_ones()).ok()?;
            (prefix > 0).then_some(Cidr { base: Ipv4Addr::from(destination), prefix })
        })
        .collect()
}

/// `/proc/net/fib_trie`: a leaf `|-- ADDRESS` is followed by its entries, and `/32 host LOCAL` is an address of an
/// interface, which may have no route of its own (a tunnel's).
fn addresses(text: &str) -> Vec<Cidr> {
    let mut leaf = None;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(base) = leaf
            && !base.is_loopback()
        {
            found.push(Cidr { base, prefix: 32 });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_read_without_the_default_route() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                    eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(routes(text), [cidr("172.17.0.0/16"), cidr("192.0.2.0/24")]);
    }

    #[test]
    fn addresses_are_the_local_leaves_except_loopback() {
        let text = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.8.0.6\n        /32 host LOCAL\n     |-- 127.0.0.1\n        \
                    /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(addresses(text), [cidr("10.8.0.6/32")]);
    }
}
