//! What the demo runs on: a cluster, the emulator, the provider; set up in that order, removed in reverse.

use anyhow::{Context as _, ensure};
use harness::aws::Aws;
use harness::choice::Choice;
use harness::cluster::Cluster;
use harness::emulator::{self, Emulator};
use harness::need::{self, Need};
use harness::provider::{self, Provider};
use harness::work::Work;
use harness::{aws, docker, namespace};

use crate::screen::Screen;

/// The namespace of the demo's pods.
pub(crate) const NAMESPACE: &str = "neargate-demo";
const LOG_GROUP: &str = "/neargate/demo";

/// Filled as the demo continues, so that everything can be removed at any moment.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) work: Work,
    emulator: Option<Emulator>,
    cluster: Option<Cluster>,
    provider: Option<Provider>,
}

impl Stage {
    /// An empty one, if everything that `make demo` prepares exists.
    pub(crate) fn new() -> anyhow::Result<Self> {
        for need in [Need::Images, Need::ControlPlane] {
            need.check()?;
        }
        Ok(Self { work: Work::new("demo")?, emulator: None, cluster: None, provider: None })
    }

    pub(crate) async fn set(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { work, emulator, cluster, provider } = self;
        let what = match Choice::of_environment() {
            Choice::Bare => {
                "start a Kubernetes control plane (etcd, API server, controllers, scheduler)".to_owned()
            }
            Choice::Kind => "find or make a kind cluster".to_owned(),
            Choice::Kubeconfig(path) => format!("use the cluster of {}", path.display()),
        };
        let cluster = cluster.insert(screen.step(&what, Cluster::start(work)).await?);
        cluster.kubectl(&["create", "namespace", NAMESPACE]).await?;
        let options =
            emulator::Options { arguments: cluster.emulator_arguments(), ..emulator::Options::default() };
        let started = Emulator::start(work, "emulator", options);
        let started = emulator.insert(screen.step("start the emulator (neargate serve)", started).await?);
        started.aws().await.create_log_group(LOG_GROUP).await?;
        let endpoint = started.endpoint();
        let options = provider::Options {
            node: "fargate".to_owned(),
            endpoint,
            ecs_cluster: "default".to_owned(),
            log_group: LOG_GROUP.to_owned(),
        };
        let started = Provider::start(work, cluster, options);
        *provider =
            Some(screen.step("start the provider (neargate-provider): one virtual node", started).await?);
        screen.show("kubectl get nodes", &cluster.kubectl(&["get", "nodes"]).await?);
        Ok(())
    }

    pub(crate) fn emulator(&self) -> anyhow::Result<&Emulator> {
        self.emulator.as_ref().context("no emulator")
    }

    pub(crate) fn cluster(&self) -> anyhow::Result<&Cluster> {
        self.cluster.as_ref().context("no cluster")
    }

    pub(crate) async fn aws(&self) -> anyhow::Result<Aws> {
        Ok(self.emulator()?.aws().await)
    }

    /// `kubectl ARGS…` in the demo's namespace; prints command and output.
    pub(crate) async fn kubectl(&self, screen: &Screen, args: &[&str]) -> anyhow::Result<()> {
        let output = self.cluster()?.kubectl(&[&["--namespace", NAMESPACE], args].concat()).await?;
        screen.show(&format!("kubectl {}", args.join(" ")), &output);
        Ok(())
    }

    /// `aws ARGS…`, the command itself; prints command and output.
    pub(crate) async fn aws_cli(&self, screen: &Screen, args: &[&str]) -> anyhow::Result<()> {
        let bin = need::python()?.join("bin");
        let output = tokio::process::Command::new(bin.join("python"))
            .arg(bin.join("aws"))
            .args(args)
            .env("AWS_ENDPOINT_URL", self.emulator()?.endpoint())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", aws::REGION)
            .env("AWS_PAGER", "")
            .output()
            .await
            .context("running aws")?;
        ensure!(
            output.status.success(),
            "aws {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        screen.show(&format!("aws {}", args.join(" ")), &String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    /// The ends of all logs.
    pub(crate) fn dump(&self) -> String {
        let logs = [
            self.provider.as_ref().map(Provider::dump),
            self.emulator.as_ref().map(Emulator::dump),
            self.cluster.as_ref().map(Cluster::dump),
        ];
        logs.into_iter().flatten().collect()
    }

    /// The commands to continue with this stage by hand.
    pub(crate) fn by_hand(&self) -> anyhow::Result<String> {
        Ok(format!(
            "It is up. In another shell:\n\n  \
             export KUBECONFIG={}\n  \
             export AWS_ENDPOINT_URL={} AWS_DEFAULT_REGION={} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test\n  \
             export PATH={}:$PATH:{}\n\n  \
             kubectl -n {NAMESPACE} scale deployment/web --replicas=6\n  \
             kubectl -n {NAMESPACE} get pods -o wide -w\n  \
             aws ecs list-tasks\n  \
             aws logs filter-log-events --log-group-name {LOG_GROUP} --query 'events[].[message]' --output text",
            self.cluster()?.kubeconfig.display(),
            self.emulator()?.endpoint(),
            aws::REGION,
            need::python()?.join("bin").display(),
            need::control_plane()?.display(),
        ))
    }

    /// Removes everything, and fails if anything is left.
    pub(crate) async fn clear(self, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { work, emulator, cluster, provider } = self;
        let cleared = async {
            if let (Some(mut provider), Some(cluster)) = (provider, &cluster) {
                // By its Deployment: a namespace waits five seconds before it deletes its contents.
                cluster.kubectl(&["delete", "deployment", "--all", "-n", NAMESPACE, "--wait=false"]).await?;
                namespace::gone(&cluster.client, NAMESPACE).await?;
                cluster
                    .kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false"])
                    .await?;
                provider.terminate().await?;
                cluster.kubectl(&["delete", "node", provider.node(), "--ignore-not-found"]).await?;
            }
            if let Some(cluster) = cluster {
                cluster.close().await?;
            }
            let instance = emulator.as_ref().map(|emulator| emulator.instance().to_owned());
            if let Some(emulator) = emulator {
                emulator.close().await?;
            }
            let folder = work.path().to_owned();
            work.close()?;
            if let Some(instance) = instance {
                let held = docker::held_by(&instance).await?;
                let cgroups = docker::cgroups_of(&instance);
                ensure!(held.is_empty() && cgroups.is_empty(), "left behind: {held:?} {cgroups:?}");
            }
            ensure!(!folder.exists(), "left behind: {}", folder.display());
            Ok(())
        };
        screen.step("clean up: no container, network, cgroup, process or folder is left", cleared).await?;
        screen.summary();
        Ok(())
    }
}

/// The commands to use after the demo.
pub(crate) fn how_to_go_on() -> String {
    "How to continue by hand:\n\n  \
     make demo KEEP=1        the same, left up: it prints what to export for kubectl and aws\n  \
     make run                the emulator alone, then in another shell:\n\n  \
     export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test\n  \
     aws ecs register-task-definition --cli-input-json file://fixtures/task-definitions/lines.json\n  \
     aws ecs run-task --task-definition lines --launch-type FARGATE \\\n      \
     --network-configuration 'awsvpcConfiguration={subnets=[subnet-0000000000000000a]}'\n  \
     aws logs filter-log-events --log-group-name /neargate/lines --query 'events[].[message]' --output text"
        .to_owned()
}
