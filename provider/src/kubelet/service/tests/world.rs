//! A running kubelet API, the cluster that it asks, and its clients.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{HeaderMap, StatusCode};
use kube::runtime::{reflector, watcher};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::{
    ClientConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::super::*;
use crate::fargate::logs::{Error as LogError, Event, Page, Position, Request as PageRequest, Stream};

/// An authority that signs clients.
pub(super) struct Authority(pub(super) CertifiedIssuer<'static, KeyPair>);

/// What a client presents: a chain and its key.
pub(super) struct Identity(pub(super) CertificateDer<'static>, pub(super) PrivateKeyDer<'static>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "clients");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A client's certificate, valid until the year `until`.
    pub(super) fn sign(&self, user: &str, groups: &[&str], until: i32) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Identity(certificate.der().clone(), key)
    }
}

/// The cluster: which user has which token and which rights, and how often it was asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Cluster(pub(super) Arc<Counters>);

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) token_reviews: AtomicUsize,
    pub(super) reviewed: Mutex<Vec<Value>>,
    pub(super) client_ca: Mutex<String>,
}

impl Cluster {
    fn client(&self) -> Client {
        let router = Router::new()
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(token_review))
            .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(access_review))
            .route("/api/v1/namespaces/kube-system/configmaps", get(config_maps))
            .with_state(self.clone());
        Client::new(router, "default")
    }
}

async fn token_review(State(Cluster(cluster)): State<Cluster>, Json(mut review): Json<Value>) -> Json<Value> {
    cluster.token_reviews.fetch_add(1, Ordering::Relaxed);
    review["status"] = match review["spec"]["token"].as_str() {
        Some("good") => json!({
            "authenticated": true,
            "user": { "username": "system:serviceaccount:monitoring:scraper", "uid": "u9", "groups": ["reader"] },
        }),
        _ => json!({ "authenticated": false, "error": "token lookup failed" }),
    };
    Json(review)
}

async fn access_review(
    State(Cluster(cluster)): State<Cluster>,
    Json(mut review): Json<Value>,
) -> Json<Value> {
    let spec = review["spec"].clone();
    let groups = spec["groups"].as_array().unwrap();
    let attributes = &spec["resourceAttributes"];
    let allowed = groups.contains(&json!("system:masters"))
        || (groups.contains(&json!("reader"))
            && attributes["subresource"] == "proxy"
            && attributes["verb"] == "get");
    review["status"] = json!({ "allowed": allowed });
    cluster.reviewed.lock().push(spec);
    Json(review)
}

async fn config_maps(
    State(Cluster(cluster)): State<Cluster>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let name = "extension-apiserver-authentication";
    assert!(query.contains(&("fieldSelector".to_owned(), format!("metadata.name={name}"))), "{query:?}");
    let ca = cluster.client_ca.lock().clone();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": { "client-ca-file": ca },
        "metadata": { "name": name, "namespace": "kube-system", "resourceVersion": "2" },
    });
    if query.iter().any(|(key, _)| key == "watch") {
        // The authority rotates at once, for the test's sake.
        return Body::from_stream(futures::stream::once(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let mut map = map;
            map["data"]["client-ca-file"] = json!(cluster.client_ca.lock().clone());
            Ok::<_, std::convert::Infallible>(format!("{}\n", json!({ "type": "MODIFIED", "object": map })))
        }))
        .into_response();
    }
    let metadata = json!({ "resourceVersion": "2" });
    Json(json!({ "kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": [map] }))
        .into_response()
}

/// A stream that gets lines while it is read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) lines: Mutex<Vec<String>>,
    pub(super) asked: Mutex<Vec<Stream>>,
}

#[async_trait]
impl Source for Lines {
    async fn page(&self, stream: &Stream, request: &PageRequest) -> Result<Option<Page>, LogError> {
        self.asked.lock().push(stream.clone());
        let lines = self.lines.lock();
        let (from, to) = match &request.position {
            Position::Head => (0, lines.len()),
            Position::Tail => {
                let limit = request.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
                (lines.len().saturating_sub(limit), lines.len())
            }
            Position::After(token) => (token.parse().unwrap(), lines.len()),
            Position::Before(token) => (0, token.parse().unwrap()),
        };
        let events =
            lines[from..to].iter().map(|line| Event { timestamp: 1_795_000_000_000, message: line.clone() });
        Ok(Some(Page { events: events.collect(), forward: to.to_string(), backward: from.to_string() }))
    }
}

pub(super) fn pod(state: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "default", "uid": "u1" },
        "spec": { "containers": [{ "name": "main", "image": "img" }] },
        "status": { "containerStatuses": [{
            "name": "main", "image": "img", "imageID": "", "ready": true, "restartCount": 0,
            "containerID": "ecs://pods/0123abcd/r1", "state": state,
        }] },
    }))
    .unwrap()
}

/// A running API.
pub(super) struct Api {
    pub(super) address: SocketAddr,
    pub(super) cluster: Cluster,
    pub(super) lines: Arc<Lines>,
    pub(super) pods: reflector::store::Writer<Pod>,
    pub(super) shutdown: CancellationToken,
    pub(super) task: tokio::task::JoinHandle<()>,
    _files: TempDir,
}

/// What the API trusts, and where it reads that.
pub(super) enum Trust<'a> {
    File(&'a Authority),
    Cluster(&'a Authority),
}

impl Api {
    pub(super) async fn start(trust: Trust<'_>) -> Self {
        let files = TempDir::new().unwrap();
        let cluster = Cluster::default();
        let client_ca = match trust {
            Trust::File(authority) => {
                let path = files.path().join("ca.pem");
                std::fs::write(&path, authority.0.pem()).unwrap();
                Some(path)
            }
            Trust::Cluster(authority) => {
                *cluster.0.client_ca.lock() = authority.0.pem();
                None
            }
        };
        let options = Options {
            node: Node { name: "fargate".to_owned(), ip: "127.0.0.1".parse().unwrap() },
            kubelet: options::Kubelet {
                address: "127.0.0.1".parse().unwrap(),
                port: 0,
                certificate: None,
                client_ca,
            },
            log_group: Some("/fargate".to_owned()),
        };
        let (store, mut pods) = reflector::store();
        pods.apply_watcher_event(&watcher::Event::Apply(pod(json!({ "running": {} }))));
        let lines = Arc::new(Lines::default());
        let service =
            Service::bind(options, cluster.client(), store, Arc::clone(&lines) as _, Arc::new(clock::System))
                .await
                .unwrap();
        let address = service.local;
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(service.run(shutdown.clone()));
        Self { address, cluster, lines, pods, shutdown, task, _files: files }
    }

    pub(super) async fn get(
        &self,
        path: &str,
        identity: Option<&Identity>,
        token: Option<&str>,
    ) -> (StatusCode, String) {
        let mut sender = self.connect(identity).await;
        let answer = sender.send_request(request(path, token)).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(super) async fn connect(
        &self,
        identity: Option<&Identity>,
    ) -> hyper::client::conn::http1::SendRequest<Empty<Bytes>> {
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.shake_hands(identity, &[]).await))
                .await
                .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A connection with the protocols that the client offers. A kubelet's certificate is its own: API servers
    /// without `--kubelet-certificate-authority` accept it as it is.
    pub(super) async fn shake_hands(
        &self,
        identity: Option<&Identity>,
        protocols: &[&[u8]],
    ) -> TlsStream<TcpStream> {
        let provider = crate::tls::provider();
        let servers = crate::tls::AnyPeer::new(&provider);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(servers);
        let mut config = match identity {
            Some(Identity(chain, key)) => {
                config.with_client_auth_cert(vec![chain.clone()], key.clone_key()).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("fargate").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

pub(super) fn request(path: &str, token: Option<&str>) -> Request<Empty<Bytes>> {
    let mut request = Request::get(path).header("host", "fargate").body(Empty::new()).unwrap();
    if let Some(token) = token {
        let headers: &mut HeaderMap = request.headers_mut();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}
