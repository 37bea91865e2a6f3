//! A layer becomes typed options: parsed, checked, and completed with the defaults that the help names.

use std::net::{IpAddr, UdpSocket};

use k8s_openapi::{api::core::v1::Taint, apimachinery::pkg::api::resource::Quantity};

use super::{
    Amount, Architecture, Capacity, Certificate, Error, Fargate, Init, Kubelet, Layer, List, Options,
    Registration,
};
use crate::{nodes::Node, quantity};

impl TryFrom<Layer> for Options {
    type Error = Error;

    fn try_from(layer: Layer) -> Result<Self, Error> {
        let Layer {
            kubeconfig,
            node_name,
            node_ip,
            node_labels,
            node_taints,
            cpu,
            memory,
            storage,
            pods,
            region,
            cluster,
            subnets,
            security_groups,
            assign_public_ip,
            execution_role_arn,
            task_role_arn,
            log_group,
            platform_version,
            architecture,
            deletion_cost,
            init_image,
            cluster_dns,
            cluster_domain,
            kubelet_address,
            kubelet_port,
            tls_cert_file,
            tls_private_key_file,
            client_ca_file,
            operating_system,
        } = layer;
        if let Some(value) = operating_system.filter(|system| !system.eq_ignore_ascii_case("linux")) {
            return Err(Error::Invalid { option: "OperatingSystem", value, expected: "Linux" });
        }
        let node = Node {
            name: domain(
                "--node-name",
                node_name,
                "fargate",
                "a node name (lower-case letters, digits, '-' and '.')",
            )?,
            ip: match node_ip {
                Some(ip) => address("--node-ip", ip)?,
                None => default_route_address().map_err(Error::NoAddress)?,
            },
        };
        let taints = node_taints.unwrap_or_else(|| "virtual-kubelet.io/provider=aws:NoSchedule".into());
        let registration = Registration {
            labels: items(node_labels).into_iter().map(label).collect::<Result<_, _>>()?,
            taints: taints.0.into_iter().map(taint).collect::<Result<_, _>>()?,
            capacity: Capacity {
                cpu: amount("--cpu", cpu, "20")?,
                memory: amount("--memory", memory, "40Gi")?,
                storage: amount("--storage", storage, "400Gi")?,
                pods: amount("--pods", pods, "20")?,
            },
        };

        if log_group.is_some() && execution_role_arn.is_none() {
            let why = "with --log-group, Fargate writes the logs with this role";
            return Err(Error::Missing { option: "--execution-role-arn", why });
        }
        let cluster_dns = items(cluster_dns).into_iter().map(|dns| address("--cluster-dns", dns));
        let cluster_dns = cluster_dns.collect::<Result<_, _>>()?;
        let cluster_domain = domain(
            "--cluster-domain",
            cluster_domain,
            "cluster.local",
            "a DNS domain (lower-case letters, digits, '-' and '.')",
        )?;
        let fargate = Fargate {
            region,
            cluster: cluster.unwrap_or_else(|| "default".to_owned()),
            subnets: subnet_ids(items(subnets))?,
            security_groups: at_most("--security-groups", items(security_groups), 5, "at most 5 groups")?,
            assign_public_ip: assign_public_ip.unwrap_or(false),
            execution_role_arn,
            task_role_arn,
            log_group,
            platform_version: platform_version.unwrap_or_else(|| "LATEST".to_owned()),
            architecture: architecture.map_or(Ok(Architecture::Amd64), processors)?,
            deletion_cost,
            init: init_image.map(|image| Init { image, cluster_domain, cluster_dns }),
        };
        let certificate = match (tls_cert_file, tls_private_key_file) {
            (Some(cert), Some(key)) => Some(Certificate { cert, key }),
            (None, None) => None,
            (Some(_), None) => {
                let why = "--tls-cert-file is given";
                return Err(Error::Missing { option: "--tls-private-key-file", why });
            }
            (None, Some(_)) => {
                let why = "--tls-private-key-file is given";
                return Err(Error::Missing { option: "--tls-cert-file", why });
            }
        };
        let kubelet = Kubelet {
            address: kubelet_address.map_or(Ok(node.ip), |listen| address("--kubelet-address", listen))?,
            port: kubelet_port.unwrap_or(10250),
            certificate,
            client_ca: client_ca_file,
        };
        Ok(Self { kubeconfig, node, registration, fargate, kubelet })
    }
}

fn items(list: Option<List>) -> Vec<String> {
    list.unwrap_or_default().0
}

fn at_most(
    option: &'static str,
    list: Vec<String>,
    most: usize,
    expected: &'static str,
) -> Result<Vec<String>, Error> {
    if list.len() > most {
        return Err(Error::Invalid { option, value: list.join(","), expected });
    }
    Ok(list)
}

fn subnet_ids(list: Vec<String>) -> Result<Vec<String>, Error> {
    if list.is_empty() {
        let why = "every Fargate task has its own network interface";
        return Err(Error::Missing { option: "--subnets", why });
    }
    at_most("--subnets", list, 16, "at most 16 subnets")
}

fn processors(value: String) -> Result<Architecture, Error> {
    match value.to_ascii_lowercase().as_str() {
        "amd64" | "x86_64" => Ok(Architecture::Amd64),
        "arm64" | "aarch64" => Ok(Architecture::Arm64),
        _ => Err(Error::Invalid { option: "--architecture", value, expected: "amd64 or arm64" }),
    }
}

/// A name that the API server, or DNS, accepts.
fn domain(
    option: &'static str,
    value: Option<String>,
    default: &str,
    expected: &'static str,
) -> Result<String, Error> {
    let value = value.unwrap_or_else(|| default.to_owned());
    if is_dns_subdomain(&value) { Ok(value) } else { Err(Error::Invalid { option, value, expected }) }
}

fn address(option: &'static str, value: String) -> Result<IpAddr, Error> {
    value.parse().map_err(|_| Error::Invalid { option, value, expected: "an IP address" })
}

fn amount(option: &'static str, value: Option<Amount>, default: &str) -> Result<Quantity, Error> {
    let value = Quantity(value.map_or_else(|| default.to_owned(), |Amount(amount)| amount));
    match quantity::units(&value) {
        Ok(1..) => Ok(value),
        _ => Err(Error::Invalid { option, value: value.0, expected: "a Kubernetes quantity above zero" }),
    }
}

fn label(value: String) -> Result<(String, String), Error> {
    match value.split_once('=') {
        Some((key, label)) if !key.is_empty() => Ok((key.to_owned(), label.to_owned())),
        _ => Err(Error::Invalid { option: "--node-labels", value, expected: "key=value" }),
    }
}

fn taint(value: String) -> Result<Taint, Error> {
    let parsed = value.rsplit_once(':').and_then(|(taint, effect)| {
        let (key, of) = taint.split_once('=').unwrap_or((taint, ""));
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect);
        (known && !key.is_empty()).then(|| Taint {
            key: key.to_owned(),
            value: Some(of.to_owned()).filter(|of| !of.is_empty()),
            effect: effect.to_owned(),
            time_added: None,
        })
    });
    parsed.ok_or(Error::Invalid { option: "--node-taints", value, expected: "key=value:Effect" })
}

/// RFC 1123: the form that the API server requires for a node's name, and DNS for a domain.
fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

/// The address that the default route leaves from, as a kubelet finds its own. Nothing is sent.
fn default_route_address() -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    // TEST-NET-1 (RFC 5737): routed like any other address, assigned to no host.
    socket.connect(("192.0.2.1", 9))?;
    Ok(socket.local_addr()?.ip())
}
