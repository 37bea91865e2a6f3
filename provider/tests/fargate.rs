//! The SDK's side: what is sent is what the translation returned, and errors are sorted by what they concern.

use std::{collections::VecDeque, fs, net::Ipv4Addr, path::Path, sync::Arc};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_ecs::types::DesiredStatus;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use k8s_openapi::api::core::v1::Pod;
use neargate_provider::{
    clock,
    fargate::{
        Client, Ecs, Health, Outcome,
        ecs::{Described, Error},
    },
    options::{Layer, Options},
    translate::{Settings, Translation, translate},
};
use parking_lot::Mutex;
use serde_json::{Value, json};

#[derive(Default)]
struct Script {
    answers: VecDeque<(u16, Value)>,
    requests: Vec<(String, Value)>,
}

/// An endpoint that returns scripted responses, in order, and records the requests.
#[derive(Clone, Default)]
struct Endpoint {
    script: Arc<Mutex<Script>>,
}

impl Endpoint {
    fn answer(&self, status: u16, body: Value) {
        self.script.lock().answers.push_back((status, body));
    }

    fn fail(&self, status: u16, code: &str, message: &str) {
        self.answer(status, json!({ "__type": code, "message": message }));
    }

    fn requests(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.script.lock().requests)
    }

    /// The endpoint, served, and the provider's client of it.
    async fn serve() -> (Self, Client, Health) {
        let endpoint = Self::default();
        let app = Router::new().fallback(handle).with_state(endpoint.clone());
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let (client, health) = client(&format!("http://{address}"));
        (endpoint, client, health)
    }
}

async fn handle(State(endpoint): State<Endpoint>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let mut script = endpoint.script.lock();
    script.requests.push((operation, serde_json::from_slice(&body).unwrap_or(Value::Null)));
    let (status, body) =
        script.answers.pop_front().unwrap_or_else(|| (500, json!({ "__type": "ServerException" })));
    (StatusCode::from_u16(status).expect("a status"), body.to_string())
}

fn client(endpoint: &str) -> (Client, Health) {
    let credentials = Credentials::new("id", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::standard().with_max_attempts(1))
        .build();
    let health = Health::new(Arc::new(clock::System));
    (Client::new(&config, "default".to_owned(), health.clone()), health)
}

fn translations() -> Vec<Translation> {
    let layer = Layer {
        node_ip: Some("192.0.2.1".to_owned()),
        subnets: Some("subnet-12345678".into()),
        assign_public_ip: Some(true),
        execution_role_arn: Some("arn:aws:iam::000000000000:role/execution".to_owned()),
        task_role_arn: Some("arn:aws:iam::000000000000:role/task".to_owned()),
        log_group: Some("/pods".to_owned()),
        platform_version: Some("1.4.0".to_owned()),
        architecture: Some("arm64".to_owned()),
        init_image: Some("init:1".to_owned()),
        cluster_dns: Some("10.96.0.10".into()),
        ..Layer::default()
    };
    let options = Options::try_from(layer).expect("valid options");
    let settings = Settings::new(options.fargate, options.node, "us-east-1", "cluster");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let pods = fs::read_dir(folder).expect("the golden pods").filter_map(|entry| {
        let path = entry.expect("an entry").path();
        let pod = path
            .to_string_lossy()
            .ends_with(".pod.yaml")
            .then(|| fs::read_to_string(path).expect("a pod"))?;
        let pod: Pod = serde_yaml_ng::from_str(&pod).expect("a pod");
        translate(&pod, 2, &settings).ok()
    });
    pods.collect()
}

#[tokio::test]
async fn what_goes_over_the_wire_is_what_the_golden_files_show() {
    let (endpoint, client, _) = Endpoint::serve().await;
    let translations = translations();
    assert!(translations.len() >= 5);
    for Translation { definition, run, .. } in translations {
        endpoint.answer(200, json!({ "taskDefinition": { "taskDefinitionArn": "arn:td:7" } }));
        endpoint.answer(200, json!({ "tasks": [{ "taskArn": "arn:task" }], "failures": [] }));
        assert_eq!(client.register_definition(&definition).await.as_deref(), Ok("arn:td:7"));
        let task = client.run_task("arn:td:7", &run).await.expect("a task");
        assert_eq!(task.task_arn(), Some("arn:task"));

        let requests = endpoint.requests();
        let sent = |operation: &str| {
            requests.iter().find_map(|(name, body)| (name == operation).then_some(body)).expect("it was sent")
        };
        assert_eq!(sent("RegisterTaskDefinition"), &serde_json::to_value(&definition).expect("plain JSON"));
        let mut expected = serde_json::to_value(&run).expect("plain JSON");
        expected["taskDefinition"] = json!("arn:td:7");
        if expected["overrides"] == json!({}) {
            // Nothing to override is not sent at all.
            expected.as_object_mut().expect("an object").remove("overrides");
        }
        assert_eq!(sent("RunTask"), &expected);
    }
}

#[tokio::test]
async fn an_error_is_the_pods_only_if_aws_has_refused_this_one_request() {
    let (endpoint, client, health) = Endpoint::serve().await;
    let run = translations().remove(0).run;
    let refused = [
        "ClientException",
        "InvalidParameterException",
        "PlatformUnknownException",
        "UnsupportedFeatureException",
    ];
    for code in refused {
        endpoint.fail(400, code, "No.");
        let error = client.run_task("arn:td:1", &run).await.expect_err(code);
        let expected =
            Error::Refused { operation: "RunTask", code: code.to_owned(), message: "No.".to_owned() };
        assert_eq!(error, expected);
        assert_eq!(health.latest(), Some(Outcome::Answered), "{code}: AWS responded");
    }
    let everybodys = [
        (400, "ThrottlingException"),
        (400, "ClusterNotFoundException"),
        (400, "AccessDeniedException"),
        (400, "UnrecognizedClientException"),
        (400, "ExpiredTokenException"),
        (500, "ServerException"),
        (503, "ServiceUnavailable"),
        (500, "ClientException"),
    ];
    for (status, code) in everybodys {
        endpoint.fail(status, code, "Later.");
        let error = client.run_task("arn:td:1", &run).await.expect_err(code);
        let sorted = match error {
            Error::Denied { .. } => code == "AccessDeniedException",
            Error::Trouble { .. } => code != "AccessDeniedException",
            _ => false,
        };
        assert!(sorted, "{status} {code}: {error:?}");
        assert!(
            matches!(health.latest(), Some(Outcome::Trouble(said)) if said.contains(code)),
            "{status} {code}"
        );
    }
}

#[tokio::test]
async fn no_response_from_the_endpoint_is_trouble() {
    let closed = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = closed.local_addr().expect("its address");
    drop(closed);
    let (client, health) = client(&format!("http://{address}"));
    let error = client.describe_tasks(&["arn:task".to_owned()]).await.expect_err("nothing listens");
    assert!(matches!(error, Error::Trouble { operation: "DescribeTasks", .. }), "{error:?}");
    assert!(matches!(health.latest(), Some(Outcome::Trouble(_))));
    assert_eq!(health.last_success(), None);
}

#[tokio::test]
async fn conflicts_and_failures_are_read() {
    let (endpoint, client, _) = Endpoint::serve().await;
    let run = translations().remove(0).run;
    endpoint.answer(400, json!({ "__type": "ConflictException", "resourceIds": ["arn:task/1"] }));
    let conflict = Error::Conflict { resource_ids: vec!["arn:task/1".to_owned()] };
    assert_eq!(client.run_task("arn:td:1", &run).await, Err(conflict));
    endpoint.answer(
        200,
        json!({ "tasks": [], "failures": [{ "reason": "RESOURCE:ENI", "detail": "no address" }] }),
    );
    let none = Error::NoCapacity { reason: "RESOURCE:ENI: no address".to_owned() };
    assert_eq!(client.run_task("arn:td:1", &run).await, Err(none));
    endpoint.answer(200, json!({ "tasks": [], "failures": [] }));
    assert_eq!(client.run_task("arn:td:1", &run).await, Err(Error::Spent), "its task is forgotten");
}

#[tokio::test]
async fn what_is_not_there_is_an_answer() {
    let (endpoint, client, _) = Endpoint::serve().await;
    endpoint.fail(400, "ClientException", "Unable to describe task definition.");
    assert_eq!(client.describe_definition("neargate-1").await, Ok(None));
    endpoint.fail(400, "InvalidParameterException", "The referenced task was not found.");
    assert_eq!(client.stop_task("arn:task", "because").await, Ok(None));
    endpoint.answer(200, json!({
        "tasks": [{ "taskArn": "arn:1" }],
        "failures": [{ "arn": "arn:2", "reason": "MISSING" }, { "arn": "arn:3", "reason": "SOMETHING_ELSE" }],
    }));
    let ids = ["arn:1", "arn:2", "arn:3"].map(str::to_owned);
    let Described { tasks, missing } = client.describe_tasks(&ids).await.expect("an answer");
    assert_eq!(tasks.len(), 1);
    assert_eq!(missing, ["arn:2"], "only MISSING is missing");
    let asked = endpoint.requests().pop().expect("it was asked").1;
    assert_eq!(
        asked,
        json!({ "cluster": "default", "tasks": ["arn:1", "arn:2", "arn:3"], "include": ["TAGS"] })
    );
}

#[tokio::test]
async fn every_page_of_a_listing_is_read_and_started_by_is_its_only_filter() {
    let (endpoint, client, _) = Endpoint::serve().await;
    endpoint.answer(200, json!({ "taskArns": ["arn:1", "arn:2"], "nextToken": "more" }));
    endpoint.answer(200, json!({ "taskArns": ["arn:3"] }));
    let listed = client.list_tasks("neargate/0", DesiredStatus::Stopped).await;
    assert_eq!(listed.as_deref(), Ok(&["arn:1", "arn:2", "arn:3"].map(str::to_owned)[..]));
    let asked: Vec<_> = endpoint.requests().into_iter().map(|(_, body)| body).collect();
    let first = json!({ "cluster": "default", "startedBy": "neargate/0", "desiredStatus": "STOPPED" });
    let mut second = first.clone();
    second["nextToken"] = json!("more");
    assert_eq!(asked, [first, second]);
}
