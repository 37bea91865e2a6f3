//! The world that the tests of a suite share: a cluster and a virtual node in it, named `fargate`.

use crate::cluster::Cluster;
use crate::stack::Stack;
use crate::suite::Context;
use crate::work::Work;

/// A cluster and a node in it.
#[derive(Debug)]
pub struct Shared {
    pub work: Work,
    pub cluster: Cluster,
    pub stack: Stack,
}

impl Context for Shared {
    async fn start(work: Work) -> anyhow::Result<Self> {
        let cluster = Cluster::start(&work).await?;
        let stack = Stack::start(&work, &cluster, "fargate").await?;
        Ok(Self { work, cluster, stack })
    }

    async fn dump(&self) -> String {
        let mut dump = String::new();
        for args in [
            "get nodes -o wide",
            "get pods -A -o wide",
            "get events -A -o wide --sort-by=.metadata.creationTimestamp",
        ] {
            let words: Vec<&str> = args.split(' ').collect();
            let said = self.cluster.kubectl(&words).await.unwrap_or_else(|error| crate::chain(&error));
            let lines: Vec<&str> = said.lines().collect();
            dump += &format!("--- kubectl {args}\n{}\n", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        dump + &self.stack.dump().await + &self.cluster.dump()
    }

    async fn close(self) -> anyhow::Result<()> {
        self.stack.close(&self.cluster).await?;
        self.cluster.close().await?;
        self.work.close()
    }
}
