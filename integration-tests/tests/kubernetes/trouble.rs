//! Crashes and absences: no task is started twice, none is orphaned, no pod's status shows trouble that is not its own.

use std::sync::Arc;

use anyhow::Context as _;
use harness::deployment::available;
use harness::namespace::with_namespace;
use harness::provider::readiness;
use harness::{aws, chain, wait};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use harness::pods::{Pods, condition, container, fixture, pod, task_arn};
use harness::shared::Shared;
use harness::stack::Stack;

/// The parts of a pod that no trouble with AWS may change. (The node controller sets its Ready condition if the node
/// is not ready.)
fn untouchable(pod: &Value) -> Value {
    let status = &pod["status"];
    json!([
        status["phase"],
        status["podIP"],
        status["reason"],
        container(pod)["state"],
        container(pod)["restartCount"]
    ])
}

pub(crate) async fn an_emulator_that_is_gone_for_a_minute_changes_no_pod(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let mut stack = Stack::lasting(&shared.work, &shared.cluster, "absent").await?;
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        pods.create(pod(stack.node(), "bystander", &["serve"])).await?;
        let before = pods.ready("bystander").await?;

        stack.emulator.kill()?;
        wait::throughout("the pod is as it was", wait::seconds(60), async || {
            let now = pods.get("bystander").await.map_err(|error| chain(&error))?;
            if untouchable(&now) == untouchable(&before) { Ok(()) } else { Err(now["status"].to_string()) }
        })
        .await?;
        wait::until("the node is NotReady", wait::seconds(60), async || {
            match readiness(&shared.cluster, stack.node()).await.map_err(|error| chain(&error))?.as_str() {
                "True" => Err("Ready".to_owned()),
                _ => Ok(()),
            }
        })
        .await?;

        stack.emulator.resume().await?;
        stack.provider.ready(&shared.cluster).await?;
        let after = pods.ready("bystander").await?;
        assert_eq!(untouchable(&after), untouchable(&before));
        assert_eq!(task_arn(&after)?, task_arn(&before)?);
        assert_eq!(stack.tasks("RUNNING").await?, [task_arn(&before)?]);
        Ok(())
    })
    .await?;
    stack.close(&shared.cluster).await
}

pub(crate) async fn pods_deleted_while_the_provider_was_down_are_cleaned_up(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let mut stack = Stack::start(&shared.work, &shared.cluster, "deleted").await?;
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        let names = ["stays", "deleted", "forced"];
        for name in names {
            pods.create(pod(stack.node(), name, &["sleep", "600"])).await?;
        }
        let mut arns = Vec::new();
        for name in names {
            arns.push(task_arn(&pods.ready(name).await?)?);
        }
        let before = stack.aws.task(&arns[0]).await?;

        stack.provider.kill()?;
        shared.cluster.kubectl(&["delete", "pod", "deleted", "-n", namespace, "--wait=false"]).await?;
        shared
            .cluster
            .kubectl(&["delete", "pod", "forced", "-n", namespace, "--force", "--grace-period=0"])
            .await?;
        pods.gone("forced").await?;
        pods.create(pod(stack.node(), "made", &["sleep", "600"])).await?;

        stack.provider.resume()?;
        pods.gone("deleted").await?;
        for arn in &arns[1..] {
            let task = stack.aws.stopped(arn).await?;
            assert_eq!(task.stop_code().map(|code| code.as_str()), Some("UserInitiated"));
        }
        let made = task_arn(&pods.ready("made").await?)?;
        let mut running = stack.tasks("RUNNING").await?;
        running.sort();
        let mut expected = vec![arns[0].clone(), made];
        expected.sort();
        assert_eq!(running, expected);
        let after = stack.aws.task(&arns[0]).await?;
        assert_eq!(after.version(), before.version(), "{}", aws::describe(&after));
        Ok(())
    })
    .await?;
    stack.close(&shared.cluster).await
}

pub(crate) async fn a_crash_of_everything_in_the_middle_of_starting_runs_no_task_twice(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    const PODS: usize = 8;
    let mut stack = Stack::lasting(&shared.work, &shared.cluster, "crashed").await?;
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        for number in 0..PODS {
            pods.create(pod(stack.node(), &format!("pod-{number}"), &["sleep", "600"])).await?;
        }
        wait::until("the first task exists", wait::seconds(60), async || {
            let tasks = stack.tasks("RUNNING").await.map_err(|error| chain(&error))?;
            if tasks.is_empty() { Err("none".to_owned()) } else { Ok(()) }
        })
        .await?;
        stack.provider.kill()?;
        stack.emulator.kill()?;
        // The provider first: its endpoint does not exist yet.
        stack.provider.resume()?;
        stack.emulator.resume().await?;

        for number in 0..PODS {
            let pod = pods.ready(&format!("pod-{number}")).await?;
            assert_eq!(container(&pod)["restartCount"], 0);
        }
        assert_eq!(stack.tasks("RUNNING").await?.len(), PODS);
        assert_eq!(stack.tasks("STOPPED").await?, Vec::<String>::new());
        Ok(())
    })
    .await?;
    stack.close(&shared.cluster).await
}

pub(crate) async fn a_drained_node_stops_its_tasks_and_gets_its_pods_back(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let stack = Stack::start(&shared.work, &shared.cluster, "drained").await?;
    with_namespace(&shared.cluster.client, async |namespace| {
        let mut web = fixture("deployments/web.yaml", stack.node())?;
        web["spec"]["replicas"] = json!(2);
        let web: Deployment = serde_json::from_value(web).context("a Deployment")?;
        let deployments: Api<Deployment> = Api::namespaced(shared.cluster.client.clone(), namespace);
        deployments.create(&PostParams::default(), &web).await.context("making a Deployment")?;
        available(&shared.cluster, namespace, "web", 2).await?;
        let before = stack.tasks("RUNNING").await?;
        assert_eq!(before.len(), 2);

        shared.cluster.kubectl(&["drain", stack.node(), "--timeout=90s"]).await?;
        for arn in &before {
            stack.aws.stopped(arn).await?;
        }
        assert_eq!(stack.tasks("RUNNING").await?, Vec::<String>::new());
        for pod in Pods::of(&shared.cluster, namespace).all().await? {
            assert_eq!(condition(&pod, "PodScheduled"), "False", "a cordoned node gets no pod");
        }
        shared.cluster.kubectl(&["uncordon", stack.node()]).await?;
        available(&shared.cluster, namespace, "web", 2).await
    })
    .await?;
    stack.close(&shared.cluster).await
}
