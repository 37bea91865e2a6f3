//! The shape of the file: tables and keys, named as EC2 names them. [`super::check`] checks how they fit together.

use serde::Deserialize;
use toml::Spanned;

/// Text with its place in the file.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct File {
    pub(super) vpc: Spanned<Vpc>,
    #[serde(default)]
    pub(super) subnet: Vec<Subnet>,
    /// The first is the main one.
    #[serde(default)]
    pub(super) route_table: Vec<RouteTable>,
    #[serde(default)]
    pub(super) dhcp_options: DhcpOptions,
    #[serde(default)]
    pub(super) security_group: Vec<SecurityGroup>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Vpc {
    pub(super) cidr: Text,
    pub(super) id: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Subnet {
    pub(super) name: Text,
    pub(super) id: Option<Text>,
    pub(super) cidr: Text,
    pub(super) zone: Text,
    /// The main one if absent.
    pub(super) route_table: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RouteTable {
    pub(super) name: Text,
    pub(super) id: Option<Text>,
    #[serde(default)]
    pub(super) routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Route {
    pub(super) destination: Text,
    pub(super) target: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct DhcpOptions {
    pub(super) id: Option<Text>,
    #[serde(default)]
    pub(super) domain_name_servers: Vec<Text>,
    #[serde(default)]
    pub(super) domain_name: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SecurityGroup {
    pub(super) name: Text,
    pub(super) id: Option<Text>,
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) ingress: Vec<Spanned<Rule>>,
    /// Everything to everywhere if absent, as AWS creates a group.
    pub(super) egress: Option<Vec<Spanned<Rule>>>,
}

/// One peer per rule, as in EC2's SecurityGroupRule.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) protocol: Text,
    pub(super) port: Option<Spanned<Port>>,
    pub(super) cidr: Option<Text>,
    /// A group's name or id.
    pub(super) group: Option<Text>,
}

/// `80` or `"8000-8099"`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a port from 0 to 65535, or a range such as \"8000-8099\"")]
pub(super) enum Port {
    One(i64),
    Range(String),
}
