//! The whole provider, wired: one watch of the node's pods, and its readers; all of it only while this process leads.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt, reflector, watcher},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock, cluster_dns,
    fargate::{self, Health, logs::CloudWatch},
    kubelet, node, open_files,
    options::Options,
    pods::Controller,
    probes::Prober,
    translate::Settings,
};

/// How long the API server may take to respond at the start.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why the provider does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The credentials of the cluster do not exist or are not readable.
    #[error("reading the Kubernetes cluster's credentials")]
    Kubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client could not be created from them.
    #[error("making the client of the Kubernetes cluster")]
    Client(#[source] kube::Error),
    /// The cluster refuses the provider.
    #[error("reading the namespace kube-system, whose UID names the cluster")]
    Cluster(#[source] kube::Error),
    /// The cluster does not respond in time.
    #[error("reading the namespace kube-system: the API server did not respond within {TIMEOUT:?}")]
    Silent,
    /// The prober's TLS could not be set up.
    #[error("preparing the prober")]
    Prober(#[from] rustls::Error),
    /// AWS's usual chain names no region.
    #[error("no AWS region: specify --region, or set AWS_REGION")]
    Region,
    /// The kubelet's API can't listen, or has no certificate.
    #[error("starting the kubelet's API")]
    Kubelet(#[from] kubelet::Error),
    /// The node can't be ours.
    #[error("keeping the node")]
    Node(#[from] node::Error),
}

/// The provider, ready to run.
pub struct Service {
    options: Options,
    client: Client,
    aws: fargate::Client,
    settings: Settings,
    leader: node::Leader,
    clock: clock::Shared,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Service {
    /// Connects to the cluster and to AWS. The cluster must respond; AWS need not yet.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        open_files::raise();
        let config = match &options.kubeconfig {
            Some(path) => {
                let read = Kubeconfig::read_from(path).map_err(|error| Error::Kubeconfig(error.into()))?;
                kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| Error::Kubeconfig(error.into()))?
            }
            None => kube::Config::infer().await.map_err(|error| Error::Kubeconfig(error.into()))?,
        };
        let client = Client::try_from(config).map_err(Error::Client)?;
        let namespaces = Api::<Namespace>::all(client.clone());
        let system = tokio::time::timeout(TIMEOUT, namespaces.get("kube-system"));
        let system = system.await.map_err(|_| Error::Silent)?.map_err(Error::Cluster)?;

        let clock: clock::Shared = Arc::new(clock::System);
        let aws = fargate::Client::connect(&options.fargate, Health::new(clock.clone())).await;
        if aws.region().is_empty() {
            return Err(Error::Region);
        }
        let cluster_uid = system.uid().unwrap_or_default();
        let settings =
            Settings::new(options.fargate.clone(), options.node.clone(), aws.region(), &cluster_uid);
        let leader = node::Leader::new(client.clone(), &options.node, clock.clone());
        Ok(Self { options, client, aws, settings, leader, clock })
    }

    /// Runs until `shutdown`: waits while another provider of the node acts, acts while this one may. The tasks of the pods
    /// continue to run, and the node stays. Fails if the node or the kubelet's address cannot be ours.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        self.leader.lead(&shutdown, || self.act(&shutdown)).await
    }

    /// All that a provider does, from the start: nothing that an earlier term knew is used in the next. It ends when it is
    /// dropped.
    async fn act(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        let Self { options, client, aws, settings, leader: _, clock } = self;
        let Options { kubeconfig: _, node, registration, fargate, kubelet } = options;
        let (store, writer) = reflector::store();
        let kubelet = kubelet::Service::bind(
            kubelet::Options {
                node: node.clone(),
                kubelet: kubelet.clone(),
                log_group: fargate.log_group.clone(),
            },
            client.clone(),
            store.clone(),
            Arc::new(CloudWatch::new(aws.clone())),
            clock.clone(),
        )
        .await?;
        let virtual_node = node::Service::new(
            node::Options {
                node: node.clone(),
                registration: registration.clone(),
                architecture: fargate.architecture,
                kubelet_port: kubelet.port(),
                platform_version: fargate.platform_version.clone(),
            },
            client.clone(),
            aws.health().clone(),
            Arc::new(aws.clone()),
            settings.started_by.clone(),
            clock.clone(),
        );
        let watch = watcher(Api::<Pod>::all(client.clone()), node.pods())
            .default_backoff()
            .modify(|pod| pod.metadata.managed_fields = None)
            .reflect(writer);
        tracing::info!(
            node = node.name,
            cluster = aws.cluster(),
            region = aws.region(),
            started_by = settings.started_by,
            "running the pods of the node"
        );
        let probes = Prober::new(clock.clone())?;
        let controller = Controller::new(
            client.clone(),
            Arc::new(aws.clone()),
            settings.clone(),
            store,
            probes,
            clock.clone(),
        );
        let pods = async {
            // The first pods should have the cluster's DNS, too, if it can be found.
            if fargate.init.is_some() {
                cluster_dns::find(client, &settings.cluster_dns).await;
            }
            let dns = async {
                if fargate.init.is_some() {
                    cluster_dns::keep_looking(client, &settings.cluster_dns).await;
                }
            };
            tokio::join!(controller.run(watch), dns);
        };
        let pods = async {
            tokio::select! {
                () = pods => {}
                () = shutdown.cancelled() => {}
            }
        };
        let node = async {
            let ended = virtual_node.run(shutdown.clone()).await;
            shutdown.cancel();
            ended
        };
        let ((), (), node) = tokio::join!(pods, kubelet.run(shutdown.clone()), node);
        Ok(node?)
    }
}
