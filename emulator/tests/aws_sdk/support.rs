//! An emulator in this process, and clients whose HTTP goes directly to its door.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::{BehaviorVersion, Region};
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, Compatibility, ContainerDefinition, KeyValuePair, LaunchType,
    NetworkConfiguration, NetworkMode, Task,
};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use axum::body::Body;
use http_body_util::BodyExt as _;
use neargate::api;
use neargate::clock::Clock;
use neargate::engine::{self, Engine};
use neargate::runtime::simulated::Runtime;
use neargate::server::{Door, Guard};
use neargate::store::Store;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// How long a state may take to be reached.
const DEADLINE: Duration = Duration::from_secs(20);

/// An emulator on a data directory of its own.
#[derive(Debug)]
pub(crate) struct Emulator {
    pub(crate) door: Door,
    _data: TempDir,
}

impl Emulator {
    pub(crate) async fn start() -> Self {
        Self::on(tempfile::tempdir().unwrap(), Clock::system()).await
    }

    /// An emulator on this data directory, at the time that `clock` shows.
    pub(crate) async fn on(data: TempDir, clock: Clock) -> Self {
        let options = engine::Options {
            region: "us-east-1".to_owned(),
            vpc: neargate::engine::vpc::Choice::Builtin { strict: false },
            activating: false,
            sandbox_pool: 4,
            ephemeral: true,
            publish_ports: false,
        };
        Self::build(options, data, clock).await
    }

    pub(crate) async fn with(options: engine::Options) -> Self {
        Self::build(options, tempfile::tempdir().unwrap(), Clock::system()).await
    }

    async fn build(options: engine::Options, data: TempDir, clock: Clock) -> Self {
        let store = Store::open(data.path()).await.unwrap();
        let runtime = Arc::new(Runtime::new(clock.clone()));
        let region = Arc::from(options.region.as_str());
        let engine = Engine::start(options, store, runtime, clock).await.unwrap();
        let prices = neargate::cost::Prices::builtin();
        let emulator = api::Emulator { engine, account: "000000000000".into(), region, prices };
        Self { door: Door::new(emulator, Guard::new(None, &[])), _data: data }
    }

    /// An ECS client of `us-east-1`.
    pub(crate) fn ecs(&self) -> aws_sdk_ecs::Client {
        self.ecs_in("us-east-1")
    }

    pub(crate) fn ecs_in(&self, region: &'static str) -> aws_sdk_ecs::Client {
        let config = aws_sdk_ecs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
            .endpoint_url("http://localhost:4566")
            .retry_config(RetryConfig::disabled())
            .http_client(InProcess(self.door.clone()));
        aws_sdk_ecs::Client::from_conf(config.build())
    }

    /// The door's response to a request that no SDK would send: status, `x-amzn-RequestId` and body.
    pub(crate) async fn raw(&self, request: http::Request<Body>) -> (u16, String, serde_json::Value) {
        let (status, id, body) = self.text(request).await;
        (status, id, serde_json::from_str(&body).unwrap_or(serde_json::Value::Null))
    }

    /// The same with the body as text.
    pub(crate) async fn text(&self, request: http::Request<Body>) -> (u16, String, String) {
        let response = self.door.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let id = response.headers().get("x-amzn-RequestId").map(|id| id.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, id.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    }
}

/// The SDK's HTTP client that is the door itself.
#[derive(Clone, Debug)]
struct InProcess(Door);

impl HttpClient for InProcess {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let door = self.0.clone();
        HttpConnectorFuture::new(async move {
            let other = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::other(error, None);
            let request = request.try_into_http1x().map_err(|error| other(error.into()))?;
            let request = request.map(|body| Body::from(body.bytes().unwrap_or_default().to_vec()));
            let response = door.oneshot(request).await.map_err(|never| match never {})?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| other(error.into()))?.to_bytes();
            let response = http::Response::from_parts(parts, SdkBody::from(body));
            HttpResponse::try_from(response).map_err(|error| other(error.into()))
        })
    }
}

/// Code and message of an error that the service returned.
pub(crate) fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    result: Result<T, SdkError<E, R>>,
) -> (String, String) {
    let error = result.expect_err("the service accepted it");
    let error = error.as_service_error().unwrap_or_else(|| panic!("not an error of the service: {error:?}"));
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

/// A container named `app` whose simulated run the environment scripts.
pub(crate) fn container(script: &[(&str, &str)]) -> ContainerDefinition {
    let environment =
        script.iter().map(|(name, value)| KeyValuePair::builder().name(*name).value(*value).build());
    ContainerDefinition::builder()
        .name("app")
        .image("app:latest")
        .set_environment(Some(environment.collect()))
        .build()
}

/// Registers a Fargate task definition of 0.25 vCPU and 0.5 GB and returns its ARN.
pub(crate) async fn register(
    ecs: &aws_sdk_ecs::Client,
    family: &str,
    containers: Vec<ContainerDefinition>,
) -> String {
    let registered = ecs
        .register_task_definition()
        .family(family)
        .requires_compatibilities(Compatibility::Fargate)
        .network_mode(NetworkMode::Awsvpc)
        .cpu("256")
        .memory("512")
        .set_container_definitions(Some(containers))
        .send()
        .await
        .unwrap();
    registered.task_definition.unwrap().task_definition_arn.unwrap()
}

/// A RunTask of one Fargate task, to be refined.
pub(crate) fn run_task(
    ecs: &aws_sdk_ecs::Client,
    task_definition: &str,
) -> aws_sdk_ecs::operation::run_task::builders::RunTaskFluentBuilder {
    ecs.run_task()
        .task_definition(task_definition)
        .launch_type(LaunchType::Fargate)
        .network_configuration(network(&["subnet-0a1b2c3d"], &[]))
}

pub(crate) fn network(subnets: &[&str], security_groups: &[&str]) -> NetworkConfiguration {
    let text = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(text(subnets))
        .set_security_groups(text(security_groups))
        .assign_public_ip(AssignPublicIp::Disabled)
        .build()
        .unwrap();
    NetworkConfiguration::builder().awsvpc_configuration(vpc).build()
}

pub(crate) async fn describe(ecs: &aws_sdk_ecs::Client, task: &str) -> Task {
    let mut described = ecs.describe_tasks().tasks(task).send().await.unwrap();
    described.tasks.take().and_then(|mut tasks| tasks.pop()).unwrap_or_else(|| panic!("{described:?}"))
}

/// Waits until the task of the default cluster has reached `status`.
pub(crate) async fn reached(ecs: &aws_sdk_ecs::Client, task: &str, status: &str) -> Task {
    reached_in(ecs, "default", task, status).await
}

/// Waits until the task of that cluster has reached `status`.
pub(crate) async fn reached_in(ecs: &aws_sdk_ecs::Client, cluster: &str, task: &str, status: &str) -> Task {
    let clock = Clock::system();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let described = ecs.describe_tasks().cluster(cluster).tasks(task).send().await.unwrap();
        let [found] = described.tasks() else { panic!("{described:?}") };
        let found = found.clone();
        if found.last_status() == Some(status) {
            return found;
        }
        assert!(Instant::now() < deadline, "{task} is not {status}: {found:?}");
        clock.sleep(Duration::from_millis(5)).await;
    }
}
