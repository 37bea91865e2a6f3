//! What the ServiceAccount of a node's provider may write: its own node, leases and pods, and of a pod annotations and status.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use harness::kubeconfig;
use harness::namespace::with_namespace;
use harness::pods::{Pods, pod};
use harness::shared::Shared;
use harness::{chain, wait};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// The node of the account. No provider runs it.
const NODE: &str = "rights";

/// Fails unless the policy has refused the request with these words.
fn refused<T>(what: &str, result: Result<T, kube::Error>, words: &str) -> anyhow::Result<()> {
    let Err(error) = result else { bail!("{what} was allowed") };
    let error = chain(&error.into());
    ensure!(error.contains(words), "{what} was refused, but not with {words:?}: {error}");
    Ok(())
}

fn merge(patch: &Value) -> Patch<&Value> {
    Patch::Merge(patch)
}

fn lease(name: &str) -> anyhow::Result<Lease> {
    serde_json::from_value(json!({ "metadata": { "name": name } })).context("a lease")
}

pub(crate) async fn a_providers_account_writes_what_is_its_nodes_and_nothing_else(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let kubeconfig = shared.work.path().join("rights.kubeconfig");
    shared.cluster.act_as_provider(NODE, &kubeconfig).await?;
    let client = kubeconfig::client(&kubeconfig).await?;
    let (params, post) = (PatchParams::default(), PostParams::default());
    let labels = json!({ "metadata": { "labels": { "touched": "yes" } } });
    let annotations = json!({ "metadata": { "annotations": { "touched": "yes" } } });

    let nodes: Api<Node> = Api::all(client.clone());
    // The API server takes a moment until it knows a new policy.
    wait::until("another node is out of reach", wait::seconds(30), async || {
        let touched = nodes.patch(shared.stack.node(), &params, &merge(&labels)).await;
        refused("labelling another node", touched, "may not write another node")
            .map_err(|error| chain(&error))
    })
    .await?;
    let status = json!({ "status": { "capacity": { "cpu": "1" } } });
    let written = nodes.patch_status(shared.stack.node(), &params, &merge(&status)).await;
    refused("writing another node's status", written, "may not write another node")?;
    let node = |name: &str| -> anyhow::Result<Node> {
        serde_json::from_value(json!({ "metadata": { "name": name } })).context("a node")
    };
    refused(
        "making another node",
        nodes.create(&post, &node("rights-2")?).await,
        "may not write another node",
    )?;
    nodes.create(&post, &node(NODE)?).await.context("making its node")?;
    nodes.patch(NODE, &params, &merge(&labels)).await.context("labelling its node")?;
    nodes.patch_status(NODE, &params, &merge(&status)).await.context("writing its node's status")?;

    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let renewal = json!({ "spec": { "leaseDurationSeconds": 40 } });
    let renewed = leases.patch(shared.stack.node(), &params, &merge(&renewal)).await;
    refused("renewing another node's lease", renewed, "may not write the lease of another node")?;
    for name in [NODE, "neargate-provider-rights"] {
        leases.create(&post, &lease(name)?).await.with_context(|| format!("making the lease {name}"))?;
        leases.patch(name, &params, &merge(&renewal)).await.with_context(|| format!("renewing {name}"))?;
    }

    with_namespace(&shared.cluster.client, async |namespace| {
        let admin = Pods::of(&shared.cluster, namespace);
        let bound = |name: &str, node: &str| {
            let mut pod = pod(node, name, &["sleep", "600"]);
            pod["spec"]["nodeName"] = json!(node);
            pod
        };
        admin.create(bound("mine", NODE)).await?;
        admin.create(bound("theirs", shared.stack.node())).await?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let image = json!({ "spec": { "containers": [{ "name": "main", "image": "evil:1" }] } });
        let strategic = Patch::Strategic(&image);
        for (what, patch) in [
            ("another image", &strategic),
            ("labels", &merge(&labels)),
            ("finalizers", &merge(&json!({ "metadata": { "finalizers": ["example.com/kept"] } }))),
        ] {
            let words = "may change annotations and status of a pod, and nothing else";
            refused(what, pods.patch("mine", &params, patch).await, words)?;
        }
        let words = "may not write a pod of another node";
        refused("another's pod", pods.patch("theirs", &params, &merge(&annotations)).await, words)?;
        refused("another's pod", pods.delete("theirs", &DeleteParams::default()).await, words)?;
        let mut theirs: Pod = serde_json::from_value(admin.get("theirs").await?).context("a pod")?;
        theirs.status.get_or_insert_default().message = Some("written".to_owned());
        theirs.metadata.resource_version = None;
        refused("another's status", pods.replace_status("theirs", &post, &theirs).await, words)?;

        pods.patch("mine", &params, &merge(&annotations)).await.context("annotating its pod")?;
        let mut mine: Pod = serde_json::from_value(admin.get("mine").await?).context("a pod")?;
        mine.status.get_or_insert_default().message = Some("written".to_owned());
        pods.replace_status("mine", &post, &mine).await.context("writing its pod's status")?;
        assert_eq!(admin.get("mine").await?["status"]["message"], "written");
        pods.delete("mine", &DeleteParams::default().grace_period(0)).await.context("removing its pod")?;
        admin.gone("mine").await
    })
    .await?;
    shared.cluster.kubectl(&["delete", "node", NODE]).await?;
    Ok(())
}
