//! What is to be written, in the form in which it is passed: the arguments of the init container, the same for
//! all replicas of a pod.

use crate::{hosts::Alias, resolv_conf::ResolvConf};

/// What is to be written, except the host name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// `/etc/resolv.conf`; if it is empty, the task's file stays as it is.
    pub resolv_conf: ResolvConf,
    /// Whether it is added to what the task has, instead of replacing it.
    pub added: bool,
    /// What follows the host name in the pod's full name, if it has a subdomain.
    pub domain: Option<String>,
    /// Further lines of `/etc/hosts`.
    pub aliases: Vec<Alias>,
}

impl Plan {
    /// The plan as arguments.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let Self { resolv_conf: ResolvConf { nameservers, searches, options }, added, domain, aliases } =
            self;
        let each = |flag: &'static str, values: &[String]| -> Vec<String> {
            values.iter().map(|value| format!("--{flag}={value}")).collect()
        };
        let alias = |Alias { ip, hostnames }: &Alias| format!("--host-alias={ip} {}", hostnames.join(" "));
        [
            each("nameserver", nameservers),
            each("search", searches),
            each("option", options),
            Vec::from_iter(added.then(|| "--add-to-task-dns".to_owned())),
            each("domain", domain.as_slice()),
            aliases.iter().map(alias).collect(),
        ]
        .concat()
    }

    /// Reads the plan from the arguments; the error is one line.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self::default();
        for argument in arguments {
            let (flag, value) = argument.split_once('=').unwrap_or((&argument, ""));
            let value = value.to_owned();
            match flag {
                "--nameserver" => plan.resolv_conf.nameservers.push(value),
                "--search" => plan.resolv_conf.searches.push(value),
                "--option" => plan.resolv_conf.options.push(value),
                "--add-to-task-dns" => plan.added = true,
                "--domain" => plan.domain = Some(value),
                "--host-alias" => {
                    let mut words = value.split(' ').map(str::to_owned);
                    let ip = words.next().unwrap_or_default();
                    plan.aliases.push(Alias { ip, hostnames: words.collect() });
                }
                _ => {
                    return Err(format!(
                        "unknown argument {argument:?}: is the image of another version than the provider?"
                    ));
                }
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_arrives_as_it_was_sent() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let full = Plan {
            resolv_conf: ResolvConf {
                nameservers: list(&["10.96.0.10", "fd00::a"]),
                searches: list(&["shop.svc.cluster.local", "."]),
                options: list(&["ndots:5", "edns0", "x:a=b"]),
            },
            added: true,
            domain: Some("sub.shop.svc.cluster.local".to_owned()),
            aliases: vec![Alias { ip: "10.1.2.3".to_owned(), hostnames: list(&["a", "b.example.com"]) }],
        };
        for plan in [Plan::default(), full] {
            assert_eq!(Plan::parse(plan.arguments()), Ok(plan));
        }
        let error = Plan::parse(list(&["--sysctl=a"])).unwrap_err();
        assert!(error.starts_with("unknown argument \"--sysctl=a\""), "{error}");
    }
}
