//! CI agents: thirty short Jobs at once.

use std::sync::Arc;

use anyhow::Context as _;
use harness::namespace::with_namespace;
use harness::pods::{Pods, task_arn};
use harness::shared::Shared;
use harness::{chain, docker, wait};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{ListParams, PostParams};

use crate::fixture::get;

const AGENTS: i64 = 30;

pub(crate) async fn thirty_jobs_at_once_keep_their_exit_codes_and_leave_nothing(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| played(shared, namespace).await).await?;
    let running = shared.stack.tasks("RUNNING").await?;
    assert!(running.is_empty(), "every task is gone: {running:?}");
    Ok(())
}

async fn played(shared: &Shared, namespace: &str) -> anyhow::Result<()> {
    let template =
        std::fs::read_to_string(harness::fixture("scenarios/ci-agent.yaml")).context("reading a Job")?;
    let jobs: Api<Job> = Api::namespaced(shared.cluster.client.clone(), namespace);
    let make = (1..=AGENTS).map(|number| {
        let text = template.replace("NUMBER", &number.to_string()).replace("CODE", &code(number).to_string());
        let jobs = jobs.clone();
        async move {
            let mut job: Job = serde_yaml_ng::from_str(&text).context("reading a Job")?;
            // The page has its own namespace, and so has the test.
            job.metadata.namespace = None;
            jobs.create(&PostParams::default(), &job).await.context("making a Job").map(drop)
        }
    });
    futures::future::try_join_all(make).await?;

    wait::until("every agent has ended", wait::seconds(240), async || {
        let all = jobs.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let ended = all.iter().filter(|job| {
            let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.into_iter().flatten().any(|condition| {
                condition.status == "True" && ["Complete", "Failed"].contains(&condition.type_.as_str())
            })
        });
        let ended = ended.count();
        if ended == all.len() { Ok(()) } else { Err(format!("{ended} of {} have ended", all.len())) }
    })
    .await?;

    let pods = Pods::of(&shared.cluster, namespace).all().await?;
    assert_eq!(pods.len(), usize::try_from(AGENTS)?, "each agent ran once");
    let mut arns = std::collections::BTreeSet::new();
    for pod in &pods {
        let number: i64 = pod["metadata"]["labels"]["job-name"]
            .as_str()
            .and_then(|name| name.strip_prefix("agent-")?.parse().ok())
            .context("a pod of no agent")?;
        let terminated = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(terminated["exitCode"].as_i64(), Some(code(number)), "agent {number}: {}", pod["status"]);
        let arn = task_arn(pod)?;
        let task = shared.stack.aws.stopped(&arn).await?;
        let own = task.containers().iter().find(|container| container.name() == Some("build"));
        let exit = own.and_then(|container| container.exit_code()).map(i64::from);
        assert_eq!(exit, Some(code(number)), "{}", harness::aws::describe(&task));
        arns.insert(arn);
    }
    assert_eq!(arns.len(), pods.len(), "each has its own task");

    // Their resources are released while the Jobs can still be read.
    let events = get(shared, namespace, "events --field-selector reason=FailedRunTask").await?;
    assert_eq!(events["items"].as_array().map(Vec::len), Some(0), "AWS refused none: {events}");
    wait::until("no container of the agents is left", wait::seconds(60), async || {
        let held = docker::held_by(shared.stack.emulator.instance()).await.map_err(|error| chain(&error))?;
        let left: Vec<_> =
            held.iter().filter(|held| arns.iter().any(|arn| held.contains(harness::aws::id(arn)))).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await
}

/// Two thirds of the builds succeed.
fn code(number: i64) -> i64 {
    if number % 3 == 0 { number % 5 + 1 } else { 0 }
}
