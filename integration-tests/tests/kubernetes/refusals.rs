//! Pods that do not run, and how that is reported.

use std::sync::Arc;

use anyhow::Context as _;
use harness::namespace::with_namespace;
use harness::wait;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

use harness::pods::{Pods, container, fixture, pod};
use harness::shared::Shared;

pub(crate) async fn a_pod_that_cannot_run_is_refused_in_one_event_and_stays_pending(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        pods.create(fixture("pods/unsupported.yaml", shared.stack.node())?).await?;
        pods.until("unsupported", "is refused", wait::seconds(60), |pod| {
            container(pod)["state"]["waiting"]["reason"] == "UnsupportedPod"
        })
        .await?;
        // A change of the pod is processed again, and not reported a second time.
        shared.cluster.kubectl(&["label", "pod", "unsupported", "looked-at=again", "-n", namespace]).await?;
        let events: Api<Event> = Api::namespaced(shared.cluster.client.clone(), namespace);
        let refusals = async || {
            let list = events.list(&ListParams::default()).await.context("listing events")?;
            let of_type = list.items.into_iter().filter(|event| event.type_.as_deref() == Some("Warning"));
            anyhow::Ok(
                of_type.map(|event| (event.count, event.message.unwrap_or_default())).collect::<Vec<_>>(),
            )
        };
        wait::throughout(
            "one refusal is reported once, and the pod is Pending",
            wait::seconds(5),
            async || {
                let pod = pods.get("unsupported").await.map_err(|error| harness::chain(&error))?;
                let said = refusals().await.map_err(|error| harness::chain(&error))?;
                let once = matches!(said.as_slice(), [(None | Some(0 | 1), _)]);
                if once && pod["status"]["phase"] == "Pending" {
                    Ok(())
                } else {
                    Err(format!("{} {said:?}", pod["status"]))
                }
            },
        )
        .await?;
        let message = refusals().await?.remove(0).1;
        for reason in ["hostnetwork", "privileged", "host"] {
            assert!(message.to_lowercase().contains(reason), "{reason} is not among the reasons: {message}");
        }
        Ok(())
    })
    .await
}

pub(crate) async fn an_image_that_is_not_there_is_backed_off_from(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        let mut absent = pod(shared.stack.node(), "absent", &[]);
        absent["spec"]["restartPolicy"] = json!("Always");
        // No machine has a registry on port 1.
        absent["spec"]["containers"][0]["image"] = json!("127.0.0.1:1/absent:latest");
        pods.create(absent).await?;
        let waiting = pods
            .until("absent", "backs off", wait::seconds(90), |pod| {
                container(pod)["state"]["waiting"]["reason"] == "ImagePullBackOff"
            })
            .await?;
        assert_eq!(waiting["status"]["phase"], "Pending", "it never started");
        Ok(())
    })
    .await
}

pub(crate) async fn a_daemon_sets_pod_is_refused_in_one_event_and_no_other_is_made(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let daemon_set: DaemonSet = serde_json::from_value(json!({
            "metadata": { "name": "agent" },
            "spec": {
                "selector": { "matchLabels": { "app": "agent" } },
                "template": {
                    "metadata": { "labels": { "app": "agent" } },
                    "spec": {
                        // As kube-proxy's: it runs on every node, unless an affinity excludes it.
                        "tolerations": [{ "operator": "Exists" }],
                        "nodeSelector": { "kubernetes.io/hostname": shared.stack.node() },
                        "containers": [{
                            "name": "main",
                            "image": "neargate/fixture:latest",
                            "imagePullPolicy": "IfNotPresent",
                            "args": ["sleep", "600"],
                        }],
                    },
                },
            },
        }))
        .context("a DaemonSet")?;
        let daemon_sets: Api<DaemonSet> = Api::namespaced(shared.cluster.client.clone(), namespace);
        daemon_sets.create(&PostParams::default(), &daemon_set).await.context("making a DaemonSet")?;
        let pods = Pods::of(&shared.cluster, namespace);
        let only = wait::until("its pod is refused", wait::seconds(60), async || {
            match pods.all().await.map_err(|error| harness::chain(&error))?.as_slice() {
                [only] if container(only)["state"]["waiting"]["reason"] == "UnsupportedPod" => {
                    Ok(only.clone())
                }
                others => Err(format!("{} pods", others.len())),
            }
        })
        .await?;
        let events: Api<Event> = Api::namespaced(shared.cluster.client.clone(), namespace);
        let warnings = async || {
            let list = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let warns = |event: &Event| event.type_.as_deref() == Some("Warning");
            Ok::<Vec<Event>, String>(list.items.into_iter().filter(warns).collect())
        };
        // The status is written first.
        wait::until("an event reports it", wait::seconds(60), async || match warnings().await?.as_slice() {
            [] => Err("no event".to_owned()),
            _ => Ok(()),
        })
        .await?;
        wait::throughout("it stays the only one, and is refused once", wait::seconds(5), async || {
            let all = pods.all().await.map_err(|error| harness::chain(&error))?;
            let refusals = warnings().await?;
            let same = all.len() == 1 && all[0]["metadata"]["uid"] == only["metadata"]["uid"];
            match refusals.as_slice() {
                [once] if same && once.count.unwrap_or(1) <= 1 => Ok(()),
                other => Err(format!("{} pods, {other:?}", all.len())),
            }
        })
        .await?;
        daemon_sets.delete("agent", &DeleteParams::default()).await.context("deleting the DaemonSet")?;
        Ok(())
    })
    .await
}
