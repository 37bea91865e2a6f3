//! A PersistentVolumeClaim: refused on Fargate, with the reason.

use std::sync::Arc;

use harness::pods::Pods;
use harness::shared::Shared;
use harness::{chain, wait};

use crate::fixture::{self, get, logs};

const NAMESPACE: &str = "volume-claim";

pub(crate) async fn a_claim_is_refused_on_fargate_and_bound_on_the_kind_node(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    fixture::with(shared, "volume-claim", async || {
        let pods = Pods::of(&shared.cluster, NAMESPACE);
        pods.phase("on-kind", "Succeeded").await?;
        let written = logs(shared, NAMESPACE, "on-kind").await?;
        assert_eq!(written.lines().last(), Some("written by a pod"));

        let event = wait::until("an event has the reason", wait::seconds(60), async || {
            let selector = "events --field-selector involvedObject.name=on-fargate,type=Warning";
            let events = get(shared, NAMESPACE, selector).await.map_err(|error| chain(&error))?;
            let all = events["items"].as_array().cloned().unwrap_or_default();
            let said =
                all.iter().find(|event| event["message"].as_str().is_some_and(|text| text.contains("notes")));
            said.cloned().ok_or_else(|| format!("{} events", all.len()))
        })
        .await?;
        let message = event["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("Pod not supported on Fargate: "), "{message}");
        let refused = pods.get("on-fargate").await?;
        assert_eq!(refused["status"]["phase"], "Pending");
        assert!(
            refused["metadata"]["annotations"]["neargate.dev/task-arn"].is_null(),
            "no task is run for it"
        );
        Ok(())
    })
    .await
}
