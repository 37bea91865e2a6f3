//! Every instance that has objects on the engine, by the labels of the objects. For `neargate clean`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use bollard::Docker;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptions, ListVolumesOptions};

use super::client::failed;
use super::limits::cgroup_instances;
use super::names::{DATA_DIR, HOST, INSTANCE, Instance, is_id, this_host};
use crate::runtime::Error;

/// An instance and the names of its objects, such as `container neargate-1a2b3c4d-…`.
#[derive(Debug)]
pub(crate) struct Resident {
    pub(crate) instance: Instance,
    pub(crate) holdings: Vec<String>,
}

/// All instances, sorted by id. If only cgroups are left of an instance, its data directory is not known, and so empty.
pub(crate) async fn take(docker: &Docker, host: &str) -> Result<Vec<Resident>, Error> {
    let mut residents = BTreeMap::new();
    let ours = || HashMap::from([("label".to_owned(), vec![INSTANCE.to_owned()])]);

    let options = ListContainersOptionsBuilder::default().all(true).filters(&ours()).build();
    let containers =
        docker.list_containers(Some(options)).await.map_err(failed(host, "list the containers"))?;
    for container in containers {
        let name = container.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
        let name = format!("container {}", name.trim_start_matches('/'));
        count(&mut residents, &container.labels.unwrap_or_default(), name);
    }
    let options = ListVolumesOptions { filters: Some(ours()) };
    let volumes = docker.list_volumes(Some(options)).await.map_err(failed(host, "list the volumes"))?;
    for volume in volumes.volumes.unwrap_or_default() {
        count(&mut residents, &volume.labels, format!("volume {}", volume.name));
    }
    let options = ListNetworksOptions { filters: Some(ours()) };
    let networks = docker.list_networks(Some(options)).await.map_err(failed(host, "list the networks"))?;
    for network in networks {
        let name = format!("network {}", network.name.unwrap_or_default());
        count(&mut residents, &network.labels.unwrap_or_default(), name);
    }
    for (instance, cgroup) in cgroup_instances() {
        residents
            .entry(instance.clone())
            .or_insert_with(|| Resident {
                instance: Instance::here(instance, PathBuf::new()),
                holdings: Vec::new(),
            })
            .holdings
            .push(format!("cgroup {cgroup}"));
    }
    Ok(residents.into_values().collect())
}

fn count(residents: &mut BTreeMap<String, Resident>, labels: &HashMap<String, String>, holding: String) {
    let Some(id) = labels.get(INSTANCE) else { return };
    if !is_id(id) {
        tracing::warn!(
            holding,
            id,
            "ignored an object of the engine with a malformed label neargate.instance"
        );
        return;
    }
    let resident = residents.entry(id.clone()).or_insert_with(|| Resident {
        instance: Instance {
            id: id.clone(),
            data_dir: labels.get(DATA_DIR).map(PathBuf::from).unwrap_or_default(),
            host: labels.get(HOST).cloned().unwrap_or_else(this_host),
        },
        holdings: Vec::new(),
    });
    resident.holdings.push(holding);
}
