//! A request's path through the API, in cases that no real operation of AWS can show.

use std::sync::Arc;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use tempfile::TempDir;

use super::answer::answer;
use super::model::ecs;
use super::protocol::aws_json::{AwsJson, TARGET};
use super::service::Service;
use super::{Context, Emulator, Error, Operation};
use crate::clock::Clock;
use crate::engine::{self, Engine};
use crate::runtime::simulated;
use crate::store::Store;

/// An emulator on a data directory that is removed with the second value.
pub(super) async fn emulator() -> (Emulator, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let clock = Clock::system();
    let options = engine::Options {
        region: "us-east-1".to_owned(),
        vpc: engine::vpc::Choice::Builtin { strict: false },
        activating: false,
        sandbox_pool: 0,
        ephemeral: true,
        publish_ports: false,
    };
    let runtime = Arc::new(simulated::Runtime::new(clock.clone()));
    let engine = Engine::start(options, store, runtime, clock).await.unwrap();
    let prices = crate::cost::Prices::builtin();
    let emulator = Emulator { engine, account: "000000000000".into(), region: "us-east-1".into(), prices };
    (emulator, data)
}

/// Status, headers and body.
pub(super) async fn whole(response: http::Response<Body>) -> (u16, HeaderMap, String) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

/// An operation with a bug, and a small limit of the body.
struct ListClusters;

impl Operation for ListClusters {
    const NAME: &'static str = "ListClusters";
    const LARGEST_BODY: usize = 64;
    type Input = ecs::ListClustersRequest;
    type Output = ();

    async fn handle(_: &Context, input: ecs::ListClustersRequest) -> Result<(), Error> {
        assert!(input.next_token.is_none(), "a mistake");
        Ok(())
    }
}

fn services() -> [Service<AwsJson>; 1] {
    let protocol = AwsJson { target_prefix: ecs::TARGET_PREFIX };
    let codes = [ecs::error::INVALID_PARAMETER, ecs::error::SERVER];
    [Service::new("ecs", protocol, ecs::OPERATIONS, codes).with::<ListClusters>()]
}

fn request(body: Body) -> Request<Body> {
    Request::post("/")
        .header(CONTENT_TYPE, "application/x-amz-json-1.1")
        .header(TARGET, format!("{}.ListClusters", ecs::TARGET_PREFIX))
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_panic_fails_its_own_request_and_no_other() {
    let ((emulator, _data), services) = (emulator().await, services());
    let ask = async |body: &'static str| {
        let (status, _, body) = whole(answer(&services, &emulator, request(Body::from(body))).await).await;
        (status, body)
    };
    let (status, body) = ask(r#"{"nextToken": "x"}"#).await;
    assert_eq!(status, 500);
    assert!(body.contains(r#""__type":"ServerException""#) && !body.contains("mistake"), "{body}");
    assert_eq!(ask("{}").await, (200, String::new()));
}

#[tokio::test]
async fn a_body_larger_than_its_operations_limit_is_refused() {
    let ((emulator, _data), services) = (emulator().await, services());
    let ask = async |body: Body| {
        let (status, _, body) = whole(answer(&services, &emulator, request(body)).await).await;
        (status, body)
    };
    let fits = format!("{{}}{}", " ".repeat(62));
    assert_eq!(ask(Body::from(fits)).await.0, 200);
    let (status, body) = ask(Body::from("x".repeat(65))).await;
    assert_eq!(status, 413, "{body}");
    assert!(body.contains(r#""__type":"RequestEntityTooLargeException""#), "{body}");
    // The same if its length is not announced: it is counted while it arrives.
    let chunks = futures::stream::iter(["0123456789"; 7].map(Ok::<_, std::io::Error>));
    assert_eq!(ask(Body::from_stream(chunks)).await.0, 413);
}
