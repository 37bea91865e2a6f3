//! A rolling update and a rollback under load: no failed request.

use std::sync::Arc;

use anyhow::Context as _;
use harness::deployment::available;
use harness::pods::{Pods, ask};
use harness::shared::Shared;
use harness::wait;

use crate::fixture::{self, logs};

const NAMESPACE: &str = "rolling-update";

pub(crate) async fn an_update_and_a_rollback_under_load_fail_no_request(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    fixture::with(shared, "rolling-update", async || {
        let cluster = &shared.cluster;
        available(cluster, NAMESPACE, "shop", 3).await?;
        fixture::with(shared, "load", async || {
            let pods = Pods::of(cluster, NAMESPACE);
            pods.ready("load").await?;
            cluster.kubectl(&["set", "env", "deployment/shop", "VERSION=v2", "-n", NAMESPACE]).await?;
            rolled_out(shared, "v2").await?;
            cluster.kubectl(&["rollout", "undo", "deployment/shop", "-n", NAMESPACE]).await?;
            rolled_out(shared, "v1").await?;
            let load = pods.get("load").await?;
            assert_eq!(
                load["status"]["phase"], "Running",
                "the load lasted through both: {}",
                load["status"]
            );

            pods.until("load", "has ended", wait::seconds(120), |pod| {
                ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default())
            })
            .await?;
            let said = logs(shared, NAMESPACE, "load").await?;
            let last =
                said.lines().find(|line| line.contains(" answered, ")).context("the load printed nothing")?;
            assert!(last.starts_with("12000 answered, 0 failed "), "{said}");
            Ok(())
        })
        .await
    })
    .await
}

/// Waits until all three pods have that version, and no other is left.
async fn rolled_out(shared: &Shared, version: &str) -> anyhow::Result<()> {
    available(&shared.cluster, NAMESPACE, "shop", 3).await?;
    for pod in Pods::of(&shared.cluster, NAMESPACE).labelled("app=shop").await? {
        assert_eq!(ask(&pod, "GET", "/env/VERSION").await?.trim(), version);
    }
    Ok(())
}
