//! A real control plane, bare: etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback. There is no
//! kubelet and no kube-proxy in it, so pods run only on virtual nodes and the addresses of Services are not routed.
//!
//! ```text
//! pki ─▶ etcd ─▶ kube-apiserver ─(/readyz)─▶ kube-controller-manager, kube-scheduler ─▶ the default ServiceAccount exists
//! ```

mod pki;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use crate::process::{self, Orphaned, Process};
use crate::work::{self, Work};
use crate::{kubeconfig, need, wait};

use pki::Pki;

/// The range of the Services' addresses; nothing routes it.
const SERVICE_RANGE: &str = "10.96.0.0/16";

/// A running control plane; dropped, it is killed. (kube-apiserver keeps its port for seconds after SIGTERM.)
#[derive(Debug)]
pub struct ControlPlane {
    admin: PathBuf,
    /// In the order in which they must end.
    processes: Vec<Process>,
}

/// The parameters of one of its programs.
struct Starter<'a> {
    work: &'a Work,
    programs: PathBuf,
    name: &'a str,
}

impl Starter<'_> {
    fn start(&self, program: &str, arguments: &[String]) -> anyhow::Result<Process> {
        let mut command: Command = process::command(self.programs.join(program), Orphaned::Killed);
        command.args(arguments);
        Process::spawn(program, command, self.work.log(&format!("{}-{program}", self.name))?)
    }
}

impl ControlPlane {
    /// Starts one; about five seconds.
    pub async fn start(work: &Work, name: &str) -> anyhow::Result<Self> {
        let starter = Starter { work, programs: need::control_plane()?, name };
        let folder = work.folder(name)?;
        let pki = Pki::make(&folder)?;
        let [etcd, etcd_peer, api, manager, scheduler] = free_ports()?;
        let server = format!("https://127.0.0.1:{api}");
        let admin = pki.kubeconfig(&server, "admin", Some("system:masters"))?;

        let etcd_process = starter.start("etcd", &etcd_arguments(&folder, etcd, etcd_peer))?;
        let mut api_process = starter.start("kube-apiserver", &api_arguments(&pki, etcd, api))?;
        wait::until("kube-apiserver is ready", wait::seconds(60), async || {
            api_process.alive().map_err(|error| crate::chain(&error))?;
            ready(&admin).await.map_err(|error| crate::chain(&error))
        })
        .await
        .with_context(|| work::tail(api_process.log(), 30))?;

        // It gives up after ten seconds without an API server, so it starts after that. As system:masters, without an
        // identity for each controller, the first ServiceAccount exists five seconds sooner.
        let manager_process =
            starter.start("kube-controller-manager", &manager_arguments(&pki, &admin, manager))?;
        let scheduler_config = pki.kubeconfig(&server, "system:kube-scheduler", None)?;
        let scheduler_process =
            starter.start("kube-scheduler", &scheduler_arguments(&scheduler_config, scheduler))?;
        let client = kubeconfig::client(&admin).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
        wait::until("the default ServiceAccount exists", wait::seconds(60), async || {
            accounts.get("default").await.map(drop).map_err(|error| error.to_string())
        })
        .await?;
        let processes = vec![scheduler_process, manager_process, api_process, etcd_process];
        Ok(Self { admin, processes })
    }

    /// The kubeconfig of its administrator.
    #[must_use]
    pub fn admin(&self) -> &Path {
        &self.admin
    }

    /// The ends of its logs.
    #[must_use]
    pub fn dump(&self) -> String {
        let ends = self.processes.iter().map(|process| {
            format!("--- the end of {}'s log\n{}\n", process.name(), work::tail(process.log(), 10))
        });
        ends.collect()
    }

    /// Ends it.
    pub fn close(self) {
        // Dropped in order: those that write to the API server before it, etcd last.
        drop(self.processes);
    }
}

async fn ready(kubeconfig: &Path) -> anyhow::Result<()> {
    let client = kubeconfig::client(kubeconfig).await?;
    let request = http::Request::get("/readyz").body(Vec::new()).context("asking for /readyz")?;
    client.request_text(request).await.map(drop).context("GET /readyz")
}

/// Ports that were free a moment ago: all five are held at once, then released.
fn free_ports<const COUNT: usize>() -> anyhow::Result<[u16; COUNT]> {
    let mut held = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        held.push(TcpListener::bind(("127.0.0.1", 0)).context("looking for a free port")?);
    }
    let ports: Result<Vec<u16>, _> =
        held.iter().map(|listener| listener.local_addr().map(|a| a.port())).collect();
    let ports = ports.context("looking for a free port")?;
    ports.try_into().map_err(|_| anyhow::anyhow!("as many ports as listeners"))
}

fn etcd_arguments(folder: &Path, port: u16, peer: u16) -> Vec<String> {
    vec![
        "--name=etcd".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls=http://127.0.0.1:{port}"),
        format!("--advertise-client-urls=http://127.0.0.1:{port}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-cluster=etcd=http://127.0.0.1:{peer}"),
        // Its data lives as long as the run; waiting for the disk would only slow it.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn api_arguments(pki: &Pki, etcd: u16, port: u16) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.path(name).display());
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(), // it refuses to advertise a loopback address as an endpoint
        format!("--secure-port={port}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        // A privileged pod must be refused by the provider, not here.
        "--allow-privileged=true".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        file("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
        file("kubelet-client-key", "apiserver-kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        file("service-account-key-file", "sa.pub"),
        file("service-account-signing-key-file", "sa.key"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        file("proxy-client-cert-file", "front-proxy-client.crt"),
        file("proxy-client-key-file", "front-proxy-client.key"),
    ]
}

fn manager_arguments(pki: &Pki, kubeconfig: &Path, port: u16) -> Vec<String> {
    let kubeconfig = kubeconfig.display();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials=false".to_owned(),
        format!("--service-account-private-key-file={}", pki.path("sa.key").display()),
        format!("--root-ca-file={}", pki.path("ca.crt").display()),
        format!("--cluster-signing-cert-file={}", pki.path("ca.crt").display()),
        format!("--cluster-signing-key-file={}", pki.path("ca.key").display()),
    ]
}

fn scheduler_arguments(kubeconfig: &Path, port: u16) -> Vec<String> {
    let kubeconfig = kubeconfig.display();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--leader-elect=false".to_owned(),
    ]
}
