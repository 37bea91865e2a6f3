//! Other users of the same ECS cluster: their tasks are not touched.

use std::sync::Arc;

use harness::aws::{self, container};
use harness::cluster::Cluster;
use harness::namespace::with_namespace;
use harness::provider::{self, Provider};

use harness::pods::{Pods, pod, task_arn};
use harness::shared::Shared;
use harness::stack::{LOG_GROUP, Stack};

pub(crate) async fn a_colleagues_task_is_never_touched(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let mut stack = Stack::start(&shared.work, &shared.cluster, "colleague").await?;
    let definition = stack.aws.register("colleague", [container("main", &["sleep", "600"]).build()]).await?;
    let theirs = stack.aws.run_on(&stack.ecs_cluster, &definition).await?;
    let before = stack.aws.running(&theirs).await?;
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        pods.create(pod(stack.node(), "ours", &["sleep", "600"])).await?;
        let ours = task_arn(&pods.ready("ours").await?)?;
        // At its start a provider looks for its own tasks without a pod.
        stack.provider.kill()?;
        shared
            .cluster
            .kubectl(&["delete", "pod", "ours", "-n", namespace, "--force", "--grace-period=0"])
            .await?;
        stack.provider.resume()?;
        stack.aws.stopped(&ours).await?;
        Ok(())
    })
    .await?;
    let after = stack.aws.task(&theirs).await?;
    assert_eq!(after.version(), before.version(), "{}", aws::describe(&after));
    stack.close(&shared.cluster).await
}

pub(crate) async fn another_clusters_provider_on_the_same_ecs_cluster_is_never_touched(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let mut first = Stack::start(&shared.work, &shared.cluster, "neighbour").await?;
    // All names are the same: node, ECS cluster, namespace, pod. Only the Kubernetes cluster differs.
    let second = Cluster::own(&shared.work, "second-control-plane").await?;
    let work = harness::work::Work::new("second")?;
    let options = provider::Options {
        node: first.node().to_owned(),
        endpoint: first.emulator.endpoint(),
        ecs_cluster: first.ecs_cluster.clone(),
        log_group: LOG_GROUP.to_owned(),
    };
    let mut other = Provider::start(&work, &second, options).await?;

    let in_first = Pods::of(&shared.cluster, "default");
    let in_second = Pods::of(&second, "default");
    for pods in [&in_first, &in_second] {
        pods.create(pod(first.node(), "namesake", &["sleep", "600"])).await?;
    }
    let ours = task_arn(&in_first.ready("namesake").await?)?;
    let theirs = task_arn(&in_second.ready("namesake").await?)?;
    assert_ne!(ours, theirs);
    let before = first.aws.task(&theirs).await?;

    first.provider.kill()?;
    other.kill()?;
    shared
        .cluster
        .kubectl(&["delete", "pod", "namesake", "-n", "default", "--force", "--grace-period=0"])
        .await?;
    first.provider.resume()?;
    other.resume()?;
    first.aws.stopped(&ours).await?;
    other.ready(&second).await?;
    let after = first.aws.task(&theirs).await?;
    assert_eq!(after.version(), before.version(), "{}", aws::describe(&after));
    assert_eq!(task_arn(&in_second.ready("namesake").await?)?, theirs);

    other.terminate().await?;
    second.close().await?;
    work.close()?;
    first.close(&shared.cluster).await
}
