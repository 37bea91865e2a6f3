//! Pod created → pod Ready on the virtual node, beside the same pod on the kind node's own kubelet.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use harness::choice::Choice;
use harness::pods::pod;
use harness::shared::Shared;
use harness::suite::Context as _;
use harness::work::Work;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};

use super::report::{self, Row};

const RUNS: usize = 10;

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    ensure!(
        Choice::of_environment() == Choice::Kind,
        "it requires a kubelet as the reference: NEARGATE_CLUSTER=kind"
    );
    let shared = Shared::start(Work::new("bench-kubelet")?).await?;
    let nodes: Api<Node> = Api::all(shared.cluster.client.clone());
    let others =
        nodes.list(&ListParams::default().labels("type!=virtual-kubelet")).await.context("listing nodes")?;
    let theirs = others.items.first().context("no node of the kind cluster")?.name_any();
    let ours = shared.stack.node();
    let pods: Api<Pod> = Api::namespaced(shared.cluster.client.clone(), "default");
    let (mut on_ours, mut on_theirs) = (Vec::new(), Vec::new());
    for node in [ours, &theirs] {
        to_ready(&pods, node, "warm-up").await?;
    }
    for run in 0..RUNS {
        on_ours.push(to_ready(&pods, ours, &format!("ours-{run}")).await?);
        on_theirs.push(to_ready(&pods, &theirs, &format!("theirs-{run}")).await?);
    }
    shared.close().await?;
    let (ours, theirs) = (report::median(&mut on_ours), report::median(&mut on_theirs));
    Ok(vec![Row {
        what: "pod created → pod Ready".to_owned(),
        measured: format!("{ours:.0} ms"),
        reference: format!("{theirs:.0} ms on the kind node's kubelet"),
        budget: "below the kubelet".to_owned(),
        within: ours < theirs,
    }])
}

/// Creates a pod for that node, waits until it is Ready, deletes it, and waits until it is deleted. Returns the
/// milliseconds from its creation until it was Ready.
async fn to_ready(pods: &Api<Pod>, node: &str, name: &str) -> anyhow::Result<f64> {
    let mut value = pod(node, name, &["sleep", "3600"]);
    value["spec"]["terminationGracePeriodSeconds"] = 2.into();
    let pod: Pod = serde_json::from_value(value).context("writing a pod")?;
    let begin = Instant::now();
    let created = pods.create(&PostParams::default(), &pod).await.context("creating a pod")?;
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let from = created.metadata.resource_version.unwrap_or_default();
    let mut changes = pods.watch(&params, &from).await.context("watching a pod")?.boxed();
    let mut ready = None;
    while let Some(change) = changes.next().await {
        ensure!(begin.elapsed() < Duration::from_secs(60), "pod {name} on {node} took more than a minute");
        match change.context("watching a pod")? {
            WatchEvent::Modified(pod) if ready.is_none() && is_ready(&pod) => {
                ready = Some(begin.elapsed().as_secs_f64() * 1000.0);
                pods.delete(name, &DeleteParams::default()).await.context("deleting a pod")?;
            }
            WatchEvent::Deleted(_) => return ready.with_context(|| format!("pod {name} was never Ready")),
            _ => {}
        }
    }
    anyhow::bail!("the watch of pod {name} ended")
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
