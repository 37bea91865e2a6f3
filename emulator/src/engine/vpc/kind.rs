//! The VPC around a kind cluster: tasks are neighbours of its nodes and reach its Services and pods through one of them.

use std::net::Ipv4Addr;

use super::builtin::{DHCP_OPTIONS_ID, ROUTE_TABLE_ID, SECURITY_GROUP_ID, SUBNETS, VPC_ID};
use super::{DhcpOptions, Network, Peer, Permission, RouteTable, SecurityGroup, Subnet, Vpc};
use crate::runtime::kind::Cluster;
use crate::runtime::{Cidr, Route};

/// CoreDNS's Service has the tenth address of the service range (kubeadm `GetDNSIP`, cmd/kubeadm/app/constants).
const COREDNS: u32 = 10;

impl Vpc {
    /// One subnet, the nodes' network. Its default security group is open within itself, and to the nodes, the pods and the
    /// host, as the cluster security group of EKS is to its control plane and nodes.
    pub fn around_kind(cluster: &Cluster, strict: bool) -> Self {
        let Cluster { network, cidr, gateway, nodes, networking } = cluster;
        let (zone_id, zone) = SUBNETS[0];
        let routes = nodes.first().into_iter().flat_map(|&via| {
            [networking.service_range, networking.pod_range].map(|destination| Route { destination, via })
        });
        let host = |address| Peer::Cidr(Cidr { base: address, prefix: 32 });
        let mut trusted: Vec<Peer> = nodes.iter().chain([gateway]).copied().map(host).collect();
        trusted.push(Peer::Cidr(networking.pod_range));
        let mut group = SecurityGroup::open_within_itself(SECURITY_GROUP_ID);
        group.ingress.push(Permission::all(trusted));
        let domain = &networking.dns_domain;
        Self {
            vpc_id: VPC_ID.to_owned(),
            cidr: *cidr,
            network: Network::Borrowed { name: network.clone() },
            subnets: vec![Subnet {
                subnet_id: zone_id.to_owned(),
                zone: zone.to_owned(),
                cidr: *cidr,
                route_table_id: ROUTE_TABLE_ID.to_owned(),
            }],
            route_tables: vec![RouteTable {
                route_table_id: ROUTE_TABLE_ID.to_owned(),
                routes: routes.collect(),
            }],
            dhcp_options: DhcpOptions {
                dhcp_options_id: DHCP_OPTIONS_ID.to_owned(),
                domain_name_servers: vec![Ipv4Addr::from(u32::from(networking.service_range.base) + COREDNS)],
                domain_names: vec![format!("svc.{domain}"), domain.clone()],
            },
            security_groups: vec![group],
            strict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::kind::Networking;

    #[test]
    fn services_and_pods_are_behind_the_control_plane_and_may_respond() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        let node = Ipv4Addr::new(172, 18, 0, 3);
        let cluster = Cluster {
            network: "kind".to_owned(),
            cidr: cidr("172.18.0.0/16"),
            gateway: Ipv4Addr::new(172, 18, 0, 1),
            nodes: vec![node, Ipv4Addr::new(172, 18, 0, 2)],
            networking: Networking {
                service_range: cidr("10.96.0.0/16"),
                pod_range: cidr("10.244.0.0/16"),
                dns_domain: "cluster.local".to_owned(),
            },
        };
        let vpc = Vpc::around_kind(&cluster, false);
        assert_eq!(vpc.network, Network::Borrowed { name: "kind".to_owned() });
        let subnet = vpc.subnet("subnet-0000000000000000a").unwrap();
        assert_eq!(subnet.cidr, cluster.cidr);
        let routes = vpc.routes(subnet).iter().map(|route| (route.destination.to_string(), route.via));
        assert_eq!(
            routes.collect::<Vec<_>>(),
            [("10.96.0.0/16".to_owned(), node), ("10.244.0.0/16".to_owned(), node)]
        );
        assert_eq!(vpc.dhcp_options.domain_name_servers, [Ipv4Addr::new(10, 96, 0, 10)]);
        assert_eq!(vpc.dhcp_options.domain_names, ["svc.cluster.local", "cluster.local"]);
        let peers: Vec<Peer> =
            vpc.security_groups[0].ingress.iter().flat_map(|rule| rule.peers.clone()).collect();
        let expected = ["172.18.0.3/32", "172.18.0.2/32", "172.18.0.1/32", "10.244.0.0/16"]
            .map(|block| Peer::Cidr(cidr(block)));
        assert_eq!(peers[0], Peer::Group(SECURITY_GROUP_ID.to_owned()));
        assert_eq!(peers[1..], expected);
    }
}
