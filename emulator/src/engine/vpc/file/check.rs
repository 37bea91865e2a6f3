//! The checks across the parts of a file, and the VPC that it describes.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::Mistake;
use super::mistake::{cidr, mistake, one_of};
use super::rule::{Known, permission};
use super::written::{self, File, Text};
use crate::engine::vpc::{
    DhcpOptions, Network, Peer, Permission, RouteTable, SecurityGroup, Subnet, Vpc, is_resource_id,
};
use crate::runtime::{Cidr, Route};

/// Prefixes that a VPC and a subnet may have (Amazon VPC user guide, "VPC CIDR blocks").
const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

/// Name servers that DHCP options may have (EC2 API reference, CreateDhcpOptions).
const NAME_SERVERS: usize = 4;

const DEFAULT: &str = "default";
const MAIN: &str = "main";

pub(super) fn vpc(file: &File) -> Result<Vpc, Mistake> {
    let mut ids = Ids::default();
    let block = sized(&file.vpc.get_ref().cidr)?;
    let vpc_id = ids.of("vpc", None, file.vpc.get_ref().id.as_ref())?;

    let tables = route_tables(&file.route_table, block, &mut ids)?;
    let subnets = subnets(file, block, &tables, &mut ids)?;
    let security_groups = security_groups(&file.security_group, &mut ids)?;
    let dhcp_options = dhcp_options(&file.dhcp_options, &mut ids)?;
    Ok(Vpc {
        vpc_id,
        cidr: block,
        network: Network::Own,
        subnets,
        route_tables: tables.into_iter().map(|(_, table)| table).collect(),
        dhcp_options,
        security_groups,
        strict: true,
    })
}

fn subnets(
    file: &File,
    vpc: Cidr,
    tables: &[(&str, RouteTable)],
    ids: &mut Ids,
) -> Result<Vec<Subnet>, Mistake> {
    if file.subnet.is_empty() {
        return Err(mistake(&file.vpc, "the VPC has no subnet: expected at least one [[subnet]]"));
    }
    let mut subnets: Vec<(&str, Subnet)> = Vec::new();
    for written in &file.subnet {
        let written::Subnet { name, id, cidr, zone, route_table } = written;
        let subnet_id = ids.of("subnet", Some(name), id.as_ref())?;
        let block = sized(cidr)?;
        if !vpc.holds(block) {
            let message = format!("{block} lies outside the VPC: expected a block inside {vpc}");
            return Err(mistake(cidr, message));
        }
        if let Some((other, there)) = subnets.iter().find(|(_, there)| there.cidr.overlaps(block)) {
            let message = format!(
                "{block} overlaps {} of the subnet {other:?}: expected a block of its own",
                there.cidr
            );
            return Err(mistake(cidr, message));
        }
        let letter = zone.get_ref();
        if !matches!(letter.as_bytes(), [b'a'..=b'z']) {
            let message = format!("{letter:?} is no zone: expected its letter, such as \"a\"");
            return Err(mistake(zone, message));
        }
        let table = match route_table {
            None => tables.first(),
            Some(named) => {
                let found = tables.iter().find(|(name, table)| {
                    name == named.get_ref() || table.route_table_id == *named.get_ref()
                });
                let found = found.ok_or_else(|| {
                    let names = one_of(file.route_table.iter().map(|table| table.name.get_ref().as_str()));
                    let message =
                        format!("there is no route table {:?}: expected one of {names}", named.get_ref());
                    mistake(named, message)
                })?;
                Some(found)
            }
        };
        let route_table_id = table.map(|(_, table)| table.route_table_id.clone()).unwrap_or_default();
        let subnet = Subnet { subnet_id, zone: letter.clone(), cidr: block, route_table_id };
        subnets.push((name.get_ref(), subnet));
    }
    Ok(subnets.into_iter().map(|(_, subnet)| subnet).collect())
}

/// The route tables of the file by their names; if it has none, a main one with only the local route.
fn route_tables<'f>(
    written: &'f [written::RouteTable],
    vpc: Cidr,
    ids: &mut Ids,
) -> Result<Vec<(&'f str, RouteTable)>, Mistake> {
    if written.is_empty() {
        let main = RouteTable { route_table_id: derived("rtb", MAIN), routes: Vec::new() };
        return Ok(vec![(MAIN, main)]);
    }
    written
        .iter()
        .map(|table| {
            let route_table_id = ids.of("rtb", Some(&table.name), table.id.as_ref())?;
            let routes = table.routes.iter().map(|written| route(written, vpc)).collect::<Result<_, _>>()?;
            Ok((table.name.get_ref().as_str(), RouteTable { route_table_id, routes }))
        })
        .collect()
}

fn route(written: &written::Route, vpc: Cidr) -> Result<Route, Mistake> {
    let written::Route { destination, target } = written;
    let block = cidr(destination)?;
    if vpc.holds(block) {
        let message =
            format!("{block} belongs to the local route: expected a block that is not inside {vpc}");
        return Err(mistake(destination, message));
    }
    let via = address(target)?;
    if !vpc.holds(Cidr { base: via, prefix: 32 }) {
        let message = format!("the target {via} lies outside the VPC: expected an address inside {vpc}");
        return Err(mistake(target, message));
    }
    Ok(Route { destination: block, via })
}

fn dhcp_options(written: &written::DhcpOptions, ids: &mut Ids) -> Result<DhcpOptions, Mistake> {
    let written::DhcpOptions { id, domain_name_servers, domain_name } = written;
    if let Some(fifth) = domain_name_servers.get(NAME_SERVERS) {
        return Err(mistake(fifth, format!("too many name servers: expected {NAME_SERVERS} at most")));
    }
    for name in domain_name {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if name.get_ref().len() > 253 || !name.get_ref().split('.').all(is_label) {
            let message = format!("{:?}: expected a domain name such as \"corp.example\"", name.get_ref());
            return Err(mistake(name, message));
        }
    }
    Ok(DhcpOptions {
        dhcp_options_id: ids.of("dopt", None, id.as_ref())?,
        domain_name_servers: domain_name_servers.iter().map(address).collect::<Result<_, _>>()?,
        domain_names: domain_name.iter().map(|name| name.get_ref().clone()).collect(),
    })
}

/// The default one first; if the file has none, it is open within itself as AWS creates it.
fn security_groups(written: &[written::SecurityGroup], ids: &mut Ids) -> Result<Vec<SecurityGroup>, Mistake> {
    let mut known = Vec::new();
    if written.iter().all(|group| group.name.get_ref() != DEFAULT) {
        known.push(Known { name: DEFAULT, id: derived("sg", DEFAULT) });
    }
    let made = known.first().map(|default| SecurityGroup::open_within_itself(&default.id));
    for group in written {
        let id = ids.of("sg", Some(&group.name), group.id.as_ref())?;
        known.push(Known { name: group.name.get_ref(), id });
    }
    let mut groups: Vec<SecurityGroup> = made.into_iter().collect();
    for (group, known_as) in written.iter().zip(&known[groups.len()..]) {
        let permissions = |rules: &[Spanned<written::Rule>]| {
            rules.iter().map(|rule| permission(rule, &known)).collect::<Result<Vec<_>, _>>()
        };
        groups.push(SecurityGroup {
            group_id: known_as.id.clone(),
            group_name: group.name.get_ref().clone(),
            description: group.description.clone().unwrap_or_else(|| group.name.get_ref().clone()),
            ingress: permissions(&group.ingress)?,
            egress: match &group.egress {
                Some(rules) => permissions(rules)?,
                None => vec![Permission::all(vec![Peer::Cidr(Cidr::ANY)])],
            },
        });
    }
    groups.sort_by_key(|group| group.group_name != DEFAULT);
    Ok(groups)
}

/// The names and ids that were given: each once.
#[derive(Default)]
struct Ids(HashSet<String>);

impl Ids {
    /// The id of a resource: the given one, else one derived from its name (`default` if it has no name).
    fn of(&mut self, kind: &'static str, name: Option<&Text>, id: Option<&Text>) -> Result<String, Mistake> {
        let called = match kind {
            "rtb" => "route table",
            "sg" => "security group",
            other => other,
        };
        if let Some(name) = name {
            let text = name.get_ref();
            if text.is_empty() || is_resource_id(text, &format!("{kind}-")) {
                let message =
                    format!("{text:?} is no name of a {called}: expected a word, and its id by `id`");
                return Err(mistake(name, message));
            }
            if !self.0.insert(format!("{kind} {text}")) {
                let message = format!("the {called} {text:?} is defined twice: expected another name");
                return Err(mistake(name, message));
            }
        }
        let Some(given) = id else { return Ok(derived(kind, name.map_or(DEFAULT, |name| name.get_ref()))) };
        let text = given.get_ref();
        if !is_resource_id(text, &format!("{kind}-")) {
            let message = format!("{text:?} is no id: expected {kind}- and 8 or 17 hexadecimal digits");
            return Err(mistake(given, message));
        }
        if !self.0.insert(text.clone()) {
            return Err(mistake(given, format!("the id {text} is defined twice: expected another one")));
        }
        Ok(text.clone())
    }
}

/// The id that is derived from a name, the same on every machine.
fn derived(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{kind} {name}"));
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}-0{digits}")
}

/// A block that a VPC or a subnet may have.
fn sized(text: &Text) -> Result<Cidr, Mistake> {
    let block = cidr(text)?;
    if PREFIXES.contains(&block.prefix) {
        return Ok(block);
    }
    Err(mistake(text, format!("{block} has a prefix that no VPC or subnet has: expected /16 to /28")))
}

fn address(text: &Text) -> Result<Ipv4Addr, Mistake> {
    text.get_ref().parse().map_err(|_| {
        mistake(text, format!("{:?}: expected an IPv4 address such as 10.0.0.5", text.get_ref()))
    })
}
