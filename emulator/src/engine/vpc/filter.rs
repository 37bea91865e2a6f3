//! What a task lets through: its security groups' rules, with the addresses of the groups that they name. Pure.
//!
//! Tasks with the same groups have the same filter. Source: Amazon VPC user guide, "Control traffic to your AWS
//! resources using security groups".

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::{Addresses, Network, Peer, Permission, Vpc};
use crate::runtime::{Allow, Block, Cidr, Filter, Protocol, merged};

/// The live tasks and the security groups that they are members of. A task is identified by its sandbox.
#[derive(Clone, Debug, Default)]
pub struct Members {
    tasks: BTreeMap<String, Ipv4Addr>,
    groups: BTreeMap<String, BTreeMap<String, Ipv4Addr>>,
}

impl Members {
    pub fn join(&mut self, sandbox_id: &str, address: Ipv4Addr, groups: &[String]) {
        self.tasks.insert(sandbox_id.to_owned(), address);
        for group in groups {
            self.groups.entry(group.clone()).or_default().insert(sandbox_id.to_owned(), address);
        }
    }

    pub fn leave(&mut self, sandbox_id: &str) {
        self.tasks.remove(sandbox_id);
        self.groups.retain(|_, members| {
            members.remove(sandbox_id);
            !members.is_empty()
        });
    }
}

impl Vpc {
    /// The ids of the security groups that stand for those that a task names, in order, each once; the default one if
    /// it names none.
    pub fn groups(&self, named: &[String]) -> Vec<String> {
        let mut groups: Vec<String> = match named {
            [] => self.security_groups.first().into_iter().map(|group| group.group_id.clone()).collect(),
            _ => named.iter().filter_map(|id| self.security_group(id)).map(|g| g.group_id.clone()).collect(),
        };
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// The filter of a task in these groups, while these are the members.
    pub fn filter(&self, groups: &[String], members: &Members) -> Filter {
        let of_task = || self.security_groups.iter().filter(|group| groups.contains(&group.group_id));
        let ingress = of_task().flat_map(|group| &group.ingress);
        let egress = of_task().flat_map(|group| &group.egress);
        Filter {
            ingress: ingress.map(|permission| self.allow(permission, members)).collect(),
            egress: egress.map(|permission| self.allow(permission, members)).collect(),
            // The runtime's resolver stands for Amazon's, whose traffic no group filters.
            resolver: self.dhcp_options.domain_name_servers.is_empty(),
            strict: self.blocks_traffic(),
        }
    }

    /// Whether the groups may block traffic of a task: they are not just one group that is open within itself and to
    /// everywhere.
    fn blocks_traffic(&self) -> bool {
        let [group] = self.security_groups.as_slice() else { return true };
        let has = |permissions: &[Permission], peer: Peer| {
            let open = |permission: &Permission| {
                permission.protocol == Protocol::All && permission.peers.contains(&peer)
            };
            permissions.iter().any(open)
        };
        !has(&group.ingress, Peer::Group(group.group_id.clone()))
            || !has(&group.egress, Peer::Cidr(Cidr::ANY))
    }

    fn allow(&self, permission: &Permission, members: &Members) -> Allow {
        let blocks = permission.peers.iter().flat_map(|peer| match peer {
            Peer::Cidr(cidr) => vec![cidr.block()],
            Peer::Group(group_id) => self.addresses(group_id, members),
        });
        let Permission { protocol, ports, .. } = *permission;
        Allow { protocol, ports, peers: merged(blocks.collect()) }
    }

    /// The addresses of a group's members. If all tasks are members, these are all addresses that a task can have, so that
    /// no filter changes with each task that starts or ends.
    fn addresses(&self, group_id: &str, members: &Members) -> Vec<Block> {
        let group = members.groups.get(group_id);
        let count = group.map_or(0, BTreeMap::len);
        match self.network {
            // Only tasks have these addresses; on a network that is not ours, other containers may have them.
            Network::Own if count == members.tasks.len() => {
                self.subnets.iter().map(|subnet| Addresses::new(subnet.cidr).block()).collect()
            }
            _ => group.into_iter().flat_map(BTreeMap::values).map(|address| *address..=*address).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::vpc::{SECURITY_GROUP_ID, SecurityGroup};

    const WEB: &str = "sg-0000000000000000e";

    fn block(text: &str) -> Block {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        first.parse().unwrap()..=last.parse().unwrap()
    }

    fn strings(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    /// The default VPC and a group that lets in TCP 80 to 88 of the default group, and lets nothing out but ICMP.
    fn vpc() -> Vpc {
        let mut vpc = Vpc::builtin("10.0.0.0/16".parse().unwrap(), false);
        let peers = vec![Peer::Group(SECURITY_GROUP_ID.to_owned())];
        let icmp = Permission { protocol: Protocol::Icmp, ports: None, peers: vec![Peer::Cidr(Cidr::ANY)] };
        vpc.security_groups.push(SecurityGroup {
            group_id: WEB.to_owned(),
            group_name: "web".to_owned(),
            description: String::new(),
            ingress: vec![Permission { protocol: Protocol::Tcp, ports: Some((80, 88)), peers }],
            egress: vec![icmp],
        });
        vpc
    }

    /// Members by sandbox, last part of the address, and groups.
    fn members(tasks: &[(&str, u8, &[&str])]) -> Members {
        let mut members = Members::default();
        for (sandbox, last, groups) in tasks {
            members.join(sandbox, Ipv4Addr::new(10, 0, 0, *last), &strings(groups));
        }
        members
    }

    #[test]
    fn a_task_without_groups_and_one_with_an_unknown_group_are_in_the_default_one() {
        let (lenient, strict) = (vpc(), Vpc { strict: true, ..vpc() });
        for (named, expected) in [
            (&[][..], &[SECURITY_GROUP_ID][..]),
            (&["sg-12345678"], &[SECURITY_GROUP_ID]),
            (&[WEB, SECURITY_GROUP_ID, WEB], &[SECURITY_GROUP_ID, WEB]),
        ] {
            assert_eq!(lenient.groups(&strings(named)), expected, "{named:?}");
        }
        assert_eq!(
            strict.groups(&strings(&["sg-12345678"])),
            strings(&[]),
            "a group that is no longer in the VPC's description"
        );
        assert_eq!(strict.groups(&[]), [SECURITY_GROUP_ID]);
    }

    #[test]
    fn a_rule_that_names_a_group_lets_in_its_members_alone() {
        let vpc = vpc();
        let peers = |groups: &[&str], members: &Members| {
            vpc.filter(&strings(groups), members).ingress[0].peers.clone()
        };
        let two =
            members(&[("a", 4, &[SECURITY_GROUP_ID]), ("b", 6, &[SECURITY_GROUP_ID]), ("w", 5, &[WEB])]);
        assert_eq!(peers(&[WEB], &two), [block("10.0.0.4"), block("10.0.0.6")]);
        let mut one = two;
        one.leave("b");
        assert_eq!(peers(&[WEB], &one), [block("10.0.0.4")], "the address of the other has left");
        let none = members(&[("w", 5, &[WEB])]);
        assert_eq!(peers(&[WEB], &none), []);
    }

    #[test]
    fn while_all_tasks_are_in_one_group_no_filter_changes_with_them() {
        let vpc = vpc();
        let default = strings(&[SECURITY_GROUP_ID]);
        let alone = vpc.filter(&default, &Members::default());
        let tasks: Vec<(String, u8)> = (4..200).map(|last| (format!("s{last}"), last)).collect();
        let many: Vec<(&str, u8, &[&str])> =
            tasks.iter().map(|(id, last)| (id.as_str(), *last, &[SECURITY_GROUP_ID][..])).collect();
        assert_eq!(vpc.filter(&default, &members(&many)), alone);
        let everywhere = [block("10.0.0.4-10.0.63.254"), block("10.0.64.4-10.0.127.254")];
        assert_eq!(alone.ingress[0].peers, everywhere, "neither the gateway nor what AWS reserves");
        assert_eq!(alone.ingress[1].peers, [block("10.0.0.1")], "the host");

        let borrowed = Vpc { network: Network::Borrowed { name: "kind".to_owned() }, ..vpc };
        let one = borrowed.filter(&default, &members(&[("a", 4, &[SECURITY_GROUP_ID])]));
        assert_eq!(one.ingress[0].peers, [block("10.0.0.4")], "on a network with others");
    }

    #[test]
    fn the_rules_of_all_groups_add_up_and_the_resolver_is_always_reached() {
        let mut vpc = vpc();
        let both = strings(&[SECURITY_GROUP_ID, WEB]);
        let filter = vpc.filter(&both, &Members::default());
        assert_eq!(
            filter.ingress.iter().map(|allow| allow.protocol).collect::<Vec<_>>(),
            [Protocol::All, Protocol::All, Protocol::Tcp]
        );
        assert_eq!(filter.ingress[2].ports, Some((80, 88)));
        assert_eq!((filter.egress.len(), filter.resolver), (2, true));
        vpc.dhcp_options.domain_name_servers.push(Ipv4Addr::new(10, 96, 0, 10));
        let filter = vpc.filter(&strings(&[WEB]), &Members::default());
        assert_eq!(
            (filter.egress.len(), filter.resolver),
            (1, false),
            "a name server of the VPC is a peer like any other"
        );
        assert_eq!(
            filter.egress[0],
            Allow { protocol: Protocol::Icmp, ports: None, peers: vec![Cidr::ANY.block()] }
        );
    }
    #[test]
    fn a_filter_is_strict_if_a_group_blocks_traffic_of_a_task() {
        let strict = |vpc: &Vpc| vpc.filter(&strings(&[SECURITY_GROUP_ID]), &Members::default()).strict;
        let builtin = Vpc::builtin("10.0.0.0/16".parse().unwrap(), false);
        assert!(!strict(&builtin) && strict(&vpc()));
        let mut closed = builtin.clone();
        closed.security_groups[0].egress.clear();
        let mut apart = builtin;
        apart.security_groups[0].ingress.remove(0);
        assert!(strict(&closed) && strict(&apart));
    }
}
