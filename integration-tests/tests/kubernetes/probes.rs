//! Probes run from the provider to the pod's address.

use std::sync::Arc;

use harness::namespace::with_namespace;
use harness::wait;
use serde_json::json;

use harness::pods::{Pods, ask, condition, container, pod, task_arn};
use harness::shared::Shared;

pub(crate) async fn readiness_follows_its_probe(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        let mut probed = pod(shared.stack.node(), "probed", &["serve", "--unhealthy"]);
        probed["spec"]["containers"][0]["readinessProbe"] =
            json!({ "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1, "failureThreshold": 1 });
        pods.create(probed).await?;
        let running = pods
            .until("probed", "runs", wait::seconds(90), |pod| container(pod)["state"]["running"].is_object())
            .await?;
        // The probe's own requests are in the log: it has failed, and not just not run yet.
        wait::until("the probe has asked", wait::seconds(30), async || {
            let log = shared.cluster.kubectl(&["logs", "probed", "-n", namespace]).await;
            let log = log.map_err(|error| harness::chain(&error))?;
            if log.contains("GET /healthz 503") { Ok(()) } else { Err(log) }
        })
        .await?;
        assert_eq!(condition(&pods.get("probed").await?, "Ready"), "False");

        ask(&running, "POST", "/healthz/ok").await?;
        let ready = pods.ready("probed").await?;
        assert_eq!(container(&ready)["ready"], true);
        ask(&running, "POST", "/healthz/fail").await?;
        let unready = |pod: &serde_json::Value| condition(pod, "Ready") == "False";
        let failed = pods.until("probed", "is no longer Ready", wait::seconds(30), unready).await?;
        assert_eq!(container(&failed)["restartCount"], 0, "readiness restarts nothing");
        Ok(())
    })
    .await
}

pub(crate) async fn a_failed_liveness_probe_runs_the_pod_again(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        let mut probed = pod(shared.stack.node(), "probed", &["serve"]);
        probed["spec"]["restartPolicy"] = json!("Always");
        probed["spec"]["containers"][0]["livenessProbe"] =
            json!({ "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1, "failureThreshold": 2 });
        pods.create(probed).await?;
        let running = pods.ready("probed").await?;
        ask(&running, "POST", "/healthz/fail").await?;
        let again = pods
            .until("probed", "is Ready again", wait::seconds(120), |pod| {
                container(pod)["restartCount"] == 1 && condition(pod, "Ready") == "True"
            })
            .await?;
        assert_eq!(ask(&again, "GET", "/healthz").await?.trim(), "ok");
        Ok(())
    })
    .await
}

pub(crate) async fn an_exec_probe_is_the_containers_health_check(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        let mut probed = pod(shared.stack.node(), "probed", &["serve", "--unhealthy"]);
        let command = ["/neargate-fixture", "get", "http://localhost:8080/healthz"];
        probed["spec"]["containers"][0]["readinessProbe"] = json!({
            "exec": { "command": command }, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 1,
        });
        pods.create(probed).await?;
        let running = pods
            .until("probed", "runs", wait::seconds(90), |pod| container(pod)["state"]["running"].is_object())
            .await?;
        let arn = task_arn(&running)?;
        let health = async |wanted: &str| {
            wait::until(&format!("the task is {wanted}"), wait::seconds(60), async || {
                let task = shared.stack.aws.task(&arn).await.map_err(|error| harness::chain(&error))?;
                let health = task.health_status().map_or("absent", |health| health.as_str()).to_owned();
                if health == wanted { Ok(()) } else { Err(health) }
            })
            .await
        };
        health("UNHEALTHY").await?;
        assert_eq!(condition(&pods.get("probed").await?, "Ready"), "False");
        ask(&running, "POST", "/healthz/ok").await?;
        health("HEALTHY").await?;
        let ready = pods.ready("probed").await?;
        assert_eq!(container(&ready)["restartCount"], 0);
        Ok(())
    })
    .await
}
