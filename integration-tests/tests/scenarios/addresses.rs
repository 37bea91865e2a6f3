//! The files that a kubelet writes: resolver, hosts, hostname.

use std::sync::Arc;

use harness::namespace::with_namespace;
use harness::pods::{Pods, address, pod};
use harness::shared::Shared;
use serde_json::json;

use crate::fixture::{get, logs};

pub(crate) async fn a_task_has_the_files_that_a_kubelet_writes(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let dns = get(shared, "kube-system", "service kube-dns").await?;
        let dns = dns["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned();
        let pods = Pods::of(&shared.cluster, namespace);
        let read = async |name: &str, file: &str| {
            let mut reader = pod(shared.stack.node(), name, &["cat", file]);
            reader["spec"]["hostname"] = json!("reader");
            reader["spec"]["subdomain"] = json!("library");
            reader["spec"]["hostAliases"] = json!([{ "ip": "192.0.2.7", "hostnames": ["archive", "attic"] }]);
            reader["spec"]["dnsConfig"] =
                json!({ "searches": ["example.test"], "options": [{ "name": "edns0" }] });
            pods.create(reader).await?;
            let pod = pods.phase(name, "Succeeded").await?;
            anyhow::Ok((address(&pod)?, logs(shared, namespace, name).await?))
        };

        let (_, resolver) = read("resolver", "/etc/resolv.conf").await?;
        let lines: Vec<&str> = resolver.lines().collect();
        assert!(lines.contains(&format!("nameserver {dns}").as_str()), "{resolver}");
        let search =
            format!("search {namespace}.svc.cluster.local svc.cluster.local cluster.local example.test");
        assert!(lines.contains(&search.as_str()), "{resolver}");
        let options = lines.iter().find(|line| line.starts_with("options ")).copied().unwrap_or_default();
        assert!(options.contains("ndots:5") && options.contains("edns0"), "{resolver}");

        let (own, hosts) = read("hosts", "/etc/hosts").await?;
        let words: Vec<Vec<&str>> = hosts.lines().map(|line| line.split_whitespace().collect()).collect();
        let full = format!("reader.library.{namespace}.svc.cluster.local");
        assert!(words.contains(&vec!["127.0.0.1", "localhost"]), "{hosts}");
        assert!(words.contains(&vec![own.as_str(), full.as_str(), "reader"]), "{hosts}");
        assert!(words.contains(&vec!["192.0.2.7", "archive", "attic"]), "{hosts}");

        let (_, hostname) = read("hostname", "/etc/hostname").await?;
        assert_eq!(hostname.trim(), "reader");
        Ok(())
    })
    .await
}
