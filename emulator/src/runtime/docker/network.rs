//! The engine's network for a VPC: a bridge of the instance's own, or one of another owner.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::errors::Error as DockerError;
use bollard::models::{
    Ipam, IpamConfig, Network as DockerNetwork, NetworkCreateRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::ListNetworksOptions;

use super::Inner;
use super::client::{failed, reason, status, unless};
use super::host;
use super::names::VPC;
use crate::runtime::{Cidr, Error, Network, NetworkSpec};

/// An engine counts a network's endpoints, and the count can stay above zero after the last one is removed (moby/moby#42119:
/// observed on a busy machine while containers are created and removed concurrently). No request corrects it.
const MISCOUNTED: &str = "no container is connected to it, so the engine has miscounted: \
                          it can be removed after a restart of the engine";

impl Inner {
    pub(super) async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network, Error> {
        let _one_at_a_time = self.networks.lock().await;
        match spec {
            NetworkSpec::Own { vpc_id, candidates } => self.own_network(vpc_id, candidates).await,
            NetworkSpec::Borrowed { name } => self.borrowed_network(name).await,
        }
    }

    async fn own_network(&self, vpc_id: &str, candidates: &[Cidr]) -> Result<Network, Error> {
        let name = self.instance.network(vpc_id);
        let mut networks = self.list_networks(HashMap::new()).await?;
        if let Some(at) = networks.iter().position(|network| {
            self.instance.owns(network.labels.as_ref())
                && network.labels.as_ref().and_then(|labels| labels.get(VPC)).is_some_and(|id| id == vpc_id)
        }) {
            let block = blocks(&networks[at]).next();
            if let Some(cidr) = block.filter(|block| candidates.contains(block)) {
                return Ok(Network { name, cidr });
            }
            // It was created for another block of the VPC.
            self.docker.remove_network(&name).await.map_err(|error| Error::Failed {
                attempted: format!("replace the network {name} by one with {}", list(candidates)),
                reason: format!("it has {} and is in use: {}", list(block.as_slice()), reason(&error)),
            })?;
            networks.remove(at);
        }

        let mut taken: Vec<(String, Cidr)> = networks
            .iter()
            .flat_map(|network| {
                let name = network.name.as_deref().unwrap_or_default();
                blocks(network).map(move |block| (format!("the network {name}"), block))
            })
            .collect();
        if self.facts.local {
            taken.extend(host::blocks().into_iter().map(|block| ("this host's route".to_owned(), block)));
        }
        let mut refusal = String::new();
        for &candidate in candidates {
            if let Some((owner, block)) = taken.iter().find(|(_, block)| block.overlaps(candidate)) {
                refusal = format!("{candidate} overlaps {block} of {owner}");
                continue;
            }
            match self
                .docker
                .create_network(request(&self.instance.labels(&[(VPC, vpc_id)]), &name, candidate))
                .await
            {
                Ok(_) => return Ok(Network { name, cidr: candidate }),
                // Another Neargate took it since the networks were listed, or the engine has a network that it does not list.
                Err(error) if reason(&error).to_lowercase().contains("overlap") => refusal = reason(&error),
                Err(error) => return Err(failed(&self.host, format!("create the network {name}"))(error)),
            }
        }
        Err(Error::NoFreeNetwork { tried: list(candidates), reason: refusal })
    }

    async fn borrowed_network(&self, name: &str) -> Result<Network, Error> {
        // The engine's filter also matches parts of names.
        let filters = HashMap::from([("name".to_owned(), vec![name.to_owned()])]);
        let networks = self.list_networks(filters).await?;
        let network = networks.iter().find(|network| network.name.as_deref() == Some(name));
        let network = network.ok_or_else(|| Error::NoSuchNetwork { network: name.to_owned() })?;
        let cidr = blocks(network).next().ok_or_else(|| Error::Failed {
            attempted: format!("use the network {name}"),
            reason: "it has no IPv4 block".to_owned(),
        })?;
        Ok(Network { name: name.to_owned(), cidr })
    }

    /// Removes as many of the instance's networks as possible, and detaches the containers that are still attached. Returns
    /// the errors.
    pub(super) async fn remove_networks(&self) -> Vec<Error> {
        let networks = match self.list_networks(self.instance.filters(&[])).await {
            Ok(networks) => networks,
            Err(error) => return vec![error],
        };
        let mut failures = Vec::new();
        for network in networks {
            let Some(id) = network.id else { continue };
            let name = network.name.as_deref().unwrap_or(&id);
            failures.extend(self.remove_network(&id, name).await.err());
        }
        failures
    }

    async fn remove_network(&self, id: &str, name: &str) -> Result<(), Error> {
        let attempted = format!("remove the network {name}");
        let in_use = |error: &DockerError| status(error) == Some(403);
        let mut removed = unless(self.docker.remove_network(id).await, &[404]);
        if removed.as_ref().is_err_and(in_use) {
            // A container of another owner is connected to it.
            self.detach_all(id).await.map_err(failed(&self.host, attempted.clone()))?;
            removed = unless(self.docker.remove_network(id).await, &[404]);
        }
        match removed {
            Err(error) if in_use(&error) => {
                let reason = format!("{}; {MISCOUNTED}", reason(&error));
                Err(Error::Failed { attempted, reason })
            }
            removed => removed.map(drop).map_err(failed(&self.host, attempted)),
        }
    }

    async fn detach_all(&self, network: &str) -> Result<(), DockerError> {
        let inspected = self.docker.inspect_network(network, None).await?;
        for container in inspected.containers.unwrap_or_default().into_keys() {
            let request = NetworkDisconnectRequest { container, force: Some(true) };
            unless(self.docker.disconnect_network(network, request).await, &[404])?;
        }
        Ok(())
    }

    async fn list_networks(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<Vec<DockerNetwork>, Error> {
        let options = ListNetworksOptions { filters: Some(filters) };
        self.docker.list_networks(Some(options)).await.map_err(failed(&self.host, "list the networks"))
    }
}

/// A bridge with the whole block. Its gateway has the first address, as AWS's VPC router (Amazon VPC user guide,
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

fn blocks(network: &DockerNetwork) -> impl Iterator<Item = Cidr> {
    let configs = network.ipam.as_ref().and_then(|ipam| ipam.config.as_deref()).unwrap_or_default();
    configs.iter().filter_map(|config| config.subnet.as_deref()?.parse().ok())
}

fn list(blocks: &[Cidr]) -> String {
    blocks.iter().map(Cidr::to_string).collect::<Vec<_>>().join(", ")
}
