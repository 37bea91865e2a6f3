//! A fresh namespace per test, in which pods can be created, deleted with the test.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::wait;

/// Runs `test` with the name of a new namespace, and deletes that namespace after it in any case. A test that
/// succeeded waits until its pods are gone, so that a pod that can't be deleted is a failure of the test.
pub async fn with_namespace<T>(
    client: &Client,
    test: impl AsyncFnOnce(&str) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let fresh = Namespace {
        metadata: ObjectMeta { generate_name: Some("test-".to_owned()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let created = namespaces.create(&PostParams::default(), &fresh).await.context("making a namespace")?;
    let name = created.metadata.name.context("the namespace has no name")?;

    // Pods are refused until their ServiceAccount exists.
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name);
    wait::until(&format!("the ServiceAccount of {name} exists"), wait::seconds(30), async || {
        accounts.get("default").await.map(drop).map_err(|error| error.to_string())
    })
    .await?;

    let outcome = test(&name).await;
    let deleted = namespaces.delete(&name, &DeleteParams::default()).await;
    let value = outcome?;
    deleted.with_context(|| format!("deleting the namespace {name}"))?;
    gone(client, &name).await?;
    Ok(value)
}

/// Waits until the namespace has no pod.
pub async fn gone(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    wait::until(&format!("the pods of {namespace} are gone"), wait::seconds(90), async || {
        let left = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let names: Vec<_> = left.items.into_iter().filter_map(|pod| pod.metadata.name).collect();
        if names.is_empty() { Ok(()) } else { Err(names.join(", ")) }
    })
    .await
}
