//! Opt in by toleration.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use harness::deployment::available;
use harness::kubectl;
use harness::pods::{Pods, ask, name, task_arn};
use harness::shared::Shared;
use harness::stack::Stack;
use harness::{chain, wait};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::fixture;

const NAMESPACE: &str = "opt-in";

pub(crate) async fn a_deployment_opts_in_by_toleration_and_survives_the_provider(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    // Its own stack: its provider is killed.
    let mut stack = Stack::start(&shared.work, &shared.cluster, "opt-in").await?;
    // The shared node gets no pod of it meanwhile.
    shared.cluster.kubectl(&["cordon", shared.stack.node()]).await?;
    let outcome = fixture::with(shared, "opt-in", async || played(shared, &mut stack).await).await;
    shared.cluster.kubectl(&["uncordon", shared.stack.node()]).await?;
    outcome?;
    stack.close(&shared.cluster).await
}

async fn played(shared: &Shared, stack: &mut Stack) -> anyhow::Result<()> {
    let cluster = &shared.cluster;
    available(cluster, NAMESPACE, "on-fargate", 2).await?;
    available(cluster, NAMESPACE, "on-kind", 1).await?;
    let pods = Pods::of(cluster, NAMESPACE);
    for pod in pods.labelled("app=on-fargate").await? {
        assert_eq!(pod["spec"]["nodeName"], stack.node());
    }
    for pod in pods.labelled("app=on-kind").await? {
        assert_ne!(pod["spec"]["nodeName"], stack.node(), "it does not tolerate the taint");
    }

    // The log is CloudWatch's, and is followed.
    let fargate = pods.labelled("app=on-fargate").await?;
    let first = &fargate[0];
    let arguments = ["logs", "-f", name(first)?, "-n", NAMESPACE];
    let mut follower = kubectl::command(&cluster.kubeconfig, &arguments)?
        .stdout(Stdio::piped())
        .spawn()
        .context("starting kubectl logs -f")?;
    let mut lines = BufReader::new(follower.stdout.take().context("no output")?).lines();
    ask(first, "GET", "/env/OPT_IN").await?;
    wait::until("kubectl logs -f shows the request", wait::seconds(30), async || {
        let line = lines.next_line().await.map_err(|error| error.to_string())?;
        let line = line.ok_or("the log ended")?;
        if line.contains("GET /env/OPT_IN 404") { Ok(()) } else { Err(line) }
    })
    .await?;
    follower.kill().await.context("ending kubectl logs -f")?;

    // The provider is killed and finds everything again: the same pods, the same tasks, none twice.
    let mut before: Vec<String> = fargate.iter().map(task_arn).collect::<anyhow::Result<_>>()?;
    before.sort();
    stack.provider.kill()?;
    cluster.kubectl(&["scale", "deployment/on-fargate", "--replicas=3", "-n", NAMESPACE]).await?;
    stack.provider.resume()?;
    stack.provider.ready(cluster).await?;
    available(cluster, NAMESPACE, "on-fargate", 3).await?;
    let mut listed = stack.tasks("RUNNING").await?;
    listed.sort();
    ensure!(listed.len() == 3, "three tasks for three pods: {listed:?}");
    ensure!(before.iter().all(|arn| listed.contains(arn)), "{before:?} are still among {listed:?}");

    // What AWS's console would show of them.
    for arn in &listed {
        let task = stack.aws.task(arn).await?;
        assert_eq!(task.last_status(), Some("RUNNING"));
        let tags = stack.aws.tags(arn).await?;
        let pod = tags.get("neargate.dev/pod-name").with_context(|| format!("no pod's name in {tags:?}"))?;
        pods.get(pod).await.map_err(|error| anyhow::anyhow!("the task of no pod: {}", chain(&error)))?;
    }
    Ok(())
}
