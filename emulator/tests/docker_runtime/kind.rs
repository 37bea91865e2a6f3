//! `--vpc-from-kind`: a kind cluster as Docker describes it. The nodes are ours, with kind's labels and kind's file.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures::FutureExt as _;
use neargate::engine::vpc::{Network, Vpc};
use neargate::runtime::docker::kind::{self, Error};

use crate::support::{World, docker, tool_image, with_world};

const KUBEADM: &str = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nnetworking:\n  podSubnet: \
                       10.244.0.0/16\n  serviceSubnet: 10.96.0.0/16\n---\nkind: InitConfiguration\n";

/// A cluster of a control plane and a worker, both of them on a network of its own.
struct Fake {
    docker: Docker,
    name: String,
    containers: Vec<String>,
}

impl Fake {
    async fn up() -> Self {
        let name = format!("neargate-kind-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let docker = docker();
        for third in 0..=255 {
            let config = IpamConfig {
                subnet: Some(format!("10.214.{third}.0/24")),
                gateway: Some(format!("10.214.{third}.1")),
                ..IpamConfig::default()
            };
            let request = NetworkCreateRequest {
                name: name.clone(),
                ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
                ..NetworkCreateRequest::default()
            };
            match docker.create_network(request).await {
                Ok(_) => break,
                Err(error) => {
                    assert!(third < 255 && error.to_string().to_lowercase().contains("overlap"), "{error}");
                }
            }
        }
        let mut fake = Self { docker, name, containers: Vec::new() };
        // The worker first: the order in which Docker lists them must not matter.
        for role in ["worker", "control-plane", "external-load-balancer"] {
            fake.node(role).await;
        }
        fake
    }

    async fn node(&mut self, role: &str) {
        let body = ContainerCreateBody {
            image: Some(tool_image().await),
            cmd: Some(vec!["hold".to_owned()]),
            labels: Some(HashMap::from([
                ("io.x-k8s.kind.cluster".to_owned(), self.name.clone()),
                ("io.x-k8s.kind.role".to_owned(), role.to_owned()),
            ])),
            host_config: Some(HostConfig { network_mode: Some(self.name.clone()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let name = format!("{}-{role}", self.name);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        self.docker.create_container(Some(options), body).await.unwrap();
        self.containers.push(name.clone());
        if role == "control-plane" {
            let mut archive = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(KUBEADM.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, "kind/kubeadm.conf", KUBEADM.as_bytes()).unwrap();
            let options = UploadToContainerOptionsBuilder::default().path("/").build();
            let body = bollard::body_full(archive.into_inner().unwrap().into());
            self.docker.upload_to_container(&name, Some(options), body).await.unwrap();
        }
        self.docker.start_container(&name, None).await.unwrap();
    }

    async fn down(self) {
        for name in &self.containers {
            let options = RemoveContainerOptionsBuilder::default().force(true).build();
            self.docker.remove_container(name, Some(options)).await.unwrap();
        }
        self.docker.remove_network(&self.name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_cluster_becomes_a_vpc_or_an_error_says_what_to_do() {
    if docker().ping().await.is_err() && std::env::var_os("CI").is_none() {
        eprintln!("SKIPPED: no container engine");
        return;
    }
    let fake = Fake::up().await;
    let outcome = AssertUnwindSafe(look_at(&fake)).catch_unwind().await;
    fake.down().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// A container of a task whose definition has kind's labels: not a node.
async fn disguised(world: &World, cluster: &str) {
    let task = world.task(10, 256, 512, &[]).await;
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut spec = task.spec("disguised", &["hold"]).await;
    spec.process
        .labels
        .extend([label("io.x-k8s.kind.cluster", cluster), label("io.x-k8s.kind.role", "worker")]);
    task.run(spec).await;
}

async fn look_at(fake: &Fake) {
    let Fake { docker, name, containers } = fake;
    with_world(|world| async move {
        disguised(&world, name).await;
        look_at_the_nodes(docker, name, containers).await;
    })
    .await;
}

async fn look_at_the_nodes(docker: &Docker, name: &str, containers: &[String]) {
    let cluster = kind::find(None, name).await.unwrap();
    let addresses = docker.inspect_network(name, None).await.unwrap().containers.unwrap();
    let address = |role: &str| {
        let node = format!("{name}-{role}");
        let endpoint = addresses.values().find(|endpoint| endpoint.name.as_ref() == Some(&node)).unwrap();
        let address = endpoint.ipv4_address.as_deref().unwrap();
        address.split_once('/').unwrap().0.parse::<std::net::Ipv4Addr>().unwrap()
    };
    assert_eq!(cluster.nodes, [address("control-plane"), address("worker")]);
    assert_eq!(cluster.gateway, std::net::Ipv4Addr::from(u32::from(cluster.cidr.base) + 1));

    let vpc = Vpc::around_kind(&cluster, false);
    assert_eq!(vpc.network, Network::Borrowed { name: name.to_owned() });
    assert_eq!(vpc.subnets[0].cidr, cluster.cidr);
    assert!(vpc.routes(&vpc.subnets[0]).iter().all(|route| route.via == address("control-plane")));

    let error = kind::find(None, &format!("{name}-not")).await.unwrap_err();
    assert!(matches!(&error, Error::Unknown { known, .. } if known.contains(name)), "{error}");
    assert!(error.to_string().contains(name), "{error}");

    docker.kill_container(&containers[0], None).await.unwrap();
    let error = kind::find(None, name).await.unwrap_err().to_string();
    assert!(error.contains(&format!("docker start {}", containers[0])), "{error}");
}
