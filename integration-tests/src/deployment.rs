//! Deployments: waiting and scaling.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;

use crate::cluster::Cluster;
use crate::pods::Pods;
use crate::{chain, wait};

/// Waits until a Deployment is rolled out: `count` pods of its newest revision, all available, and no other pod in the
/// namespace with its label `app`.
pub async fn available(cluster: &Cluster, namespace: &str, name: &str, count: i32) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
    let pods = Pods::of(cluster, namespace);
    wait::until(&format!("{count} pods of {name} are available"), wait::seconds(120), async || {
        let deployment = deployments.get(name).await.map_err(|error| error.to_string())?;
        let status = deployment.status.unwrap_or_default();
        if status.observed_generation < deployment.metadata.generation {
            return Err("its newest generation is not observed yet".to_owned());
        }
        let there = pods.labelled(&format!("app={name}")).await.map_err(|error| chain(&error))?.len();
        let (available, updated) =
            (status.available_replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
        let wanted = usize::try_from(count).unwrap_or_default();
        if available == count && updated == count && there == wanted {
            Ok(())
        } else {
            Err(format!("{available} available, {updated} of the newest revision, {there} pods"))
        }
    })
    .await
}

/// `kubectl scale`, until it is done.
pub async fn scale(cluster: &Cluster, namespace: &str, name: &str, count: i32) -> anyhow::Result<()> {
    let (deployment, replicas) = (format!("deployment/{name}"), format!("--replicas={count}"));
    cluster.kubectl(&["scale", &deployment, &replicas, "-n", namespace]).await?;
    available(cluster, namespace, name, count).await
}
