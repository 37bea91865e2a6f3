//! Signals: the first ends the provider in order at any time, the second one at once.

use std::{
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{Method, Request, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::{net::TcpListener, sync::Notify};

/// Far more than an orderly end takes, far less than what the provider would wait for without the signal.
const DEADLINE: Duration = Duration::from_secs(4);

/// A provider as a process of its own, killed if it is not waited for.
struct Provider(Child);

impl Provider {
    fn start(folder: &Path, api_server: std::net::SocketAddr) -> Self {
        let kubeconfig = folder.join("kubeconfig");
        let server = json!({ "server": format!("http://{api_server}") });
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": server }],
            "users": [{ "name": "u", "user": {} }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        });
        std::fs::write(&kubeconfig, config.to_string()).expect("a kubeconfig");
        let child = Command::new(env!("CARGO_BIN_EXE_neargate-provider"))
            .args([
                "--subnets",
                "subnet-1",
                "--node-ip",
                "127.0.0.1",
                "--kubelet-port",
                "0",
                "--region",
                "us-east-1",
            ])
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .envs([
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
                ("AWS_ACCESS_KEY_ID", "a"),
                ("AWS_SECRET_ACCESS_KEY", "b"),
            ])
            .stderr(Stdio::null())
            .spawn()
            .expect("the provider runs");
        Self(child)
    }

    fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    async fn ends(&mut self, what: &str) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.0.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(Instant::now() < end, "it still runs {DEADLINE:?} after {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_signal_ends_a_start_that_waits_for_a_silent_api_server() {
    let folder = tempfile::tempdir().expect("a folder");
    for signal in ["TERM", "INT"] {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut provider = Provider::start(folder.path(), silent.local_addr().expect("its address"));
        let (_connection, _) = silent.accept().await.expect("the provider connects");
        provider.signal(signal);
        let status = provider.ends(signal).await;
        assert!(status.success(), "{status}");
    }
}

/// An API server that grants the leader lease and answers nothing after that.
async fn once(State(led): State<Arc<Notify>>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/api/v1/namespaces/kube-system") => {
            Json(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kube-system", "uid": "u" } }))
                .into_response()
        }
        (&Method::GET, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/neargate-provider-fargate") => {
            let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 });
            (StatusCode::NOT_FOUND, Json(status)).into_response()
        }
        (&Method::POST, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases") => {
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a lease");
            let mut lease: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            lease["metadata"]["resourceVersion"] = json!("1");
            Json(lease).into_response()
        }
        (method, path) => {
            if *method == Method::GET && path == "/api/v1/nodes/fargate" {
                led.notify_one();
            }
            std::future::pending().await
        }
    }
}

#[tokio::test]
async fn a_second_signal_ends_an_end_that_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let led = Arc::new(Notify::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let router = Router::new().fallback(once).with_state(Arc::clone(&led));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut provider = Provider::start(folder.path(), address);
    let acting = tokio::time::timeout(Duration::from_secs(60), led.notified()).await;
    acting.expect("it leads, and reads its node");
    // It would release its lease, which takes as long as the API server does not respond.
    provider.signal("TERM");
    provider.signal("INT");
    let status = provider.ends("the second signal").await;
    // Of two that are pending at once, either may be handled first.
    assert!(matches!(status.code(), Some(130 | 143)), "{status}");
}
