//! The API over real sockets and real certificates, against an API server in memory.

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

use super::*;
use crate::fargate::logs::{Error as LogError, Event, Page, Position, Request as PageRequest, Stream};

/// An authority that signs clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a client shows: a chain and its key.
struct Identity(CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "clients");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A client's certificate, valid until the year `until`.
    fn sign(&self, user: &str, groups: &[&str], until: i32) -> Identity {
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

/// The cluster: who holds which token, who may do what, and how often it was asked.
#[derive(Debug, Clone, Default)]
struct Cluster(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    token_reviews: AtomicUsize,
    reviewed: Mutex<Vec<Value>>,
    client_ca: Mutex<String>,
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
struct Lines {
    lines: Mutex<Vec<String>>,
    asked: Mutex<Vec<Stream>>,
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

fn pod(state: Value) -> Pod {
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
struct Api {
    address: SocketAddr,
    cluster: Cluster,
    lines: Arc<Lines>,
    pods: reflector::store::Writer<Pod>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    _files: TempDir,
}

/// What the API trusts, and where it learns it.
enum Trust<'a> {
    File(&'a Authority),
    Cluster(&'a Authority),
}

impl Api {
    async fn start(trust: Trust<'_>) -> Self {
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

    async fn get(
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

    async fn connect(
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

    /// A connection of whatever protocols the client offers. A kubelet's certificate is its own: API servers without
    /// `--kubelet-certificate-authority` take it as it is.
    async fn shake_hands(&self, identity: Option<&Identity>, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
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

fn request(path: &str, token: Option<&str>) -> Request<Empty<Bytes>> {
    let mut request = Request::get(path).header("host", "fargate").body(Empty::new()).unwrap();
    if let Some(token) = token {
        let headers: &mut HeaderMap = request.headers_mut();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

const UNAUTHORIZED: (StatusCode, &str) = (StatusCode::UNAUTHORIZED, "Unauthorized");

fn seen((status, body): &(StatusCode, String)) -> (StatusCode, &str) {
    (*status, body)
}

#[tokio::test]
async fn nobody_gets_in_without_a_name_and_nobody_without_the_right() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;

    let stranger = Authority::new().sign("kube-apiserver", &["system:masters"], 2100);
    let expired = authority.sign("kube-apiserver", &["system:masters"], 2020);
    let nameless = authority.sign("", &["system:masters"], 2100);
    for path in
        ["/containerLogs/default/web/main", "/pods", "/healthz", "/exec/default/web/main", "/no/such/route"]
    {
        assert_eq!(seen(&api.get(path, None, None).await), UNAUTHORIZED, "anonymous, {path}");
        assert_eq!(
            seen(&api.get(path, Some(&stranger), None).await),
            UNAUTHORIZED,
            "another authority, {path}"
        );
    }
    assert_eq!(
        seen(&api.get("/healthz", Some(&expired), None).await),
        UNAUTHORIZED,
        "an expired certificate"
    );
    assert_eq!(
        seen(&api.get("/healthz", Some(&nameless), None).await),
        UNAUTHORIZED,
        "a certificate of nobody"
    );
    assert_eq!(seen(&api.get("/healthz", None, Some("bad")).await), UNAUTHORIZED, "a bad token");
    assert!(api.cluster.0.reviewed.lock().is_empty(), "no right is asked for of nobody");

    let user = authority.sign("jane", &["devs"], 2100);
    assert_eq!(
        seen(&api.get("/healthz", Some(&user), None).await),
        (
            StatusCode::FORBIDDEN,
            "Forbidden (user=jane, verb=get, resource=nodes, subresource(s)=[healthz proxy])\n"
        )
    );
    assert_eq!(
        seen(&api.get("/stats/summary", None, Some("good")).await),
        (
            StatusCode::FORBIDDEN,
            "Forbidden (user=system:serviceaccount:monitoring:scraper, verb=get, resource=nodes, \
             subresource(s)=[stats])\n"
        )
    );

    let server = authority.sign("kube-apiserver-kubelet-client", &["system:masters"], 2100);
    assert_eq!(seen(&api.get("/healthz", Some(&server), None).await), (StatusCode::OK, "ok"));
    assert_eq!(seen(&api.get("/healthz", None, Some("good")).await), (StatusCode::OK, "ok"));
    assert_eq!(
        seen(&api.get("/healthz", Some(&stranger), Some("good")).await),
        (StatusCode::OK, "ok"),
        "a certificate that proves nothing does not stop a good token"
    );
    api.shutdown.cancel();
    api.task.await.unwrap();
}

#[tokio::test]
async fn the_cluster_is_asked_as_a_kubelet_asks_and_once() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    for _ in 0..3 {
        assert_eq!(api.get("/healthz", None, Some("good")).await.0, StatusCode::OK);
        assert_eq!(api.get("/healthz", None, Some("bad")).await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(api.cluster.0.token_reviews.load(Ordering::Relaxed), 2, "one of each token");
    let reviewed = api.cluster.0.reviewed.lock().clone();
    let ask = |subresource: &str| {
        json!({
            "user": "system:serviceaccount:monitoring:scraper", "uid": "u9",
            "groups": ["reader", "system:authenticated"],
            "resourceAttributes": {
                "verb": "get", "version": "v1", "resource": "nodes", "subresource": subresource, "name": "fargate",
            },
        })
    };
    assert_eq!(
        reviewed,
        [ask("healthz"), ask("proxy")],
        "the refusal and the permission are both remembered"
    );
}

#[tokio::test]
async fn the_clusters_own_authority_counts_and_its_successor_under_standing_connections() {
    let (old, new) = (Authority::new(), Authority::new());
    let api = Api::start(Trust::Cluster(&old)).await;
    let identity = |authority: &Authority| authority.sign("kube-apiserver", &["system:masters"], 2100);
    let (by_old, by_new) = (identity(&old), identity(&new));
    let mut standing = api.connect(Some(&by_old)).await;
    let mut waiting = api.connect(Some(&by_new)).await;
    let status = async |sender: &mut hyper::client::conn::http1::SendRequest<Empty<Bytes>>| {
        sender.ready().await.unwrap();
        let answer = sender.send_request(request("/healthz", None)).await.unwrap();
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        status
    };
    let reaches = async |sender: &mut _, wanted: StatusCode| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let got = status(sender).await;
            if got == wanted {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "still {got}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    reaches(&mut standing, StatusCode::OK).await;
    assert_eq!(status(&mut waiting).await, StatusCode::UNAUTHORIZED);
    *api.cluster.0.client_ca.lock() = new.0.pem();
    reaches(&mut waiting, StatusCode::OK).await;
    assert_eq!(status(&mut standing).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_built_is_501_and_says_its_name() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    for (path, name) in [
        ("/exec/default/web/main?command=sh", "exec"),
        ("/attach/default/web/u1/main", "attach"),
        ("/portForward/default/web", "portForward"),
        ("/stats/summary", "stats/summary"),
        ("/metrics/resource", "metrics/resource"),
        ("/configz", "configz"),
        ("/logs/syslog", "logs"),
    ] {
        let answer = api.get(path, Some(&server), None).await;
        assert_eq!(seen(&answer), (StatusCode::NOT_IMPLEMENTED, &*format!("501 not implemented: {name}\n")));
    }
    for (path, status, text) in [
        ("/no/such/route", StatusCode::NOT_FOUND, "404 page not found\n"),
        ("/containerLogs/default/other/main", StatusCode::NOT_FOUND, "pod \"other\" does not exist"),
        ("/containerLogs/other/web/main", StatusCode::NOT_FOUND, "pod \"web\" does not exist"),
        (
            "/containerLogs/default/web/none",
            StatusCode::NOT_FOUND,
            "container \"none\" not found in pod \"web\"",
        ),
        (
            "/containerLogs/default/web/main?previous=true",
            StatusCode::BAD_REQUEST,
            "previous terminated container \"main\" in pod \"web\" not found",
        ),
        (
            "/containerLogs/default/web/main?tailLines=-1",
            StatusCode::BAD_REQUEST,
            "invalid value \"-1\" of tailLines: must be an integer not below 0",
        ),
    ] {
        assert_eq!(seen(&api.get(path, Some(&server), None).await), (status, text), "{path}");
    }
}

#[tokio::test]
async fn pods_are_the_nodes_and_running_pods_those_with_a_container_that_runs() {
    let authority = Authority::new();
    let mut api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    let mut done = pod(json!({ "terminated": { "exitCode": 0 } }));
    done.metadata.name = Some("done".to_owned());
    api.pods.apply_watcher_event(&watcher::Event::Apply(done));
    let names = async |path| {
        let (_, body) = api.get(path, Some(&server), None).await;
        let list: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PodList"), &json!("v1")));
        let items = list["items"].as_array().unwrap().clone();
        let mut names: Vec<_> =
            items.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        (names, items)
    };
    assert_eq!(names("/pods").await.0, ["done", "web"]);
    let (running, items) = names("/runningpods/").await;
    assert_eq!(running, ["web"]);
    assert_eq!(items[0]["spec"]["containers"], json!([{ "name": "main", "image": "img" }]));
}

#[tokio::test]
async fn a_followed_log_comes_line_by_line_and_ends_with_its_container() {
    let authority = Authority::new();
    let mut api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    api.lines.lines.lock().extend(["one".to_owned(), "two".to_owned()]);

    let (_, body) =
        api.get("/containerLogs/default/web/main?tailLines=1&timestamps=true", Some(&server), None).await;
    assert_eq!(body, "2026-11-18T11:06:40.000000000Z two\n");
    assert_eq!(api.lines.asked.lock()[0].to_string(), "/fargate:pods/main/0123abcd");
    let (_, body) = api.get("/containerLogs/default/web/main?limitBytes=6", Some(&server), None).await;
    assert_eq!(body, "one\ntw");

    let mut sender = api.connect(Some(&server)).await;
    let answer =
        sender.send_request(request("/containerLogs/default/web/main?follow=true", None)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    let mut next = async || {
        let frame =
            tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("a line in time");
        frame.map(|frame| frame.unwrap().into_data().unwrap())
    };
    assert_eq!(next().await.unwrap(), "one\ntwo\n");
    api.lines.lines.lock().push("three".to_owned());
    assert_eq!(next().await.unwrap(), "three\n");
    api.pods.apply_watcher_event(&watcher::Event::Apply(pod(
        json!({ "terminated": { "exitCode": 0, "containerID": "ecs://pods/0123abcd/r1" } }),
    )));
    api.lines.lines.lock().push("four".to_owned());
    assert_eq!(next().await.unwrap(), "four\n");
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn a_follower_that_leaves_costs_no_more_calls() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    api.lines.lines.lock().push("one".to_owned());
    let mut sender = api.connect(Some(&server)).await;
    let answer =
        sender.send_request(request("/containerLogs/default/web/main?follow=true", None)).await.unwrap();
    drop((answer, sender));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        // A follower asks twice in this time.
        let calls = api.lines.asked.lock().len();
        tokio::time::sleep(Duration::from_millis(800)).await;
        if api.lines.asked.lock().len() == calls {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "still reading");
    }
}

/// Kubernetes takes the last common name of several, as Go does; another one here could be an administrator's.
#[tokio::test]
async fn of_several_common_names_the_last_is_the_user() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "admin");
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "jane");
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.0).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let both = Identity(certificate.der().clone(), key);
    let (status, body) = api.get("/healthz", Some(&both), None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.starts_with("Forbidden (user=jane, "), "{body}");
}

#[tokio::test]
async fn strangers_leave_room_for_those_who_may_and_go_after_their_time() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    let stranger = Authority::new().sign("kube-apiserver", &["system:masters"], 2100);
    let mut known = api.connect(Some(&server)).await;
    assert_eq!(known.send_request(request("/healthz", None)).await.unwrap().status(), StatusCode::OK);

    let begun = tokio::time::Instant::now();
    // HTTP/2 that has said its preface, answers pings, and has once asked for what it may not have.
    let stream = api.shake_hands(Some(&stranger), &[b"h2"]).await;
    let (mut sender, connection) = hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(
        TokioExecutor::new(),
        TokioIo::new(stream),
    )
    .await
    .unwrap();
    let ended = tokio::spawn(async move { drop(connection.await) });
    let asked = Request::get("https://fargate/healthz").body(Empty::new()).unwrap();
    assert_eq!(sender.send_request(asked).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let (mut shaken, mut silent) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        shaken.push(api.shake_hands(None, &[b"h2", b"http/1.1"]).await);
        shaken.push(api.shake_hands(None, &[]).await);
    }
    for _ in 0..300 {
        silent.push(TcpStream::connect(api.address).await.unwrap());
    }
    let path = "/containerLogs/default/web/main";
    let answer = tokio::time::timeout(Duration::from_secs(20), api.get(path, Some(&server), None)).await;
    assert_eq!(answer.expect("an answer in spite of the strangers").0, StatusCode::OK);
    known.ready().await.unwrap();
    assert_eq!(known.send_request(request("/healthz", None)).await.unwrap().status(), StatusCode::OK);

    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the stranger is closed").unwrap();
    // The one that may is not: it stays for as long as it likes.
    tokio::time::sleep_until(begun + crate::kubelet::strangers::TIME + Duration::from_secs(1)).await;
    known.ready().await.unwrap();
    assert_eq!(known.send_request(request("/healthz", None)).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_silent_handshake_holds_up_nobody_and_closing_ends_followers() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(api.address).await.unwrap());
    }
    assert_eq!(seen(&api.get("/healthz", Some(&server), None).await), (StatusCode::OK, "ok"));

    let mut sender = api.connect(Some(&server)).await;
    let answer =
        sender.send_request(request("/containerLogs/default/web/main?follow=true", None)).await.unwrap();
    api.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), answer.into_body().collect()).await;
    assert!(ended.expect("the follower ends").is_ok(), "and ends in order");
    tokio::time::timeout(Duration::from_secs(20), api.task).await.expect("the API ends").unwrap();
}
