//! Pods, their tasks and the tasks' containers, side by side.

use anyhow::Context as _;
use harness::{aws, docker};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use crate::screen::Screen;
use crate::stage::{NAMESPACE, Stage};

const HEADINGS: [&str; 7] = ["POD", "PHASE", "READY", "ADDRESS", "TASK", "STATUS", "CONTAINER"];

pub(crate) async fn show(stage: &Stage, screen: &Screen) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(stage.cluster()?.client.clone(), NAMESPACE);
    let pods = pods.list(&ListParams::default()).await.context("listing pods")?;
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for pod in pods {
        rows.push(row(stage, &pod).await?);
    }
    screen.show("pods, tasks, containers", &aligned(&rows));
    Ok(())
}

async fn row(stage: &Stage, pod: &Pod) -> anyhow::Result<[String; 7]> {
    let status = pod.status.clone().unwrap_or_default();
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let arn = pod.metadata.annotations.as_ref().and_then(|all| all.get("neargate.dev/task-arn")).cloned();
    let (task, container) = match &arn {
        Some(arn) => {
            (stage.aws().await?.task(arn).await?.last_status().map(str::to_owned), container(arn).await?)
        }
        None => (None, None),
    };
    Ok([
        text(pod.metadata.name.clone()),
        text(status.phase),
        text(ready.map(|condition| condition.status.clone())),
        text(status.pod_ip),
        text(arn.as_deref().map(|arn| aws::id(arn).chars().take(12).collect())),
        text(task),
        text(container),
    ])
}

/// The task's container in Docker: id, image, state.
async fn container(arn: &str) -> anyhow::Result<Option<String>> {
    let task = format!("label=neargate.task={}", aws::id(arn));
    let format = "{{.ID}} {{.Image}} {{.Status}}";
    let filters = ["--filter", &task, "--filter", "label=neargate.container"];
    let found = docker::docker(&[&["ps", "--all", "--format", format], &filters[..]].concat()).await?;
    Ok(found.lines().next().map(str::to_owned))
}

fn aligned(rows: &[[String; 7]]) -> String {
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
