//! `kubectl logs`: from CloudWatch Logs through the provider's kubelet API, and the API server before it.

use std::sync::Arc;

use anyhow::Context as _;
use harness::namespace::with_namespace;
use harness::{kubectl, wait};
use k8s_openapi::jiff::Timestamp;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use harness::pods::{Pods, pod};
use harness::shared::Shared;

pub(crate) async fn logs_are_followed_to_the_end_of_the_pod(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        pods.create(pod(shared.stack.node(), "writer", &["lines", "100", "--every", "100"])).await?;
        pods.phase("writer", "Running").await?;
        let mut follower =
            kubectl::follow(&shared.cluster.kubeconfig, &["logs", "-f", "writer", "-n", namespace])?;
        let mut lines = BufReader::new(follower.stdout.take().context("no stdout")?).lines();
        let mut seen = Vec::new();
        let read = async {
            while let Some(line) = lines.next_line().await.context("reading kubectl logs -f")? {
                seen.push(line);
                if seen.len() == 10 {
                    let now = pods.get("writer").await?;
                    assert_eq!(now["status"]["phase"], "Running", "lines arrive while the pod runs");
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(wait::seconds(90), read).await.context("kubectl logs -f does not end")??;
        let status = follower.wait().await.context("waiting for kubectl")?;
        assert!(status.success(), "{status}");
        let expected: Vec<String> = (1..=100).map(|number| format!("line {number:06}")).collect();
        assert_eq!(seen, expected);
        pods.phase("writer", "Succeeded").await?;
        Ok(())
    })
    .await
}

pub(crate) async fn logs_are_cut_as_kubectl_asks(shared: &Arc<Shared>) -> anyhow::Result<()> {
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        pods.create(pod(shared.stack.node(), "written", &["lines", "20"])).await?;
        pods.phase("written", "Succeeded").await?;
        let logs = async |args: &[&str]| {
            shared.cluster.kubectl(&[&["logs", "written", "-n", namespace], args].concat()).await
        };
        assert_eq!(logs(&["--tail=2"]).await?, "line 000019\nline 000020\n");
        assert_eq!(logs(&["--tail=0"]).await?, "");
        assert_eq!(logs(&["--limit-bytes=16"]).await?, "line 000001\nline");
        assert_eq!(logs(&["--since=1h"]).await?.lines().count(), 20);
        let stamped = logs(&["--timestamps", "--tail=1"]).await?;
        let (time, line) = stamped.trim_end().split_once(' ').context("no timestamp")?;
        assert_eq!(line, "line 000020");
        let time: Timestamp = time.parse().with_context(|| format!("not RFC 3339: {time}"))?;
        assert_eq!(logs(&["--since-time", &(time + wait::seconds(1)).to_string()]).await?, "");
        let refused = logs(&["--previous"]).await;
        assert!(refused.is_err(), "a pod that was never run again has no previous log: {refused:?}");
        Ok(())
    })
    .await
}
