//! An emulator on the simulated runtime, and the SDK wired to it.

use std::fmt::Debug;
use std::sync::Arc;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use axum::body::Body;
use http_body_util::BodyExt as _;
use neargate::api::Emulator;
use neargate::clock::{Clock, Timestamp};
use neargate::engine::{Engine, Options};
use neargate::runtime::simulated;
use neargate::server::{Door, Guard};
use neargate::store::Store;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// The time until a test moves the clock: 2025-11-21, in milliseconds.
pub(crate) const NOW: i64 = 1_763_724_591_000;

pub(crate) const REGION: &str = "eu-west-1";

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) logs: Client,
    door: Door,
    _dir: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::manual(Timestamp(NOW));
        let store = Store::open(dir.path()).await.unwrap();
        let options = Options {
            region: REGION.into(),
            vpc: neargate::engine::vpc::Choice::Builtin { strict: false },
            activating: false,
            sandbox_pool: 0,
            ephemeral: true,
            publish_ports: false,
        };
        let runtime = Arc::new(simulated::Runtime::new(clock.clone()));
        let engine = Engine::start(options, store, runtime, clock.clone()).await.unwrap();
        let emulator = Emulator {
            engine,
            account: "000000000000".into(),
            region: "us-east-1".into(),
            prices: neargate::cost::Prices::builtin(),
        };
        let door = Door::new(emulator, Guard::new(None, &[]));
        Self { clock, logs: client(&door, REGION), door, _dir: dir }
    }

    /// A client of another region.
    pub(crate) fn logs_of(&self, region: &'static str) -> Client {
        client(&self.door, region)
    }

    /// One with the log group `group` and its stream `stream`.
    pub(crate) async fn with_stream() -> Self {
        let world = Self::new().await;
        world.logs.create_log_group().log_group_name("group").send().await.unwrap();
        world.create_stream("stream").await;
        world
    }

    pub(crate) async fn create_stream(&self, name: &str) {
        self.logs.create_log_stream().log_group_name("group").log_stream_name(name).send().await.unwrap();
    }

    /// Puts events of these times, in milliseconds from [`NOW`], and messages.
    pub(crate) async fn put(&self, stream: &str, events: &[(i64, &str)]) {
        let put = self.logs.put_log_events().log_group_name("group").log_stream_name(stream);
        let events = events.iter().map(|(after, message)| event(*after, *message)).collect();
        let answer = put.set_log_events(Some(events)).send().await.unwrap();
        assert_eq!(answer.rejected_log_events_info(), None);
    }
}

pub(crate) fn event(after: i64, message: impl Into<String>) -> InputLogEvent {
    InputLogEvent::builder().timestamp(NOW + after).message(message).build().unwrap()
}

/// Code and message of the error that a call returned.
#[track_caller]
pub(crate) fn refusal<T: Debug, E: ProvideErrorMetadata + Debug>(
    result: Result<T, SdkError<E, HttpResponse>>,
) -> String {
    let error = result.unwrap_err();
    let error = error.as_service_error().unwrap_or_else(|| panic!("not an error of the service: {error:?}"));
    format!("{}: {}", error.code().unwrap_or("?"), error.message().unwrap_or("?"))
}

fn client(door: &Door, region: &'static str) -> Client {
    let connector = SharedHttpConnector::new(InProcess(door.clone()));
    let credentials =
        Credentials::builder().access_key_id("test").secret_access_key("test").provider_name("test").build();
    let config = aws_sdk_cloudwatchlogs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(credentials)
        .endpoint_url("http://localhost:4566")
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build();
    Client::from_conf(config)
}

#[derive(Clone, Debug)]
struct InProcess(Door);

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let door = self.0.clone();
        HttpConnectorFuture::new(async move {
            answer(door, request).await.map_err(|error| ConnectorError::other(error, None))
        })
    }
}

async fn answer(
    door: Door,
    request: HttpRequest,
) -> Result<HttpResponse, Box<dyn std::error::Error + Send + Sync>> {
    let mut asked = http::Request::builder().method(request.method()).uri(request.uri());
    for (name, value) in request.headers() {
        asked = asked.header(name, value);
    }
    let body = request.body().bytes().ok_or("a streaming body")?.to_vec();
    let response = door.oneshot(asked.body(Body::from(body))?).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut answer = HttpResponse::new(parts.status.as_u16().try_into()?, SdkBody::from(body));
    for (name, value) in &parts.headers {
        answer.headers_mut().insert(name.as_str().to_owned(), value.to_str()?.to_owned());
    }
    Ok(answer)
}
