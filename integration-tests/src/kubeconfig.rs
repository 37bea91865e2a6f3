//! Kubeconfigs: JSON, which every reader of YAML accepts.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

/// How a kubeconfig's user authenticates to the API server.
#[derive(Clone, Debug)]
pub enum User<'a> {
    /// By a client certificate and its key, PEM.
    Certificate {
        /// The certificate.
        certificate: &'a str,
        /// Its key.
        key: &'a str,
    },
    /// By a bearer token.
    Token(&'a str),
}

/// Writes a kubeconfig of one context. `authority` is the API server's CA, PEM.
pub fn write(path: &Path, server: &str, authority: &[u8], user: &User<'_>) -> anyhow::Result<()> {
    let user = match user {
        User::Certificate { certificate, key } => json!({
            "client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key),
        }),
        User::Token(token) => json!({ "token": token }),
    };
    let config: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "neargate",
        "contexts": [{ "name": "neargate", "context": { "cluster": "neargate", "user": "neargate" } }],
        "clusters": [{ "name": "neargate", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(authority),
        }}],
        "users": [{ "name": "neargate", "user": user }],
    });
    let text = serde_json::to_string_pretty(&config).context("encoding a kubeconfig")?;
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// A client of the kubeconfig's current context.
pub async fn client(path: &Path) -> anyhow::Result<Client> {
    Client::try_from(config(path).await?).context("making a Kubernetes client")
}

/// Its current context.
pub async fn config(path: &Path) -> anyhow::Result<Config> {
    let file = Kubeconfig::read_from(path).with_context(|| format!("reading {}", path.display()))?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.context("reading a kubeconfig")
}
