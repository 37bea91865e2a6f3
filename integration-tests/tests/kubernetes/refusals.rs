//! What does not run, and how that is said.

use std::sync::Arc;

use anyhow::Context as _;
use harness::namespace::with_namespace;
use harness::wait;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
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
        // A change of the pod is looked at again, and said no second time.
        shared.cluster.kubectl(&["label", "pod", "unsupported", "looked-at=again", "-n", namespace]).await?;
        let events: Api<Event> = Api::namespaced(shared.cluster.client.clone(), namespace);
        let refusals = async || {
            let list = events.list(&ListParams::default()).await.context("listing events")?;
            let of_type = list.items.into_iter().filter(|event| event.type_.as_deref() == Some("Warning"));
            anyhow::Ok(
                of_type.map(|event| (event.count, event.message.unwrap_or_default())).collect::<Vec<_>>(),
            )
        };
        wait::throughout("one refusal is said once, and the pod is Pending", wait::seconds(5), async || {
            let pod = pods.get("unsupported").await.map_err(|error| harness::chain(&error))?;
            let said = refusals().await.map_err(|error| harness::chain(&error))?;
            let once = matches!(said.as_slice(), [(None | Some(0 | 1), _)]);
            if once && pod["status"]["phase"] == "Pending" {
                Ok(())
            } else {
                Err(format!("{} {said:?}", pod["status"]))
            }
        })
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
