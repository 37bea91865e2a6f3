//! A stateless front, scaled up and down, and what it cost.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use harness::deployment::{available, scale};
use harness::pods::{Pods, address, name, task_arn};
use harness::shared::Shared;
use harness::{chain, docker, process, wait};
use serde_json::Value;

use crate::fixture::{self, endpoints};

const NAMESPACE: &str = "scale";

pub(crate) async fn a_front_is_scaled_and_its_cost_is_known(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let mut pods_seen = BTreeSet::new();
    fixture::with(shared, "scale", async || {
        let cluster = &shared.cluster;
        available(cluster, NAMESPACE, "front", 1).await?;
        scale(cluster, NAMESPACE, "front", 4).await?;
        let pods = Pods::of(cluster, NAMESPACE);
        let four = pods.labelled("app=front").await?;
        for pod in &four {
            pods_seen.insert(name(pod)?.to_owned());
        }
        let addresses: BTreeSet<String> = four.iter().map(address).collect::<anyhow::Result<_>>()?;
        follow(shared, &addresses).await?;

        scale(cluster, NAMESPACE, "front", 1).await?;
        let left = pods.labelled("app=front").await?;
        let kept = task_arn(&left[0])?;
        follow(shared, &BTreeSet::from([address(&left[0])?])).await?;
        // The pods are gone, so their tasks are STOPPED and nothing of them is left.
        let held = docker::held_by(shared.stack.emulator.instance()).await?;
        for arn in four.iter().map(task_arn) {
            let arn = arn?;
            if arn != kept {
                let task = shared.stack.aws.task(&arn).await?;
                assert_eq!(task.last_status(), Some("STOPPED"));
                let id = harness::aws::id(&arn);
                ensure!(held.iter().all(|held| !held.contains(id)), "{id} is gone, yet of {held:?}");
            }
        }
        Ok(())
    })
    .await?;
    cost(shared, &pods_seen)
}

/// Waits until the Service's endpoints are these addresses.
async fn follow(shared: &Shared, addresses: &BTreeSet<String>) -> anyhow::Result<()> {
    wait::until("the endpoints follow", wait::seconds(30), async || {
        let seen = endpoints(shared, NAMESPACE, "front").await.map_err(|error| chain(&error))?;
        if seen == *addresses { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await
}

/// `neargate cost` has each of the pods' tasks, billed for at least a minute.
fn cost(shared: &Shared, pods: &BTreeSet<String>) -> anyhow::Result<()> {
    let endpoint = shared.stack.emulator.endpoint();
    let output = Command::new(process::binary("neargate")?)
        .args(["cost", "--endpoint", &endpoint, "--by", "tag:neargate.dev/pod-name", "--json"])
        .output()
        .context("running neargate cost")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).context("reading the cost report")?;
    let groups = report["groups"].as_array().context("no groups")?;
    for pod in pods {
        let group = groups.iter().find(|group| group["key"] == pod.as_str());
        let group = group.with_context(|| format!("{pod} is not in {report}"))?;
        let (seconds, dollars) = (group["seconds"].as_f64(), group["dollars"].as_f64());
        assert!(seconds >= Some(60.0) && dollars > Some(0.0), "{group}");
        assert_eq!(group["vcpuSeconds"].as_f64(), seconds.map(|seconds| seconds * 0.25), "{group}");
    }
    Ok(())
}
