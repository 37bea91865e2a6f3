//! Overflow: what the kind node has no room for runs on Fargate, and is removed first.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use harness::deployment::{available, scale};
use harness::pods::{Pods, name};
use harness::shared::Shared;
use serde_json::Value;

use crate::fixture::{self, get};

const NAMESPACE: &str = "overflow";

/// The request of a pod of the fixture, in thousandths of a core.
const POD: i64 = 250;

pub(crate) async fn what_the_node_has_no_room_for_runs_on_fargate_and_goes_first(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let room = room(shared).await?;
    ensure!(room > 0, "the kind node has no room for a single pod");
    fixture::with(shared, "overflow", async || {
        let cluster = &shared.cluster;
        available(cluster, NAMESPACE, "burst", 1).await?;
        scale(cluster, NAMESPACE, "burst", room + 3).await?;
        let pods = nodes_of_pods(shared).await?;
        let on_fargate = pods.values().filter(|node| *node == shared.stack.node()).count();
        assert_eq!(on_fargate, 3, "the surplus, and no more: {pods:?}");

        scale(cluster, NAMESPACE, "burst", room).await?;
        let left = nodes_of_pods(shared).await?;
        assert!(
            left.values().all(|node| node != shared.stack.node()),
            "Fargate empties first: of {pods:?} are left {left:?}"
        );
        Ok(())
    })
    .await
}

async fn nodes_of_pods(shared: &Shared) -> anyhow::Result<BTreeMap<String, String>> {
    let pods = Pods::of(&shared.cluster, NAMESPACE).labelled("app=burst").await?;
    let placed = pods.iter().map(|pod| {
        let node = pod["spec"]["nodeName"].as_str().context("a pod without a node")?;
        Ok((name(pod)?.to_owned(), node.to_owned()))
    });
    placed.collect()
}

/// How many pods of the fixture the cluster's own nodes have room for, by the requests of what runs there.
async fn room(shared: &Shared) -> anyhow::Result<i32> {
    let nodes = get(shared, "default", "nodes -l type!=virtual-kubelet").await?;
    let pods = get(shared, "default", "pods -A").await?;
    let mut room = 0;
    for node in nodes["items"].as_array().into_iter().flatten() {
        let here = pods["items"].as_array().into_iter().flatten().filter(|pod| {
            pod["spec"]["nodeName"] == node["metadata"]["name"]
                && !["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default())
        });
        let containers = here.flat_map(|pod| pod["spec"]["containers"].as_array().into_iter().flatten());
        let asked: i64 = containers.map(|container| millis(&container["resources"]["requests"]["cpu"])).sum();
        room += (millis(&node["status"]["allocatable"]["cpu"]) - asked) / POD;
    }
    i32::try_from(room).context("room for more pods than there can be")
}

/// A quantity of CPU in thousandths of a core: `2` or `250m`; none is 0.
fn millis(quantity: &Value) -> i64 {
    let text = quantity.as_str().unwrap_or("0");
    let whole = || text.parse::<i64>().map(|cores| cores * 1000);
    text.strip_suffix('m').map_or_else(whole, str::parse).unwrap_or(0)
}
