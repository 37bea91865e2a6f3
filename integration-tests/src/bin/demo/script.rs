//! The steps that are shown, in order.

use std::time::Duration;

use anyhow::Context as _;
use harness::{kubectl, wait};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::screen::Screen;
use crate::stage::{NAMESPACE, Stage};
use crate::table;

/// Lines of the log that are shown before `kubectl logs -f` is stopped.
const LINES: usize = 6;

pub(crate) async fn play(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    let manifest = harness::fixture("deployments/web.yaml");
    let manifest = manifest.to_string_lossy();
    let applied = async {
        stage.cluster()?.kubectl(&["apply", "--namespace", NAMESPACE, "-f", &manifest]).await?;
        available(stage, 1).await
    };
    screen.step("kubectl apply -f fixtures/deployments/web.yaml, until its pod is Ready", applied).await?;
    table::show(stage, screen).await?;

    scale(stage, screen, 4).await?;
    table::show(stage, screen).await?;
    stage.kubectl(screen, &["get", "pods", "-o", "wide"]).await?;

    screen.step("kubectl logs -f, while the pod gets a request", follow(stage)).await?;

    let list = ["ecs", "list-tasks", "--query", "taskArns", "--output", "text"];
    stage.aws_cli(screen, &list).await?;
    let arns = stage.aws().await?.tasks("default", "RUNNING").await?;
    let shown = "tasks[].{task:taskArn,status:lastStatus,cpu:cpu,memory:memory,startedBy:startedBy}";
    let mut describe = vec!["ecs", "describe-tasks", "--query", shown, "--output", "table", "--tasks"];
    describe.extend(arns.iter().map(String::as_str));
    stage.aws_cli(screen, &describe).await?;

    scale(stage, screen, 1).await?;
    table::show(stage, screen).await?;
    let stopped = ["ecs", "list-tasks", "--desired-status", "STOPPED", "--query", "length(taskArns)"];
    stage.aws_cli(screen, &stopped).await
}

async fn scale(stage: &Stage, screen: &mut Screen, count: i32) -> anyhow::Result<()> {
    let scaled = async {
        let replicas = format!("--replicas={count}");
        stage.cluster()?.kubectl(&["scale", "deployment/web", &replicas, "--namespace", NAMESPACE]).await?;
        available(stage, count).await
    };
    screen
        .step(&format!("kubectl scale deployment/web --replicas={count}, until so many are Ready"), scaled)
        .await
}

/// Waits until the Deployment has `count` pods, all available, and no others.
async fn available(stage: &Stage, count: i32) -> anyhow::Result<()> {
    let client = stage.cluster()?.client.clone();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    wait::until(&format!("{count} pods are available"), wait::seconds(120), async || {
        let status =
            deployments.get("web").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let there = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items.len();
        let available = status.available_replicas.unwrap_or(0);
        let wanted = usize::try_from(count).unwrap_or_default();
        if available == count && there == wanted {
            Ok(())
        } else {
            Err(format!("{available} available, {there} pods"))
        }
    })
    .await
}

/// Follows the log of one pod while sending requests to it, and prints the lines as they arrive.
async fn follow(stage: &Stage) -> anyhow::Result<()> {
    let cluster = stage.cluster()?;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let pod = pods.list(&ListParams::default()).await.context("listing pods")?.items.remove(0);
    let name = pod.metadata.name.context("a pod without a name")?;
    let address = pod.status.and_then(|status| status.pod_ip).context("a pod without an address")?;

    let args = ["logs", "-f", "--tail=0", &name, "--namespace", NAMESPACE];
    let mut follower = kubectl::follow(&cluster.kubeconfig, &args)?;
    let mut lines = BufReader::new(follower.stdout.take().context("no stdout")?).lines();
    println!("\n          $ kubectl {}", args.join(" "));
    let asked = async {
        let mut pace = tokio::time::interval(Duration::from_millis(300));
        loop {
            pace.tick().await;
            reqwest::get(format!("http://{address}:8080/")).await.context("asking the pod")?;
        }
    };
    let read = async {
        for _ in 0..LINES {
            let line = lines.next_line().await.context("reading the log")?.context("the log ended")?;
            println!("          {line}");
        }
        anyhow::Ok(())
    };
    let outcome: anyhow::Result<()> = tokio::select! {
        asked = asked => asked,
        read = tokio::time::timeout(wait::seconds(60), read) => read.context("no line within 60 s")?,
    };
    follower.kill().await.context("leaving kubectl logs -f")?;
    println!();
    outcome
}
