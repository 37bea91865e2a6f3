//! What a kubelet writes into a pod's containers, written by an init container of the provider's own.
//!
//! DNS as in `pkg/kubelet/network/dns/dns.go`, host names as in `pkg/kubelet/util/util.go` and `kubelet_pods.go`. There is no
//! host: its search domains are never added, and `dnsPolicy: Default` is the configuration that the task has from its VPC.
//!
//! The plan is shared by replicas and is part of the definition; the host name that is made of the pod's own name is passed
//! in RunTask's overrides.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig, PodSpec};
use kube::ResourceExt;
use neargate_provider_init::{HOSTNAME, Plan, ResolvConf, hosts::Alias};

use super::{
    Note, Settings,
    ecs::{ContainerDefinition, ContainerOverride, Pair},
    env::Value,
    logs,
};
use crate::options::Init;

/// The init container's name; no container of a pod may have it.
pub const NAME: &str = "neargate-init";

/// The longest host name that Linux and DNS accept.
const LONGEST_HOSTNAME: usize = 63;

/// The least `stopTimeout` that ECS accepts: it writes three files and ends.
const STOP_TIMEOUT: i32 = 2;

/// What is written, and the notes about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// What is written, except the host name.
    pub plan: Plan,
    /// Notes that become events.
    pub notes: Vec<Note>,
}

/// The pod's host name: its `hostname`, which replicas share, else its own name, cut as the kubelet cuts it.
#[must_use]
pub fn hostname(pod: &Pod) -> Value {
    let given = pod.spec.as_ref().and_then(|spec| spec.hostname.clone()).filter(|name| !name.is_empty());
    let own = given.is_none();
    let mut text = given.unwrap_or_else(|| pod.name_any());
    if text.len() > LONGEST_HOSTNAME {
        // A pod's name is ASCII.
        text = text.chars().take(LONGEST_HOSTNAME).collect();
        text.truncate(text.trim_end_matches(['-', '.']).len());
    }
    Value { text, own }
}

/// What is written into the pod's containers. `cluster_dns` are the cluster's name servers, if they are known.
#[must_use]
pub fn files(pod: &Pod, init: &Init, cluster_dns: Option<&Vec<IpAddr>>) -> Files {
    let Some(spec) = &pod.spec else { return Files::default() };
    let namespace = pod.namespace().unwrap_or_default();
    let mut notes = Vec::new();
    let (base, added) = match base(spec, &namespace, init, cluster_dns) {
        Base::Nothing => (ResolvConf::default(), false),
        Base::Cluster(conf) => (conf, false),
        Base::Task => (ResolvConf::default(), true),
        Base::Unknown => {
            notes.push(Note::MissingClusterDns);
            (ResolvConf::default(), true)
        }
    };
    let asked = spec.dns_config.as_ref().map(asked).unwrap_or_default();
    let (resolv_conf, left_out) = base.with(asked).fit();
    notes.extend(left_out.into_iter().map(|message| Note::DnsLimits { message }));
    let aliases = spec
        .host_aliases
        .iter()
        .flatten()
        .map(|alias| Alias { ip: alias.ip.clone(), hostnames: alias.hostnames.clone().unwrap_or_default() });
    let subdomain = spec.subdomain.as_ref().filter(|subdomain| !subdomain.is_empty());
    let plan = Plan {
        added: added && !resolv_conf.is_empty(),
        resolv_conf,
        domain: subdomain.map(|subdomain| format!("{subdomain}.{namespace}.svc.{}", init.cluster_domain)),
        aliases: aliases.collect(),
    };
    Files { plan, notes }
}

/// What the pod's `dnsConfig` is added to.
enum Base {
    Nothing,
    Cluster(ResolvConf),
    Task,
    /// The same as [`Base::Task`], because the cluster's DNS is not known.
    Unknown,
}

fn base(spec: &PodSpec, namespace: &str, init: &Init, cluster_dns: Option<&Vec<IpAddr>>) -> Base {
    match spec.dns_policy.as_deref() {
        Some("None") => Base::Nothing,
        Some("Default") => Base::Task,
        // ClusterFirst and ClusterFirstWithHostNet; a task has no host network, so they are the same.
        _ => match cluster_dns {
            None => Base::Unknown,
            Some(servers) => {
                let domain = &init.cluster_domain;
                Base::Cluster(ResolvConf {
                    nameservers: servers.iter().map(IpAddr::to_string).collect(),
                    searches: vec![
                        format!("{namespace}.svc.{domain}"),
                        format!("svc.{domain}"),
                        domain.clone(),
                    ],
                    options: vec!["ndots:5".to_owned()],
                })
            }
        },
    }
}

fn asked(config: &PodDNSConfig) -> ResolvConf {
    let option = |name: &Option<String>, value: &Option<String>| {
        let name = name.clone().unwrap_or_default();
        match value.as_deref().filter(|value| !value.is_empty()) {
            Some(value) => format!("{name}:{value}"),
            None => name,
        }
    };
    ResolvConf {
        nameservers: config.nameservers.clone().unwrap_or_default(),
        searches: config.searches.clone().unwrap_or_default(),
        options: config.options.iter().flatten().map(|one| option(&one.name, &one.value)).collect(),
    }
}

/// The init container's part of the definition. It requests no resources, so that the task's size stays the pod's.
#[must_use]
pub fn container(init: &Init, plan: &Plan, hostname: &Value, settings: &Settings) -> ContainerDefinition {
    let shared = Some(hostname).filter(|hostname| !hostname.own);
    ContainerDefinition {
        name: NAME.to_owned(),
        image: init.image.clone(),
        command: plan.arguments(),
        environment: shared.map(variable).into_iter().collect(),
        // The files belong to root.
        user: Some("0".to_owned()),
        stop_timeout: STOP_TIMEOUT,
        log_configuration: logs::configuration(settings),
        ..ContainerDefinition::default()
    }
}

/// The init container's part of RunTask's overrides, if the host name is the pod's own.
#[must_use]
pub fn own(hostname: &Value) -> Option<ContainerOverride> {
    let own = Some(hostname).filter(|hostname| hostname.own).map(variable)?;
    Some(ContainerOverride { name: NAME.to_owned(), environment: vec![own], ..ContainerOverride::default() })
}

fn variable(hostname: &Value) -> Pair {
    Pair { name: HOSTNAME.to_owned(), value: hostname.text.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn pod(name: &str, spec: Json) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "shop" }, "spec": spec }))
            .unwrap()
    }

    fn spec(fields: Json) -> Json {
        let mut spec = json!({ "containers": [] });
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        spec
    }

    fn written(pod: &Pod, dns: Option<&str>) -> Files {
        let (image, cluster_domain) = ("init:1".to_owned(), "cluster.local".to_owned());
        let init = Init { image, cluster_domain, cluster_dns: Vec::new() };
        files(pod, &init, dns.map(|address| vec![address.parse().unwrap()]).as_ref())
    }

    /// The cases of `TestGetPodDNSType`, `TestGetPodDNS` and `TestGetPodDNSCustom`: what is written, and what it is added to.
    #[test]
    fn a_resolver_is_made_of_policy_and_config_as_the_kubelet_makes_it() {
        const CLUSTER: &str =
            "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n";
        let (known, unknown) = (Some("10.96.0.10"), None);
        let config = json!({
            "nameservers": ["203.0.113.1"], "searches": ["example.com"],
            "options": [{ "name": "ndots", "value": "2" }, { "name": "edns0" }],
        });
        let asked = "search example.com\nnameserver 203.0.113.1\noptions ndots:2 edns0\n";
        let both = "search shop.svc.cluster.local svc.cluster.local cluster.local example.com\n\
            nameserver 10.96.0.10\nnameserver 203.0.113.1\noptions ndots:2 edns0\n";
        let cluster = format!("{CLUSTER}options ndots:5\n");
        let missing = [Note::MissingClusterDns];
        for (policy, config, dns, text, added, notes) in [
            (json!(null), json!(null), known, cluster.as_str(), false, &[][..]),
            (json!("ClusterFirst"), json!(null), known, &cluster, false, &[]),
            (json!("ClusterFirstWithHostNet"), json!(null), known, &cluster, false, &[]),
            (json!("ClusterFirst"), config.clone(), known, both, false, &[]),
            (json!("ClusterFirst"), json!(null), unknown, "", false, &missing),
            (json!("ClusterFirst"), config.clone(), unknown, asked, true, &missing),
            (json!("Default"), json!(null), known, "", false, &[]),
            (json!("Default"), config.clone(), known, asked, true, &[]),
            (json!("None"), config, unknown, asked, false, &[]),
        ] {
            let pod = pod("web", spec(json!({ "dnsPolicy": policy, "dnsConfig": config })));
            let Files { plan, notes: actual } = written(&pod, dns);
            assert_eq!(
                (plan.resolv_conf.to_string().as_str(), plan.added),
                (text, added),
                "{policy} {config}"
            );
            assert_eq!(actual, notes, "{policy} {config}");
        }
    }

    #[test]
    fn what_is_past_the_limits_is_reported() {
        let servers: Vec<_> = (1..=3).map(|n| format!("203.0.113.{n}")).collect();
        let pod = pod("web", spec(json!({ "dnsConfig": { "nameservers": servers } })));
        let Files { plan, notes } = written(&pod, Some("10.96.0.10"));
        assert_eq!(plan.resolv_conf.nameservers, ["10.96.0.10", "203.0.113.1", "203.0.113.2"]);
        assert!(
            matches!(&notes[..], [Note::DnsLimits { message }] if message.starts_with("Nameserver limits"))
        );
    }

    /// The cases of `TestGeneratePodHostNameAndDomain` and `TestTruncatePodHostname`.
    #[test]
    fn a_host_name_is_the_pods_unless_its_spec_names_another() {
        let long = format!("{}-{}", "a".repeat(61), "b".repeat(9));
        let dashed = format!("{}.-.{}", "a".repeat(60), "b".repeat(9));
        let plain = |name: &str| hostname(&pod(name, spec(json!({}))));
        assert_eq!(plain("web-0"), Value { text: "web-0".to_owned(), own: true });
        assert_eq!(plain(&long).text, format!("{}-b", "a".repeat(61)));
        assert_eq!(plain(&dashed).text, "a".repeat(60), "no dash or dot at the end");
        let given = pod("web-0", spec(json!({ "hostname": "db", "subdomain": "peers" })));
        assert_eq!(hostname(&given), Value { text: "db".to_owned(), own: false });
        assert_eq!(written(&given, None).plan.domain.as_deref(), Some("peers.shop.svc.cluster.local"));
    }
}
