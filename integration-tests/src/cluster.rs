//! The Kubernetes cluster of a suite: a control plane of our own, or the one that [`Choice`] names.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::choice::{self, Choice, Kind};
use crate::control_plane::ControlPlane;
use crate::kubeconfig::{self, User};
use crate::kubectl::kubectl;
use crate::work::Work;

/// The namespace of the providers' identities, made by `provider/deploy`: each is a ServiceAccount of its node's name.
pub const PROVIDERS: &str = "neargate-provider";

/// A cluster, with its administrator's rights.
pub struct Cluster {
    /// A client with all rights.
    pub client: Client,
    /// The same rights, for kubectl.
    pub kubeconfig: PathBuf,
    origin: Origin,
}

/// The origin of a cluster.
enum Origin {
    Own(ControlPlane),
    Kind(Kind),
    Given,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("kubeconfig", &self.kubeconfig).finish_non_exhaustive()
    }
}

impl Cluster {
    /// The cluster that `NEARGATE_CLUSTER` chooses.
    pub async fn start(work: &Work) -> anyhow::Result<Self> {
        match Choice::of_environment() {
            Choice::Bare => Self::own(work, "control-plane").await,
            Choice::Kind => {
                let kind = Kind::up()?;
                let cluster = Self::of(kind.kubeconfig.clone(), Origin::Kind(kind)).await?;
                cluster.clear().await?;
                Ok(cluster)
            }
            Choice::Kubeconfig(path) => Self::of(path, Origin::Given).await,
        }
    }

    /// A control plane of our own, regardless of `NEARGATE_CLUSTER`.
    pub async fn own(work: &Work, name: &str) -> anyhow::Result<Self> {
        let control_plane = ControlPlane::start(work, name).await?;
        let cluster = Self::of(control_plane.admin().to_owned(), Origin::Own(control_plane)).await?;
        // kubeadm grants this by its own group: the API server reads logs from kubelets as this user.
        cluster
            .kubectl(&[
                "create",
                "clusterrolebinding",
                "kube-apiserver-kubelet-client",
                "--clusterrole=system:kubelet-api-admin",
                "--user=kube-apiserver-kubelet-client",
            ])
            .await?;
        Ok(cluster)
    }

    async fn of(kubeconfig: PathBuf, origin: Origin) -> anyhow::Result<Self> {
        let client = kubeconfig::client(&kubeconfig).await?;
        let cluster = Self { client, kubeconfig, origin };
        cluster.kubectl(&["apply", "-f", &deployed().to_string_lossy()]).await?;
        Ok(cluster)
    }

    /// Removes the virtual nodes that a run which failed left on the suites' own kind cluster, with their pods:
    /// nothing else would ever end them.
    async fn clear(&self) -> anyhow::Result<()> {
        let nodes = self.kubectl(&["get", "nodes", "-l", "type=virtual-kubelet", "-o", "name"]).await?;
        for node in nodes.lines() {
            self.kubectl(&["delete", node]).await?;
            let on_it = format!("spec.nodeName={}", node.trim_start_matches("node/"));
            let delete = ["delete", "pods", "-A", "--field-selector", &on_it, "--force", "--grace-period=0"];
            self.kubectl(&delete).await?;
        }
        Ok(())
    }

    /// The address at which its API server reaches this machine.
    #[must_use]
    pub fn node_ip(&self) -> String {
        match &self.origin {
            Origin::Kind(kind) => kind.gateway.clone(),
            Origin::Own(_) | Origin::Given => {
                std::env::var("NEARGATE_NODE_IP").unwrap_or_else(|_| "127.0.0.1".to_owned())
            }
        }
    }

    /// The arguments of an emulator so that its tasks are on the cluster's network, if it has one.
    #[must_use]
    pub fn emulator_arguments(&self) -> Vec<String> {
        match &self.origin {
            Origin::Kind(_) => vec!["--vpc-from-kind".to_owned(), choice::KIND.to_owned()],
            Origin::Own(_) | Origin::Given => Vec::new(),
        }
    }

    /// The arguments of a provider so that its pods find the cluster's names and are removed before those of other
    /// nodes, if it has any.
    #[must_use]
    pub fn provider_arguments(&self) -> Vec<String> {
        let arguments: &[&str] = match &self.origin {
            Origin::Kind(_) => &["--init-image=neargate/provider-init:latest", "--deletion-cost=-100"],
            Origin::Own(_) | Origin::Given => &[],
        };
        arguments.iter().map(|&argument| argument.to_owned()).collect()
    }

    /// `kubectl ARGS…` as the administrator.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        kubectl(&self.kubeconfig, args).await
    }

    /// A token of a service account, for an hour.
    pub async fn token(&self, namespace: &str, account: &str) -> anyhow::Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let token = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .with_context(|| format!("asking for a token of {namespace}/{account}"))?;
        Ok(token.status.context("the token request has no status")?.token)
    }

    /// Writes the kubeconfig of a node's provider.
    pub async fn act_as_provider(&self, node: &str, path: &Path) -> anyhow::Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), PROVIDERS);
        let metadata = ObjectMeta { name: Some(node.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        match accounts.create(&PostParams::default(), &account).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            made => drop(made.with_context(|| format!("making the ServiceAccount {PROVIDERS}/{node}"))?),
        }
        self.act_as(PROVIDERS, node, path).await
    }

    /// Writes the kubeconfig of a service account: its token, and no other right.
    pub async fn act_as(&self, namespace: &str, account: &str, path: &Path) -> anyhow::Result<()> {
        let token = self.token(namespace, account).await?;
        let config = kubeconfig::config(&self.kubeconfig).await?;
        let authority: String = config.root_cert.iter().flatten().map(|der| pem(der)).collect();
        kubeconfig::write(path, &config.cluster_url.to_string(), authority.as_bytes(), &User::Token(&token))
    }

    /// The ends of the control plane's logs, if it is our own.
    #[must_use]
    pub fn dump(&self) -> String {
        match &self.origin {
            Origin::Own(control_plane) => control_plane.dump(),
            Origin::Kind(_) | Origin::Given => String::new(),
        }
    }

    /// Ends it, if it is our own; else removes the provider's rights from it.
    pub async fn close(self) -> anyhow::Result<()> {
        match self.origin {
            Origin::Own(control_plane) => control_plane.close(),
            Origin::Kind(_) | Origin::Given => {
                let deployed = deployed();
                self.kubectl(&["delete", "--ignore-not-found", "-f", &deployed.to_string_lossy()]).await?;
            }
        }
        Ok(())
    }
}

/// The provider's rights, as it is shipped.
fn deployed() -> PathBuf {
    crate::repository().join("provider/deploy")
}

/// A certificate's PEM: base64 in lines of 64.
fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
