//! One bridge network of the engine for each VPC of the instance.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::errors::Error as DockerError;
use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest, NetworkDisconnectRequest};
use bollard::query_parameters::ListNetworksOptions;

use super::Inner;
use super::client::{failed, reason, status, unless};
use super::host;
use super::names::VPC;
use crate::runtime::{Cidr, Error};

impl Inner {
    pub(super) async fn ensure_network(&self, vpc_id: &str, candidates: &[Cidr]) -> Result<Cidr, Error> {
        let _one_at_a_time = self.networks.lock().await;
        let name = self.instance.network(vpc_id);
        let networks = self.list_networks(HashMap::new()).await?;
        if let Some(network) = networks.iter().find(|network| {
            self.instance.owns(network.labels.as_ref())
                && network.labels.as_ref().and_then(|labels| labels.get(VPC)).is_some_and(|id| id == vpc_id)
        }) {
            return blocks(network).next().ok_or_else(|| Error::Failed {
                attempted: format!("use the network {name}"),
                reason: "it has no IPv4 block".to_owned(),
            });
        }

        let mut taken: Vec<Cidr> = networks.iter().flat_map(blocks).collect();
        if self.facts.local {
            taken.extend(host::blocks());
        }
        let mut refusal = "every one overlaps a network or a route of the host".to_owned();
        for &candidate in candidates {
            if taken.iter().any(|&block| host::overlap(block, candidate)) {
                continue;
            }
            match self
                .docker
                .create_network(request(&self.instance.labels(&[(VPC, vpc_id)]), &name, candidate))
                .await
            {
                Ok(_) => return Ok(candidate),
                // Another Neargate took it since we looked, or the engine knows a network that we can't see.
                Err(error) if reason(&error).to_lowercase().contains("overlap") => refusal = reason(&error),
                Err(error) => return Err(failed(&self.host, format!("create the network {name}"))(error)),
            }
        }
        let tried: Vec<String> = candidates.iter().map(Cidr::to_string).collect();
        Err(Error::NoFreeNetwork { tried: tried.join(", "), reason: refusal })
    }

    /// Removes the instance's networks; whatever is still attached to one of them is detached.
    pub(super) async fn remove_networks(&self) -> Result<(), Error> {
        for network in self.list_networks(self.instance.filters(&[])).await? {
            let Some(id) = network.id else { continue };
            let attempted = || format!("remove the network {}", network.name.as_deref().unwrap_or(&id));
            let mut removed = self.docker.remove_network(&id).await;
            // 403: somebody's own container was connected to it.
            if removed.as_ref().is_err_and(|error| status(error) == Some(403)) {
                self.detach_all(&id).await.map_err(failed(&self.host, attempted()))?;
                removed = self.docker.remove_network(&id).await;
            }
            unless(removed, &[404]).map_err(failed(&self.host, attempted()))?;
        }
        Ok(())
    }

    async fn detach_all(&self, network: &str) -> Result<(), DockerError> {
        let inspected = self.docker.inspect_network(network, None).await?;
        for container in inspected.containers.unwrap_or_default().into_keys() {
            let request = NetworkDisconnectRequest { container, force: Some(true) };
            unless(self.docker.disconnect_network(network, request).await, &[404])?;
        }
        Ok(())
    }

    async fn list_networks(&self, filters: HashMap<String, Vec<String>>) -> Result<Vec<Network>, Error> {
        let options = ListNetworksOptions { filters: Some(filters) };
        self.docker.list_networks(Some(options)).await.map_err(failed(&self.host, "list the networks"))
    }
}

/// A bridge with the whole block, its gateway the first address, as AWS's VPC router has it (Amazon VPC user guide,
/// "Subnet sizing": the first four addresses and the last one of a subnet are reserved).
fn request(labels: &HashMap<String, String>, name: &str, block: Cidr) -> NetworkCreateRequest {
    let gateway = Ipv4Addr::from(u32::from(block.base).saturating_add(1));
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam {
            driver: Some("default".to_owned()),
            config: Some(vec![IpamConfig {
                subnet: Some(block.to_string()),
                gateway: Some(gateway.to_string()),
                ..IpamConfig::default()
            }]),
            options: None,
        }),
        options: Some(HashMap::from([(
            "com.docker.network.bridge.enable_icc".to_owned(),
            "true".to_owned(),
        )])),
        labels: Some(labels.clone()),
        ..NetworkCreateRequest::default()
    }
}

fn blocks(network: &Network) -> impl Iterator<Item = Cidr> {
    let configs = network.ipam.as_ref().and_then(|ipam| ipam.config.as_deref()).unwrap_or_default();
    configs.iter().filter_map(|config| config.subnet.as_deref()?.parse().ok())
}
