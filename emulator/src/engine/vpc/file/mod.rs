//! `--vpc FILE`: a VPC as a person writes it, in TOML. `docs/vpc.md` describes its format.
//!
//! ```text
//! text ─▶ written (serde: the file's shape, unknown keys refused) ─▶ check (what must hold together) ─▶ Vpc
//! ```
//!
//! Every error names the file, the line, what is wrong there and what is expected.

mod check;
mod mistake;
mod rule;
mod written;

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Vpc;

/// Why a file could not be read as a VPC.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the VPC file {}", .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}: {message}", .path.display())]
    Wrong { path: PathBuf, line: usize, message: String },
}

/// Reads the file at `path`.
///
/// # Errors
/// It can't be read, or its first mistake.
pub fn read(path: &Path) -> Result<Vpc, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|mistake| Error::Wrong {
        path: path.to_owned(),
        line: mistake.line(&text),
        message: mistake.message,
    })
}

fn parse(text: &str) -> Result<Vpc, Mistake> {
    let written: written::File = toml::from_str(text)?;
    check::vpc(&written)
}

/// Something wrong, and where.
#[derive(Debug, PartialEq, Eq)]
struct Mistake {
    at: Range<usize>,
    message: String,
}

impl Mistake {
    fn line(&self, text: &str) -> usize {
        text.bytes().take(self.at.start).filter(|byte| *byte == b'\n').count() + 1
    }
}

impl From<toml::de::Error> for Mistake {
    fn from(error: toml::de::Error) -> Self {
        Self { at: error.span().unwrap_or_default(), message: error.message().trim().replace('\n', ", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::vpc::{Network, Peer, Permission, Protocol};

    const FULL: &str = include_str!("../../../../../fixtures/vpc/two-tiers.toml");
    const SMALL: &str = include_str!("../../../../../fixtures/vpc/small.toml");

    #[test]
    fn a_file_is_a_strict_vpc_of_its_own_with_the_ids_of_its_names() {
        let vpc = parse(FULL).unwrap();
        assert!(vpc.strict && vpc.network == Network::Own);
        assert_eq!(vpc.cidr.to_string(), "10.64.0.0/16");
        assert_eq!(vpc.vpc_id, "vpc-0123456789abcdef0", "an id that is given is kept");
        let ids: Vec<&str> = vpc.subnets.iter().map(|subnet| subnet.subnet_id.as_str()).collect();
        assert_eq!(ids, ["subnet-09098da77a68fc974", "subnet-0d47980c463dd8244", "subnet-0fedcba9876543210"]);
        assert_eq!(vpc, parse(FULL).unwrap(), "the same ids each time");

        let private = &vpc.subnets[1];
        let routes: Vec<String> =
            vpc.routes(private).iter().map(|route| format!("{} {}", route.destination, route.via)).collect();
        assert_eq!((private.zone.as_str(), routes), ("b", vec!["192.168.50.0/24 10.64.0.5".to_owned()]));
        assert!(vpc.routes(&vpc.subnets[0]).is_empty(), "the main route table has only the local route");
        assert_eq!(vpc.dhcp_options.domain_names, ["corp.example"]);

        let names: Vec<&str> = vpc.security_groups.iter().map(|group| group.group_name.as_str()).collect();
        assert_eq!(names, ["default", "web", "app"]);
        let (web, app) = (&vpc.security_groups[1], &vpc.security_groups[2]);
        assert_eq!(
            app.ingress[0],
            Permission {
                protocol: Protocol::Tcp,
                ports: Some((8080, 8089)),
                peers: vec![Peer::Group(web.group_id.clone())]
            }
        );
        assert_eq!(web.ingress[0].ports, Some((80, 80)));
        assert_eq!(web.egress.len(), 1, "everything goes out if `egress` is absent");
        assert!(matches!(&app.egress[..], [one] if one.protocol == Protocol::Udp));
    }

    #[test]
    fn what_is_left_out_is_as_aws_creates_it() {
        let vpc = parse(SMALL).unwrap();
        let group = &vpc.security_groups[0];
        assert_eq!((group.group_name.as_str(), vpc.security_groups.len()), ("default", 1));
        assert_eq!(group.ingress, [Permission::all(vec![Peer::Group(group.group_id.clone())])]);
        assert_eq!((vpc.route_tables.len(), vpc.dhcp_options.domain_name_servers.len()), (1, 0));
    }

    /// Each: the text of the file, and the line and words of the error.
    #[test]
    fn a_mistake_is_reported_with_its_line_and_what_is_expected() {
        let subnet = "[[subnet]]\nname = \"s\"\ncidr = \"10.0.0.0/24\"\nzone = \"a\"\n";
        let group = "[[security-group]]\nname = \"g\"\n";
        for (text, line, words) in [
            ("", 1, "missing field `vpc`"),
            ("[vpc\n", 1, "unclosed table"),
            ("[vpc]\ncidr = \"10.0.0.0/16\"\n", 1, "at least one [[subnet]]"),
            ("[vpc]\ncidr = 10\n", 2, "expected a string"),
            ("[vpc]\ncidr = \"10.0.0.0\"\n", 2, "an IPv4 block such as 10.0.0.0/16"),
            ("[vpc]\ncidr = \"10.0.0.0/8\"\n", 2, "expected /16 to /28"),
            ("[vpc]\ncidr = \"10.0.0.0/29\"\n", 2, "expected /16 to /28"),
            ("[vpc]\ncidr = \"10.0.1.0/16\"\n", 2, "expected 10.0.0.0/16"),
            ("[vpc]\ncidr = \"10.0.0.0/16\"\ntenancy = \"x\"\n", 3, "unknown field `tenancy`"),
            ("[vpc]\ncidr = \"10.0.0.0/16\"\nid = \"vpc-1\"\n", 3, "vpc- and 8 or 17 hexadecimal digits"),
            ("SUBNET\n[[subnets]]\n", 9, "unknown field `subnets`"),
            (
                "SUBNET\n[[subnet]]\nname = \"s\"\ncidr = \"10.0.1.0/24\"\nzone = \"a\"\n",
                10,
                "the subnet \"s\" is defined twice",
            ),
            (
                "SUBNET\n[[subnet]]\nname = \"t\"\ncidr = \"10.0.0.128/25\"\nzone = \"a\"\n",
                11,
                "overlaps 10.0.0.0/24 of the subnet \"s\"",
            ),
            (
                "SUBNET\n[[subnet]]\nname = \"t\"\ncidr = \"10.1.0.0/24\"\nzone = \"a\"\n",
                11,
                "lies outside the VPC: expected a block inside 10.0.0.0/16",
            ),
            (
                "SUBNET\n[[subnet]]\nname = \"t\"\ncidr = \"10.0.1.0/29\"\nzone = \"a\"\n",
                11,
                "expected /16 to /28",
            ),
            (
                "SUBNET\n[[subnet]]\nname = \"t\"\ncidr = \"10.0.1.0/24\"\nzone = \"us-east-1a\"\n",
                12,
                "expected its letter, such as \"a\"",
            ),
            (
                "SUBNET\n[[subnet]]\nname = \"t\"\ncidr = \"10.0.1.0/24\"\nzone = \"a\"\nroute-table = \"r\"\n",
                13,
                "no route table \"r\": expected one of none",
            ),
            (
                "SUBNET\n[[route-table]]\nname = \"r\"\nroutes = [{ destination = \"10.96.0.0/16\", target = \"10.1.0.5\" }]\n",
                11,
                "expected an address inside 10.0.0.0/16",
            ),
            (
                "SUBNET\n[[route-table]]\nname = \"r\"\nroutes = [\n  { destination = \"10.0.3.0/24\", target = \"10.0.0.5\" },\n]\n",
                12,
                "the local route",
            ),
            ("SUBNET\n[dhcp-options]\ndomain-name-servers = [\"one\"]\n", 10, "an IPv4 address"),
            ("SUBNET\n[dhcp-options]\ndomain-name = [\"a b\"]\n", 10, "a domain name"),
            (
                "SUBNET\nGROUPingress = [{ protocol = \"sctp\", cidr = \"0.0.0.0/0\" }]\n",
                11,
                "expected tcp, udp, icmp or all",
            ),
            (
                "SUBNET\nGROUPingress = [{ protocol = \"tcp\", port = 70000, cidr = \"0.0.0.0/0\" }]\n",
                11,
                "a port from 0 to 65535",
            ),
            (
                "SUBNET\nGROUPingress = [{ protocol = \"tcp\", port = \"90-80\", cidr = \"0.0.0.0/0\" }]\n",
                11,
                "a range such as \"8000-8099\"",
            ),
            (
                "SUBNET\nGROUPingress = [{ protocol = \"icmp\", port = 1, cidr = \"0.0.0.0/0\" }]\n",
                11,
                "only tcp and udp have ports",
            ),
            ("SUBNET\nGROUPingress = [{ protocol = \"all\" }]\n", 11, "expected either cidr or group"),
            (
                "SUBNET\nGROUPegress = [{ protocol = \"all\", group = \"h\" }]\n",
                11,
                "no security group \"h\": expected one of \"default\", \"g\"",
            ),
            (
                "SUBNET\nGROUPingress = [{ protocol = \"all\", cidr = \"10.0.0.1/24\" }]\n",
                11,
                "expected 10.0.0.0/24",
            ),
            ("SUBNET\nGROUP\nGROUP", 13, "the security group \"g\" is defined twice"),
            (
                "SUBNET\nGROUPid = \"sg-11111111\"\n[[security-group]]\nname = \"h\"\nid = \"sg-11111111\"\n",
                14,
                "the id sg-11111111 is defined twice",
            ),
        ] {
            let vpc = format!("[vpc]\ncidr = \"10.0.0.0/16\"\n\n{subnet}");
            let text = text.replace("SUBNET", &vpc).replace("GROUP", group);
            let mistake = parse(&text).unwrap_err();
            let reported = format!("{}: {}", mistake.line(&text), mistake.message);
            assert!(
                reported.starts_with(&format!("{line}: ")) && reported.contains(words),
                "{text}\n{reported}\nnot {line}: {words}"
            );
        }
    }

    #[test]
    fn a_file_is_named_in_its_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vpc.toml");
        assert!(read(&path).unwrap_err().to_string().contains("vpc.toml"));
        std::fs::write(&path, "[vpc]\ncidr = \"10.0.0.0/8\"\n").unwrap();
        let reported = read(&path).unwrap_err().to_string();
        assert!(reported.starts_with(&format!("{}:2: ", path.display())), "{reported}");
    }
}
