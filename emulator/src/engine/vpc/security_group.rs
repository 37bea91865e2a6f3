//! Security groups: what may come in and what may go out; everything else is dropped, except responses.
//!
//! Source: Amazon VPC user guide, "Security group rules": rules only allow, and are stateful.

use crate::runtime::Cidr;
pub use crate::runtime::Protocol;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    pub group_id: String,
    pub group_name: String,
    pub description: String,
    pub ingress: Vec<Permission>,
    pub egress: Vec<Permission>,
}

/// One of EC2's IpPermissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    pub protocol: Protocol,
    /// First and last port of TCP and UDP; `None` for all of them. Of ICMP: type and code are not distinguished.
    pub ports: Option<(u16, u16)>,
    pub peers: Vec<Peer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Cidr(Cidr),
    /// The members of the group of this id.
    Group(String),
}

impl SecurityGroup {
    /// As AWS creates a VPC's default group: everything in from its own members, everything out to anywhere.
    pub fn open_within_itself(group_id: &str) -> Self {
        Self {
            group_id: group_id.to_owned(),
            group_name: "default".to_owned(),
            description: "default VPC security group".to_owned(),
            ingress: vec![Permission::all(vec![Peer::Group(group_id.to_owned())])],
            egress: vec![Permission::all(vec![Peer::Cidr(Cidr::ANY)])],
        }
    }
}

impl Permission {
    /// Every protocol and port.
    pub fn all(peers: Vec<Peer>) -> Self {
        Self { protocol: Protocol::All, ports: None, peers }
    }
}
