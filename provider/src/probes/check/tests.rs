//! Checks against listeners on this machine.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use k8s_openapi::api::core::v1::Probe;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port that nothing listens on.
async fn closed_port() -> u16 {
    listen().await.1.port()
}

/// A listener that accepts connections and sends nothing.
async fn mute() -> u16 {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let mut taken = Vec::new();
        loop {
            taken.push(listener.accept().await);
        }
    });
    address.port()
}

async fn serve(router: Router) -> u16 {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    address.port()
}

async fn ask(probe: Value, timeout: Duration) -> Outcome {
    let probe: Probe = serde_json::from_value(probe).unwrap();
    let check = Check::of(&probe, "127.0.0.1", &[]).unwrap();
    Checker::new().unwrap().ask(&check, timeout).await
}

fn failure(text: String) -> Outcome {
    Outcome::Failure(text)
}

#[tokio::test]
async fn an_http_answer_counts_by_its_status() {
    let port = serve(
        Router::new()
            .route("/ok", get(|| async { "secret" }))
            .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
            .route("/teapot", get(|| async { (StatusCode::IM_A_TEAPOT, "secret") }))
            .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR })),
    )
    .await;
    let get = async |path: &str| ask(json!({ "httpGet": { "port": port, "path": path } }), LONG).await;
    assert_eq!(get("/ok").await, Outcome::Success);
    assert_eq!(get("/empty").await, Outcome::Success);
    assert_eq!(get("/teapot").await, failure("HTTP probe failed with statuscode: 418".to_owned()));
    assert_eq!(get("/broken").await, failure("HTTP probe failed with statuscode: 500".to_owned()));
    assert_eq!(get("/none").await, failure("HTTP probe failed with statuscode: 404".to_owned()));
}

#[tokio::test]
async fn an_http_request_is_the_probes_own() {
    async fn echo(request: Request) -> Response {
        let expected = request.uri() == "/a%20b?c=d"
            && request.headers()["host"] == "www.example.com"
            && request.headers()["user-agent"] == "kube-probe/1.34"
            && request.headers()["accept"] == "*/*"
            && request.headers()["x-token"] == "abc"
            && request.headers()["connection"] == "close";
        (if expected { StatusCode::OK } else { StatusCode::IM_A_TEAPOT }).into_response()
    }
    let port = serve(Router::new().fallback(echo)).await;
    let headers =
        json!([{ "name": "Host", "value": "www.example.com" }, { "name": "X-Token", "value": "abc" }]);
    let action = json!({ "port": port, "path": "/a b?c=d", "httpHeaders": headers });
    assert_eq!(ask(json!({ "httpGet": action }), LONG).await, Outcome::Success);
}

#[tokio::test]
async fn redirects_are_followed_only_on_the_same_host() {
    let away = |to: &'static str| get(move || async move { Redirect::temporary(to) });
    let port = serve(
        Router::new()
            .route("/a/ok", get(|| async { "fine" }))
            .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
            .route("/absolute", away("/a/ok"))
            .route("/a/relative", away("ok"))
            .route("/to-broken", away("/broken"))
            .route("/round", away("/round"))
            .route(
                "/elsewhere",
                get(|| async { (StatusCode::FOUND, [("location", "http://elsewhere.example/ok")], "moved") }),
            )
            .route("/nowhere", get(|| async { (StatusCode::FOUND, "lost") }))
            .route("/same", get(|| async { (StatusCode::NOT_MODIFIED, "") })),
    )
    .await;
    let full = serve(
        Router::new()
            .fallback(move || async move { Redirect::permanent(&format!("http://127.0.0.1:{port}/a/ok")) }),
    )
    .await;
    let on =
        async |port: u16, path: &str| ask(json!({ "httpGet": { "port": port, "path": path } }), LONG).await;
    assert_eq!(on(port, "/absolute").await, Outcome::Success);
    assert_eq!(on(port, "/a/relative").await, Outcome::Success);
    assert_eq!(on(full, "/").await, Outcome::Success, "another port is the same host");
    assert_eq!(on(port, "/to-broken").await, failure("HTTP probe failed with statuscode: 500".to_owned()));
    assert_eq!(
        on(port, "/round").await,
        failure(format!("Get \"http://127.0.0.1:{port}/round\": stopped after 10 redirects"))
    );
    let terminated =
        |body: &str| Outcome::Warning(format!("Probe terminated redirects, Response body: {body}"));
    assert_eq!(on(port, "/elsewhere").await, terminated("moved"));
    assert_eq!(on(port, "/nowhere").await, terminated("lost"));
    assert_eq!(on(port, "/same").await, terminated(""));
}

#[tokio::test]
async fn a_container_that_does_not_answer_http_fails_in_time_and_says_how() {
    let (closed, mute) = (closed_port().await, mute().await);
    assert_eq!(
        ask(json!({ "httpGet": { "port": closed, "path": "/x" } }), LONG).await,
        failure(format!(
            "Get \"http://127.0.0.1:{closed}/x\": dial tcp 127.0.0.1:{closed}: connect: connection refused"
        ))
    );
    for scheme in ["HTTP", "HTTPS"] {
        let url = format!("{}://127.0.0.1:{mute}/", scheme.to_lowercase());
        assert_eq!(
            ask(json!({ "httpGet": { "port": mute, "scheme": scheme } }), SHORT).await,
            failure(format!(
                "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            ))
        );
    }
    let (listener, address) = listen().await;
    tokio::spawn(async move { drop(listener.accept().await) });
    assert!(matches!(ask(json!({ "httpGet": { "port": address.port() } }), LONG).await, Outcome::Failure(_)));
}

#[tokio::test]
async fn https_is_spoken_whatever_the_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["somebody.else".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (listener, address) = listen().await;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let probe = json!({ "httpGet": { "port": address.port(), "scheme": "HTTPS" } });
    assert_eq!(ask(probe, LONG).await, Outcome::Success);
}

#[tokio::test]
async fn an_established_connection_is_enough_for_tcp() {
    let (closed, mute) = (closed_port().await, mute().await);
    assert_eq!(ask(json!({ "tcpSocket": { "port": mute } }), LONG).await, Outcome::Success);
    assert_eq!(
        ask(json!({ "tcpSocket": { "port": closed } }), LONG).await,
        failure(format!("dial tcp 127.0.0.1:{closed}: connect: connection refused"))
    );
    assert_eq!(
        ask(json!({ "tcpSocket": { "port": "web" } }), LONG).await,
        Outcome::Errored("couldn't find port \"web\" of the container".to_owned())
    );
}

/// A health service as a gRPC server answers: frames of data, then trailers.
async fn health(request: Request) -> Response {
    use http_body_util::BodyExt;
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    let asked = request.into_body().collect().await.unwrap().to_bytes();
    let (code, message, answer): (&str, &str, &[u8]) = match asked.get(7..).unwrap_or_default() {
        b"" => ("0", "", &[0, 0, 0, 0, 2, 8, 1]),
        b"down" => ("0", "", &[0, 0, 0, 0, 2, 8, 2]),
        b"old" => ("12", "unknown service grpc.health.v1.Health", &[]),
        _ => ("5", "unknown service", &[]),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.parse().unwrap());
    trailers.insert("grpc-message", message.parse().unwrap());
    if answer.is_empty() {
        return (trailers, [("content-type", "application/grpc")]).into_response();
    }
    let frames = [
        Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(bytes::Bytes::from_static(answer))),
        Ok(hyper::body::Frame::trailers(trailers)),
    ];
    let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
    ([("content-type", "application/grpc")], axum::body::Body::new(body)).into_response()
}

#[tokio::test]
async fn a_grpc_service_is_healthy_when_it_reports_serving() {
    let port = serve(Router::new().fallback(health)).await;
    let grpc = async |service: &str| ask(json!({ "grpc": { "port": port, "service": service } }), LONG).await;
    assert_eq!(grpc("").await, Outcome::Success);
    assert_eq!(grpc("down").await, failure("service unhealthy (responded with \"NOT_SERVING\")".to_owned()));
    assert_eq!(
        grpc("none").await,
        failure(
            "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service".to_owned()
        )
    );
    assert_eq!(
        grpc("old").await,
        failure(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): \
             unknown service grpc.health.v1.Health"
                .to_owned()
        )
    );

    let (closed, mute) = (closed_port().await, mute().await);
    assert_eq!(
        ask(json!({ "grpc": { "port": closed } }), LONG).await,
        failure(format!(
            "error: failed to connect service at \"127.0.0.1:{closed}\": \
             dial tcp 127.0.0.1:{closed}: connect: connection refused"
        ))
    );
    assert_eq!(
        ask(json!({ "grpc": { "port": mute } }), SHORT).await,
        failure("timeout: health rpc did not complete within 300ms".to_owned())
    );
}
