//! The address of the cluster's DNS, if no option names it: that of the Service `kube-dns`, its name in every cluster.
//!
//! It is read until it exists: a cluster's DNS may be deployed after the provider. Once known it is kept, because the address of that
//! Service does not change while the cluster lives.

use std::{net::IpAddr, sync::OnceLock, time::Duration};

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};

/// Namespace and name of the Service.
const SERVICE: (&str, &str) = ("kube-system", "kube-dns");

/// How long one read may take, and until the next one.
const TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(5);

/// Reads it once, if the addresses are not known; logs a failure.
pub(crate) async fn find(client: &Client, known: &OnceLock<Vec<IpAddr>>) {
    if known.get().is_some() {
        return;
    }
    let (namespace, name) = SERVICE;
    let services = Api::<Service>::namespaced(client.clone(), namespace);
    match tokio::time::timeout(TIMEOUT, services.get_opt(name)).await {
        Ok(Ok(service)) => {
            let addresses = service.map(|service| addresses(&service)).unwrap_or_default();
            if addresses.is_empty() {
                tracing::warn!(
                    "the Service kube-system/kube-dns has no address; pods get no cluster DNS: specify --cluster-dns"
                );
                return;
            }
            tracing::info!(?addresses, "found the cluster's DNS");
            // Another caller may have been first, with the same result.
            let _ = known.set(addresses);
        }
        Ok(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "could not read the Service kube-system/kube-dns; retrying, unless --cluster-dns is given"
            );
        }
        Err(_) => {
            tracing::warn!("the API server did not return the Service kube-system/kube-dns in time; retrying")
        }
    }
}

/// Reads it until the addresses are known.
pub(crate) async fn keep_looking(client: &Client, known: &OnceLock<Vec<IpAddr>>) {
    while known.get().is_none() {
        tokio::time::sleep(RETRY).await;
        find(client, known).await;
    }
}

/// The Service's addresses; none if it is headless.
fn addresses(service: &Service) -> Vec<IpAddr> {
    let spec = service.spec.as_ref();
    let several = spec.and_then(|spec| spec.cluster_ips.clone()).unwrap_or_default();
    let one = spec.and_then(|spec| spec.cluster_ip.clone());
    let all = if several.is_empty() { Vec::from_iter(one) } else { several };
    all.iter().filter_map(|address| address.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_has_the_addresses_that_its_spec_lists() {
        let of = |spec| addresses(&serde_json::from_value(json!({ "spec": spec })).unwrap());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(of(json!({ "clusterIP": "10.96.0.10" })), [address("10.96.0.10")]);
        let both = json!({ "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd00::a"] });
        assert_eq!(of(both), [address("10.96.0.10"), address("fd00::a")]);
        assert_eq!(of(json!({ "clusterIP": "None" })), Vec::<IpAddr>::new());
        assert_eq!(of(json!({})), Vec::<IpAddr>::new());
    }
}
