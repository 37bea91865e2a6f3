//! The rules of a security group: protocol, ports, and one peer each.

use toml::Spanned;

use super::Mistake;
use super::mistake::{cidr, mistake, one_of};
use super::written::{Port, Rule};
use crate::engine::vpc::{Peer, Permission, Protocol};

/// A group that rules may name, by its name or its id.
pub(super) struct Known<'f> {
    pub(super) name: &'f str,
    pub(super) id: String,
}

pub(super) fn permission(rule: &Spanned<Rule>, groups: &[Known<'_>]) -> Result<Permission, Mistake> {
    let Rule { protocol, port, cidr: block, group } = rule.get_ref();
    let protocol = match protocol.get_ref().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        "all" => Protocol::All,
        other => {
            let message = format!("{other:?} is no protocol: expected tcp, udp, icmp or all");
            return Err(mistake(protocol, message));
        }
    };
    let ports = port.as_ref().map(ports).transpose()?;
    if let Some(port) = port
        && !matches!(protocol, Protocol::Tcp | Protocol::Udp)
    {
        return Err(mistake(port, "only tcp and udp have ports: expected no port here"));
    }
    let peer = match (block, group) {
        (Some(block), None) => Peer::Cidr(cidr(block)?),
        (None, Some(group)) => {
            let named = group.get_ref();
            let found = groups.iter().find(|known| known.name == named || known.id == *named);
            let found = found.ok_or_else(|| {
                let names = one_of(groups.iter().map(|known| known.name));
                mistake(group, format!("there is no security group {named:?}: expected one of {names}"))
            })?;
            Peer::Group(found.id.clone())
        }
        _ => return Err(mistake(rule, "a rule has one peer: expected either cidr or group")),
    };
    Ok(Permission { protocol, ports, peers: vec![peer] })
}

fn ports(port: &Spanned<Port>) -> Result<(u16, u16), Mistake> {
    let ports = match port.get_ref() {
        Port::One(port) => u16::try_from(*port).ok().map(|port| (port, port)),
        Port::Range(range) => range
            .split_once('-')
            .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)))
            .filter(|(first, last)| first <= last),
    };
    ports.ok_or_else(|| mistake(port, "expected a port from 0 to 65535, or a range such as \"8000-8099\""))
}
