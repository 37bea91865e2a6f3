//! `/etc/hosts`, as the kubelet writes it (`managedHostsFileContent` in `pkg/kubelet/kubelet_pods.go`).

use std::{fmt::Write, net::IpAddr};

/// The lines that every pod's file begins with.
const HEAD: &str = "# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// One of a pod's `hostAliases`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The address.
    pub ip: String,
    /// Its names.
    pub hostnames: Vec<String>,
}

/// The file's text. `domain` is what follows the host name if the pod has a subdomain.
#[must_use]
pub fn hosts(addresses: &[IpAddr], hostname: &str, domain: Option<&str>, aliases: &[Alias]) -> String {
    let mut text = HEAD.to_owned();
    for address in addresses {
        // Writing to a String cannot fail.
        let _ = match domain {
            Some(domain) => writeln!(text, "{address}\t{hostname}.{domain}\t{hostname}"),
            None => writeln!(text, "{address}\t{hostname}"),
        };
    }
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for Alias { ip, hostnames } in aliases {
        let _ = writeln!(text, "{ip}\t{}", hostnames.join("\t"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(ip: &str, hostnames: &[&str]) -> Alias {
        Alias { ip: ip.to_owned(), hostnames: hostnames.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// The file without its head.
    fn own(addresses: &[&str], hostname: &str, domain: Option<&str>, aliases: &[Alias]) -> String {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let text = hosts(&addresses, hostname, domain, aliases);
        text.strip_prefix(HEAD).expect("the head that every pod has").to_owned()
    }

    /// The cases of `TestManagedHostsFileContent`.
    #[test]
    fn a_pod_is_in_its_own_hosts_file_by_name_and_with_a_subdomain_by_its_full_name_first() {
        let domain = Some("sub.shop.svc.cluster.local");
        let local = alias("127.0.0.1", &["foo", "bar"]);
        let remote = alias("10.1.2.3", &["far.example.com"]);
        for (addresses, domain, aliases, expected) in [
            (vec!["10.0.1.7"], None, vec![], "10.0.1.7\tweb\n"),
            (vec!["10.0.1.7"], domain, vec![], "10.0.1.7\tweb.sub.shop.svc.cluster.local\tweb\n"),
            (vec!["10.0.1.7", "2600::7"], None, vec![], "10.0.1.7\tweb\n2600::7\tweb\n"),
            (
                vec!["10.0.1.7"],
                None,
                vec![local.clone(), remote],
                "10.0.1.7\tweb\n\n# Entries added by HostAliases.\n127.0.0.1\tfoo\tbar\n10.1.2.3\tfar.example.com\n",
            ),
            (vec![], None, vec![local], "\n# Entries added by HostAliases.\n127.0.0.1\tfoo\tbar\n"),
        ] {
            assert_eq!(own(&addresses, "web", domain, &aliases), expected);
        }
    }

    #[test]
    fn the_head_is_the_kubelets() {
        let text = hosts(&[], "web", None, &[]);
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost "));
        assert_eq!(text.lines().count(), 7);
    }
}
