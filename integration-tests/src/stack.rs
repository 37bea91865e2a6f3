//! An emulator, an ECS cluster in it, and a provider whose node runs its pods there.

use crate::aws::{self, Aws};
use crate::cluster::Cluster;
use crate::docker;
use crate::emulator::{self, Emulator};
use crate::provider::{self, Provider};
use crate::work::Work;

/// The log group of a stack's pods.
pub const LOG_GROUP: &str = "/neargate/kubernetes";

#[derive(Debug)]
pub struct Stack {
    pub emulator: Emulator,
    pub provider: Provider,
    pub aws: Aws,
    pub ecs_cluster: String,
}

impl Stack {
    /// A stack whose tasks outlive its emulator, for tests that kill it; `name` names node and ECS cluster.
    pub async fn lasting(work: &Work, cluster: &Cluster, name: &str) -> anyhow::Result<Self> {
        let options = emulator::Options { ephemeral: false, ..emulator::Options::default() };
        Self::with(work, cluster, name, options).await
    }

    pub async fn start(work: &Work, cluster: &Cluster, name: &str) -> anyhow::Result<Self> {
        Self::with(work, cluster, name, emulator::Options::default()).await
    }

    async fn with(
        work: &Work,
        cluster: &Cluster,
        name: &str,
        mut options: emulator::Options,
    ) -> anyhow::Result<Self> {
        options.arguments.extend(cluster.emulator_arguments());
        let emulator = Emulator::start(work, &format!("emulator-{name}"), options).await?;
        let aws = emulator.aws().await;
        aws.create_cluster(name).await?;
        aws.create_log_group(LOG_GROUP).await?;
        let options = provider::Options {
            node: name.to_owned(),
            endpoint: emulator.endpoint(),
            ecs_cluster: name.to_owned(),
            log_group: LOG_GROUP.to_owned(),
        };
        let provider = Provider::start(work, cluster, options).await?;
        Ok(Self { emulator, provider, aws, ecs_cluster: name.to_owned() })
    }

    pub fn node(&self) -> &str {
        self.provider.node()
    }

    /// The ARNs of all tasks of the stack's ECS cluster with that desired status.
    pub async fn tasks(&self, desired: &str) -> anyhow::Result<Vec<String>> {
        self.aws.tasks(&self.ecs_cluster, desired).await
    }

    pub async fn dump(&self) -> String {
        let filter = format!("label=neargate.instance={}", self.emulator.instance());
        let containers = docker::docker(&["ps", "--all", "--filter", &filter]).await;
        let mut dump =
            format!("--- containers\n{}\n--- tasks\n", containers.unwrap_or_else(|e| crate::chain(&e)));
        for desired in ["RUNNING", "STOPPED"] {
            for arn in self.tasks(desired).await.unwrap_or_default().iter().take(10) {
                let task = self.aws.task(arn).await;
                dump += &task.map_or_else(|error| crate::chain(&error), |task| aws::describe(&task));
                dump.push('\n');
            }
        }
        dump + &self.provider.dump() + &self.emulator.dump()
    }

    /// Ends it, and removes its node from the cluster.
    pub async fn close(mut self, cluster: &Cluster) -> anyhow::Result<()> {
        self.provider.terminate().await?;
        cluster.kubectl(&["delete", "node", self.provider.node(), "--ignore-not-found"]).await?;
        self.emulator.close().await
    }
}
