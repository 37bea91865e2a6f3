//! Access to the provider's kubelet API.

use std::sync::Arc;

use anyhow::Context as _;
use harness::namespace::with_namespace;
use k8s_openapi::api::core::v1::Node;
use kube::client::Body;
use kube::{Api, Client, Config};

use harness::pods::{Pods, pod};
use harness::shared::Shared;

/// The address of the provider's kubelet API, from the node's status.
async fn kubelet(shared: &Shared) -> anyhow::Result<String> {
    let nodes: Api<Node> = Api::all(shared.cluster.client.clone());
    let status =
        nodes.get(shared.stack.node()).await.context("reading the node")?.status.context("no status")?;
    let address = status.addresses.into_iter().flatten().find(|address| address.type_ == "InternalIP");
    let endpoint = status
        .daemon_endpoints
        .and_then(|endpoints| endpoints.kubelet_endpoint)
        .context("no kubelet port")?;
    Ok(format!("https://{}:{}", address.context("no InternalIP")?.address, endpoint.port))
}

/// A token of a fresh service account.
async fn token(shared: &Shared, namespace: &str, account: &str) -> anyhow::Result<String> {
    shared.cluster.kubectl(&["create", "serviceaccount", account, "-n", namespace]).await?;
    shared.cluster.token(namespace, account).await
}

/// The API's status for a GET; without a token the request is anonymous.
async fn status(kubelet: &str, path: &str, token: Option<&str>) -> anyhow::Result<u16> {
    let mut config = Config::new(kubelet.parse().context("the kubelet's URL")?);
    // The certificate is the provider's own: the API server does not check it either.
    config.accept_invalid_certs = true;
    config.auth_info.token = token.map(|token| token.to_owned().into());
    let client = Client::try_from(config).context("an HTTPS client")?;
    let request = http::Request::get(path).body(Body::empty()).context("a request")?;
    let answer = client.send(request).await.with_context(|| format!("GET {path}"))?;
    Ok(answer.status().as_u16())
}

pub(crate) async fn the_kubelets_api_lets_in_users_with_rights_and_no_one_else(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let kubelet = kubelet(shared).await?;
    with_namespace(&shared.cluster.client, async |namespace| {
        let pods = Pods::of(&shared.cluster, namespace);
        pods.create(pod(shared.stack.node(), "asked", &["lines", "1"])).await?;
        pods.phase("asked", "Succeeded").await?;
        let log = format!("/containerLogs/{namespace}/asked/main");
        let status = async |path: &str, token: Option<&str>| status(&kubelet, path, token).await;
        let nobody = token(shared, namespace, "nobody").await?;
        let reader = token(shared, namespace, "reader").await?;
        let binding = format!("{namespace}-reader");
        shared
            .cluster
            .kubectl(&[
                "create",
                "clusterrolebinding",
                &binding,
                "--clusterrole=system:kubelet-api-admin",
                &format!("--serviceaccount={namespace}:reader"),
            ])
            .await?;
        for path in [log.as_str(), "/pods", "/runningpods/"] {
            assert_eq!(status(path, None).await?, 401, "{path} without a token");
            assert_eq!(status(path, Some("not-a-token")).await?, 401, "{path} with an invalid token");
            assert_eq!(status(path, Some(&nobody)).await?, 403, "{path} without rights");
            assert_eq!(status(path, Some(&reader)).await?, 200, "{path} with rights");
        }
        shared.cluster.kubectl(&["delete", "clusterrolebinding", &binding]).await?;
        assert_eq!(shared.cluster.kubectl(&["logs", "asked", "-n", namespace]).await?, "line 000001\n");
        Ok(())
    })
    .await
}
