//! `neargate-provider` as a real process, with only the rights of its ServiceAccount.

use std::path::PathBuf;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use kube::Api;

use crate::cluster::Cluster;
use crate::process::{self, Orphaned, Process};
use crate::work::{self, Work};
use crate::{aws, wait};

/// The parameters of a provider.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of its node.
    pub node: String,
    /// The AWS endpoint.
    pub endpoint: String,
    /// The ECS cluster; it must exist.
    pub ecs_cluster: String,
    /// The log group; it must exist.
    pub log_group: String,
}

/// A running provider; if dropped, it is killed.
#[derive(Debug)]
pub struct Provider {
    options: Options,
    /// The arguments that the cluster needs.
    arguments: Vec<String>,
    kubeconfig: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Provider {
    /// Starts one and waits until its node is Ready.
    pub async fn start(work: &Work, cluster: &Cluster, options: Options) -> anyhow::Result<Self> {
        let kubeconfig = work.path().join(format!("provider-{}.kubeconfig", options.node));
        cluster.act_as_provider(&options.node, &kubeconfig).await?;
        let log = work.log(&format!("provider-{}", options.node))?;
        let mut arguments = vec!["--node-ip".to_owned(), cluster.node_ip()];
        arguments.extend(cluster.provider_arguments());
        let mut provider = Self { options, arguments, kubeconfig, log, process: None };
        provider.resume()?;
        provider.ready(cluster).await?;
        Ok(provider)
    }

    /// Starts it again, after [`Provider::kill`].
    pub fn resume(&mut self) -> anyhow::Result<()> {
        let Options { node, endpoint, ecs_cluster, log_group } = &self.options;
        let mut command = process::command(process::binary("neargate-provider")?, Orphaned::Killed);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--node-name", node, "--kubelet-port", "0"])
            .args(&self.arguments)
            .args(["--cluster", ecs_cluster, "--log-group", log_group, "--subnets", aws::SUBNET])
            .args(["--execution-role-arn", "arn:aws:iam::000000000000:role/execution"])
            .args(["--cpu", "64", "--memory", "256Gi", "--pods", "100"])
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_REGION", aws::REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        self.process = Some(Process::spawn(&format!("provider {node}"), command, self.log.clone())?);
        Ok(())
    }

    /// Waits until its node is Ready.
    pub async fn ready(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        let node = self.options.node.clone();
        wait::until(&format!("node {node} is Ready"), wait::seconds(90), async || {
            if let Some(process) = &mut self.process {
                process.alive().map_err(|error| crate::chain(&error))?;
            }
            match readiness(cluster, &node).await.map_err(|error| crate::chain(&error))?.as_str() {
                "True" => Ok(()),
                other => Err(format!("Ready is {other}")),
            }
        })
        .await
        .with_context(|| self.dump())
    }

    /// The name of its node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.options.node
    }

    /// SIGKILL, as a crash would be.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("the provider does not run")?.kill()
    }

    /// SIGTERM; it must end with success.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        let status = self.process.take().context("the provider does not run")?.terminate().await?;
        anyhow::ensure!(status.success(), "the provider ended with {status}:\n{}", work::tail(&self.log, 30));
        Ok(())
    }

    /// The end of its log.
    #[must_use]
    pub fn dump(&self) -> String {
        format!(
            "--- the end of the log of the provider of {}\n{}\n",
            self.options.node,
            work::tail(&self.log, 60)
        )
    }
}

/// The status of a node's Ready condition: `True`, `False`, `Unknown`, or `absent`.
pub async fn readiness(cluster: &Cluster, node: &str) -> anyhow::Result<String> {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let found = nodes.get_opt(node).await.with_context(|| format!("reading the node {node}"))?;
    let conditions =
        found.and_then(|node| node.status).and_then(|status| status.conditions).unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    Ok(ready.map_or_else(|| "absent".to_owned(), |condition| condition.status))
}
