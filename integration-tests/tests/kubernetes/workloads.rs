//! Usual workloads: Deployments, Jobs, bare pods, and how each ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_ecs::types::TaskStopCode;
use harness::deployment::available;
use harness::namespace::with_namespace;
use harness::wait;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use harness::pods::{Pods, address, ask, condition, container, fixture, pod, task_arn};
use harness::shared::Shared;
use harness::stack::LOG_GROUP;

pub(crate) async fn a_deployment_is_scaled_from_one_to_four_and_back(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let deployment: Deployment =
            serde_json::from_value(fixture("deployments/web.yaml", shared.stack.node())?)
                .context("a Deployment")?;
        let deployments: Api<Deployment> = Api::namespaced(shared.cluster.client.clone(), namespace);
        deployments.create(&PostParams::default(), &deployment).await.context("making a Deployment")?;
        available(&shared.cluster, namespace, "web", 1).await?;

        let scale = async |count: &str| {
            let replicas = format!("--replicas={count}");
            shared.cluster.kubectl(&["scale", "deployment/web", &replicas, "-n", namespace]).await
        };
        scale("4").await?;
        available(&shared.cluster, namespace, "web", 4).await?;
        let pods = Pods::of(&shared.cluster, namespace);
        let four = pods.all().await?;
        let (mut addresses, mut hosts, mut definitions, mut arns) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for pod in &four {
            addresses.insert(address(pod)?);
            hosts.insert(ask(pod, "GET", "/hostname").await?);
            let arn = task_arn(pod)?;
            let task = shared.stack.aws.task(&arn).await?;
            assert_eq!((task.cpu(), task.memory()), (Some("256"), Some("512")));
            definitions.insert(task.task_definition_arn().map(str::to_owned));
            arns.insert(arn);
        }
        assert_eq!((addresses.len(), hosts.len(), arns.len()), (4, 4, 4), "each pod is its own task");
        assert_eq!(definitions.len(), 1, "replicas share one revision: {definitions:?}");

        scale("1").await?;
        available(&shared.cluster, namespace, "web", 1).await?;
        let left = task_arn(&pods.all().await?[0])?;
        for arn in arns.iter().filter(|&arn| *arn != left) {
            let task = shared.stack.aws.stopped(arn).await?;
            assert_eq!(task.stop_code(), Some(&TaskStopCode::UserInitiated));
        }
        shared.stack.aws.running(&left).await?;
        Ok(())
    })
    .await
}

pub(crate) async fn a_job_runs_to_completion(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let job: Job =
            serde_json::from_value(fixture("jobs/count.yaml", shared.stack.node())?).context("a Job")?;
        let jobs: Api<Job> = Api::namespaced(shared.cluster.client.clone(), namespace);
        jobs.create(&PostParams::default(), &job).await.context("making a Job")?;
        wait::until("the Job is complete", wait::seconds(120), async || {
            let status =
                jobs.get("count").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            match (status.succeeded, status.failed) {
                (Some(3), None | Some(0)) if status.completion_time.is_some() => Ok(()),
                other => Err(format!("succeeded and failed: {other:?}")),
            }
        })
        .await?;
        let expected: String = (1..=10).map(|number| format!("line {number:06}\n")).collect();
        for pod in Pods::of(&shared.cluster, namespace).all().await? {
            let name = pod["metadata"]["name"].as_str().context("a name")?;
            assert_eq!(shared.cluster.kubectl(&["logs", name, "-n", namespace]).await?, expected);
        }
        Ok(())
    })
    .await
}

pub(crate) async fn a_pods_exit_code_decides_its_phase(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        for (name, code, phase, reason) in
            [("well", "0", "Succeeded", "Completed"), ("badly", "7", "Failed", "Error")]
        {
            pods.create(pod(shared.stack.node(), name, &["exit", code])).await?;
            let ended = pods.phase(name, phase).await?;
            let terminated = &container(&ended)["state"]["terminated"];
            assert_eq!(terminated["exitCode"].to_string(), code, "{terminated}");
            assert_eq!(terminated["reason"], reason, "{terminated}");
            assert!(
                terminated["startedAt"].is_string() && terminated["finishedAt"].is_string(),
                "{terminated}"
            );
            assert_eq!(condition(&ended, "Ready"), "False");
            assert_eq!(container(&ended)["restartCount"], 0);
        }
        Ok(())
    })
    .await
}

pub(crate) async fn a_crash_loop_backs_off_and_stays_running(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        // It prints why, and ends with 1: nothing listens there.
        let mut crashing =
            pod(shared.stack.node(), "crashing", &["get", "http://127.0.0.1:9/", "--within", "0"]);
        crashing["spec"]["restartPolicy"] = json!("Always");
        pods.create(crashing).await?;
        let waiting = pods
            .until("crashing", "backs off", wait::seconds(120), |pod| {
                container(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            })
            .await?;
        assert_eq!(waiting["status"]["phase"], "Running", "a restart is decided before the phase");
        assert_eq!(container(&waiting)["lastState"]["terminated"]["exitCode"], 1);
        let again = pods
            .until("crashing", "has been run three times", wait::seconds(150), |pod| {
                container(pod)["restartCount"].as_i64() >= Some(2)
            })
            .await?;
        assert_eq!(again["status"]["phase"], "Running");
        let previous = shared.cluster.kubectl(&["logs", "crashing", "--previous", "-n", namespace]).await?;
        assert!(previous.starts_with("no answer from 127.0.0.1:9"), "{previous}");
        assert_eq!(previous.lines().count(), 1, "only the previous attempt's lines: {previous}");
        Ok(())
    })
    .await
}

pub(crate) async fn a_pod_shows_what_its_task_is(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        let mut served = pod(shared.stack.node(), "served", &["serve"]);
        served["metadata"]["labels"] = json!({ "team": "blue" });
        served["spec"]["containers"][0]["env"] = json!([{ "name": "GREETING", "value": "hello" }]);
        served["spec"]["containers"][0]["resources"] =
            json!({ "requests": { "cpu": "300m", "memory": "700Mi" } });
        pods.create(served).await?;
        let pod = pods.ready("served").await?;
        let task = shared.stack.aws.running(&task_arn(&pod)?).await?;

        assert_eq!(pod["status"]["podIP"], harness::aws::address(&task)?);
        assert_eq!(pod["status"]["hostIP"], shared.cluster.node_ip());
        assert_eq!(pod["metadata"]["annotations"]["CapacityProvisioned"], "0.5vCPU 1GB");
        assert_eq!((task.cpu(), task.memory()), (Some("512"), Some("1024")), "rounded up to a Fargate size");
        assert_eq!(ask(&pod, "GET", "/env/GREETING").await?.trim(), "hello");
        let id = container(&pod)["containerID"].as_str().context("no containerID")?;
        assert!(id.starts_with("ecs://") && id.contains(harness::aws::id(&task_arn(&pod)?)), "{id}");
        let tags = shared.stack.aws.tags(&task_arn(&pod)?).await?;
        assert_eq!(tags.get("team").map(String::as_str), Some("blue"), "labels are tags: {tags:?}");
        Ok(())
    })
    .await
}

pub(crate) async fn a_pod_is_gone_only_after_its_task_is_stopped(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        // It ignores SIGTERM: the object stays for the whole grace period.
        let mut deaf = pod(shared.stack.node(), "deaf", &["trap", "--ignore"]);
        deaf["spec"]["terminationGracePeriodSeconds"] = json!(4);
        pods.create(deaf).await?;
        let arn = task_arn(&pods.ready("deaf").await?)?;
        shared.cluster.kubectl(&["delete", "pod", "deaf", "-n", namespace, "--wait=false"]).await?;
        pods.gone("deaf").await?;
        // Not a wait: at the moment when the object is gone the task has to be STOPPED.
        let task = shared.stack.aws.task(&arn).await?;
        assert_eq!(task.last_status(), Some("STOPPED"), "{}", harness::aws::describe(&task));
        let main = task.containers().iter().find(|container| container.name() == Some("main"));
        assert_eq!(
            main.and_then(|container| container.exit_code()),
            Some(137),
            "{}",
            harness::aws::describe(&task)
        );
        Ok(())
    })
    .await
}

pub(crate) async fn a_forced_deletion_stops_the_task_too(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        pods.create(pod(shared.stack.node(), "forced", &["sleep", "600"])).await?;
        let arn = task_arn(&pods.ready("forced").await?)?;
        shared
            .cluster
            .kubectl(&["delete", "pod", "forced", "-n", namespace, "--force", "--grace-period=0"])
            .await?;
        let task = shared.stack.aws.stopped(&arn).await?;
        assert_eq!(task.stop_code(), Some(&TaskStopCode::UserInitiated));
        Ok(())
    })
    .await
}

pub(crate) async fn a_pre_stop_http_get_is_asked_while_the_containers_still_run(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        let mut polite = pod(shared.stack.node(), "polite", &["serve"]);
        polite["spec"]["containers"][0]["lifecycle"] =
            json!({ "preStop": { "httpGet": { "path": "/env/GOODBYE", "port": 8080 } } });
        pods.create(polite).await?;
        let arn = task_arn(&pods.ready("polite").await?)?;
        shared.cluster.kubectl(&["delete", "pod", "polite", "-n", namespace, "--wait=false"]).await?;
        pods.gone("polite").await?;
        let stopped = shared.stack.aws.task(&arn).await?;
        assert_eq!(stopped.last_status(), Some("STOPPED"));
        let log = format!("pods/main/{}", harness::aws::id(&arn));
        let seen = shared.stack.aws.stream(LOG_GROUP, &log).await?;
        assert_eq!(seen.last().map(String::as_str), Some("GET /env/GOODBYE 404"), "{seen:?}");
        Ok(())
    })
    .await
}
