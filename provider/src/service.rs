//! The whole provider, wired: one watch of the node's pods, and who reads it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt, reflector, watcher},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    clock, cluster_dns,
    fargate::{self, Health, logs::CloudWatch},
    kubelet, node,
    options::Options,
    pods::Controller,
    probes::{self, Prober},
    translate::Settings,
};

/// Why the provider does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The credentials of the cluster are not there or not readable.
    #[error("reading the Kubernetes cluster's credentials")]
    Kubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client could not be made of them.
    #[error("making the client of the Kubernetes cluster")]
    Client(#[source] kube::Error),
    /// The cluster does not answer, or does not let the provider ask.
    #[error("reading the namespace kube-system, whose UID names the cluster")]
    Cluster(#[source] kube::Error),
    /// The prober's TLS could not be set up.
    #[error("preparing the prober")]
    Prober(#[from] rustls::Error),
    /// AWS's usual chain names no region.
    #[error("no AWS region: give --region, or set AWS_REGION")]
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
    client: Client,
    aws: fargate::Client,
    settings: Settings,
    probes: (Prober, mpsc::Receiver<probes::Event>),
    clock: clock::Shared,
    pods: (reflector::Store<Pod>, reflector::store::Writer<Pod>),
    kubelet: kubelet::Service,
    node: node::Service,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Service {
    /// Connects to the cluster and to AWS, and listens for the kubelet's API. The cluster must answer; AWS need not
    /// yet.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let Options { kubeconfig, node, fargate, kubelet } = options;
        let config = match kubeconfig {
            Some(path) => {
                let read = Kubeconfig::read_from(path).map_err(|error| Error::Kubeconfig(error.into()))?;
                kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| Error::Kubeconfig(error.into()))?
            }
            None => kube::Config::infer().await.map_err(|error| Error::Kubeconfig(error.into()))?,
        };
        let client = Client::try_from(config).map_err(Error::Client)?;
        let system =
            Api::<Namespace>::all(client.clone()).get("kube-system").await.map_err(Error::Cluster)?;

        let clock: clock::Shared = Arc::new(clock::System);
        let aws = fargate::Client::connect(&fargate, Health::new(clock.clone())).await;
        if aws.region().is_empty() {
            return Err(Error::Region);
        }
        let settings = Settings::new(&fargate, &node, aws.region(), &system.uid().unwrap_or_default());
        if let Some(init) = &settings.init {
            cluster_dns::find(&client, &init.cluster_dns).await;
        }
        let pods = reflector::store();
        let kubelet = kubelet::Service::bind(
            kubelet::Options {
                node: node.name.clone(),
                ip: node.ip,
                kubelet,
                log_group: settings.log_group.clone(),
            },
            client.clone(),
            pods.0.clone(),
            Arc::new(CloudWatch::new(aws.clone())),
            clock.clone(),
        )
        .await?;
        let node = node::Service::new(
            node::Options {
                node,
                kubelet_port: kubelet.port(),
                platform_version: settings.platform_version.clone(),
            },
            client.clone(),
            aws.health().clone(),
            Arc::new(aws.clone()),
            settings.started_by.clone(),
            clock.clone(),
        );
        let probes = Prober::new(clock.clone())?;
        Ok(Self { client, aws, settings, probes, clock, pods, kubelet, node })
    }

    /// Runs until `shutdown`. The tasks of the pods run on, and the node stays. Fails where the node can't be ours.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { client, aws, settings, probes, clock, pods: (store, writer), kubelet, node } = self;
        let mine = watcher::Config::default().fields(&format!("spec.nodeName={}", settings.node_name));
        let watch = watcher(Api::<Pod>::all(client.clone()), mine)
            .default_backoff()
            .modify(|pod| pod.metadata.managed_fields = None)
            .reflect(writer);
        tracing::info!(
            node = settings.node_name,
            cluster = aws.cluster(),
            region = aws.region(),
            started_by = settings.started_by,
            "running the pods of the node"
        );
        let (dns_client, dns) = (client.clone(), settings.init.as_ref().map(|init| init.cluster_dns.clone()));
        let controller = Controller::new(client, Arc::new(aws), settings, store, probes, clock);
        let controller = async {
            tokio::select! {
                () = controller.run(watch) => {}
                () = shutdown.cancelled() => {}
            }
        };
        let dns = async {
            if let Some(dns) = dns {
                tokio::select! {
                    () = cluster_dns::keep_looking(&dns_client, &dns) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        };
        let node = async {
            let ended = node.run(shutdown.clone()).await;
            shutdown.cancel();
            ended
        };
        let ((), (), (), node) = tokio::join!(controller, dns, kubelet.run(shutdown.clone()), node);
        Ok(node?)
    }
}
