//! Pod bound → pod Running, beside RunTask → RUNNING on the same emulator.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use harness::cluster::Cluster;
use harness::emulator::{Emulator, Options};
use harness::provider::{self, Provider};
use harness::work::Work;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::reflector::Lookup as _;
use serde_json::json;

use super::report::{self, Row};
use super::{http::Connection, run_task};

const RUNS: usize = 10;

pub(crate) async fn measure(work: &Work) -> anyhow::Result<Vec<Row>> {
    let mut emulator = Emulator::start(work, "pod", Options::default()).await?;
    let endpoint = emulator.endpoint();
    let mut connection = Connection::open(&endpoint).await?;
    connection.logs("CreateLogGroup", json!({"logGroupName": "/bench"}).to_string().into()).await?;
    run_task::register(&endpoint).await?;
    let cluster = Cluster::start(work).await?;
    let options = provider::Options {
        node: "bench".to_owned(),
        endpoint: endpoint.clone(),
        ecs_cluster: "default".to_owned(),
        log_group: "/bench".to_owned(),
    };
    let provider = Provider::start(work, &cluster, options).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "default");
    let (mut tasks, mut bound) = (Vec::new(), Vec::new());
    // The first one registers the task definition that all replicas share.
    to_running(&pods, "warm-up").await?;
    for run in 0..RUNS {
        tokio::time::sleep(Duration::from_secs(3)).await;
        tasks.push(run_task::to_running(&endpoint).await?.1);
        tokio::time::sleep(Duration::from_secs(3)).await;
        bound.push(to_running(&pods, &format!("bench-{run}")).await?);
    }
    drop(provider);
    emulator.terminate().await?;
    cluster.close().await?;
    let (task, pod) = (report::median(&mut tasks), report::median(&mut bound));
    Ok(vec![Row {
        what: "pod bound → pod Running".to_owned(),
        measured: format!("{pod:.0} ms"),
        reference: format!("{task:.0} ms RunTask → RUNNING"),
        budget: "≤ RunTask → RUNNING + 300 ms".to_owned(),
        within: pod <= task + 300.0,
    }])
}

/// Creates a pod that is already bound; returns the milliseconds until its phase is Running.
async fn to_running(pods: &Api<Pod>, name: &str) -> anyhow::Result<f64> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "nodeName": "bench",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 2,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "app", "image": "neargate/fixture:latest", "args": ["sleep", "3600"]}],
        },
    }))
    .context("writing a pod")?;
    let begin = Instant::now();
    let created = pods.create(&PostParams::default(), &pod).await.context("creating a pod")?;
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let from = created.resource_version().unwrap_or_default().into_owned();
    let mut changes = pods.watch(&params, &from).await.context("watching a pod")?.boxed();
    let mut last = String::new();
    while let Some(change) = changes.next().await {
        ensure!(begin.elapsed() < Duration::from_secs(60), "pod {name} does not run: {last}");
        if let WatchEvent::Modified(pod) = change.context("watching a pod")? {
            let status = pod.status.unwrap_or_default();
            if status.phase.as_deref() == Some("Running") {
                let millis = begin.elapsed().as_secs_f64() * 1000.0;
                pods.delete(name, &DeleteParams::default()).await.context("deleting a pod")?;
                return Ok(millis);
            }
            last = format!("{status:?}");
        }
    }
    anyhow::bail!("the watch of pod {name} ended: {last}")
}
