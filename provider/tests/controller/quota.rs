//! ECS's request quotas over the whole provider: its own client, on a wire in memory, and hundreds of pods.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use neargate_provider::fargate::{Client, Health};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::world::{World, pod};

/// How long a task takes to run, and to stop.
const TRANSITION: Duration = Duration::from_secs(3);

/// An ECS whose tasks run and stop by themselves.
#[derive(Debug, Clone, Default)]
struct Wire {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<(String, Instant)>,
    /// By ARN; when it was created, when it was stopped.
    tasks: BTreeMap<String, (Value, Instant, Option<Instant>)>,
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
        let answer = self.answer(&operation, &body).to_string();
        let ok = StatusCode::try_from(200).expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(ok, SdkBody::from(answer))))
    }
}

impl Wire {
    fn client(&self, world: &World) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let credentials = Credentials::new("id", "secret", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url("http://ecs.test")
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(1))
            .build();
        Client::new(&config, "default".to_owned(), Health::new(Arc::new(world.clock)))
    }

    fn answer(&self, operation: &str, body: &Value) -> Value {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.calls.push((operation.to_owned(), now));
        match operation {
            "DescribeTaskDefinition" => {
                json!({ "taskDefinition": { "taskDefinitionArn": "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1" } })
            }
            "RunTask" => {
                let arn =
                    format!("arn:aws:ecs:us-east-1:000000000000:task/default/{:032x}", state.tasks.len());
                let task = json!({
                    "taskArn": arn, "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default",
                    "startedBy": body["startedBy"], "tags": body["tags"], "cpu": "256", "memory": "512",
                    "containers": [{ "name": "app", "image": "app:1" }],
                });
                state.tasks.insert(arn, (task.clone(), now, None));
                json!({ "tasks": [at(&task, now, None, now)], "failures": [] })
            }
            "StopTask" => {
                let arn = body["task"].as_str().unwrap_or_default();
                let (task, made, stopped) = state.tasks.get_mut(arn).expect("a task of this wire");
                json!({ "task": at(task, *made, Some(*stopped.get_or_insert(now)), now) })
            }
            "DescribeTasks" => {
                let arns = body["tasks"].as_array().expect("ids");
                assert!((1..=100).contains(&arns.len()), "{} ids", arns.len());
                let described = arns.iter().map(|arn| {
                    let (task, made, stopped) = &state.tasks[arn.as_str().unwrap_or_default()];
                    at(task, *made, *stopped, now)
                });
                json!({ "tasks": described.collect::<Vec<_>>(), "failures": [] })
            }
            "ListTasks" => {
                let running = state.tasks.iter().filter(|(_, (_, _, stopped))| stopped.is_none());
                let wanted = body["desiredStatus"] == "RUNNING";
                let from: usize =
                    body["nextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
                let arns: Vec<_> = running.map(|(arn, _)| arn).filter(|_| wanted).collect();
                let page: Vec<_> = arns.iter().skip(from).take(100).collect();
                let more = (arns.len() > from + 100).then(|| (from + 100).to_string());
                json!({ "taskArns": page, "nextToken": more })
            }
            operation => panic!("unexpected call of the controller: {operation}"),
        }
    }

    fn tasks(&self) -> usize {
        self.state.lock().tasks.len()
    }

    fn calls(&self, operations: &[&str]) -> Vec<Instant> {
        let state = self.state.lock();
        let of = state.calls.iter().filter(|(operation, _)| operations.contains(&operation.as_str()));
        of.map(|(_, at)| *at).collect()
    }
}

/// The task as it is `now`.
fn at(task: &Value, made: Instant, stopped: Option<Instant>, now: Instant) -> Value {
    let seconds = |_: Instant| 1_790_000_000;
    let mut task = task.clone();
    task["createdAt"] = json!(seconds(made));
    task["version"] = json!(1);
    task["desiredStatus"] = json!("RUNNING");
    task["lastStatus"] = json!("PENDING");
    if now >= made + TRANSITION {
        task["version"] = json!(2);
        task["lastStatus"] = json!("RUNNING");
        task["startedAt"] = json!(seconds(made + TRANSITION));
        task["containers"][0]["runtimeId"] = json!("0123");
    }
    if let Some(stopped) = stopped {
        task["version"] = json!(3);
        task["desiredStatus"] = json!("STOPPED");
        if now >= stopped + TRANSITION {
            task["version"] = json!(4);
            task["lastStatus"] = json!("STOPPED");
            task["stoppedAt"] = json!(seconds(stopped + TRANSITION));
            task["containers"][0]["exitCode"] = json!(143);
        }
    }
    task
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_pods_take_no_more_than_half_of_ecss_quotas() {
    const PODS: usize = 200;
    let wire = Wire::default();
    let mut world = World::without_provider();
    world.aws = Some(Arc::new(wire.client(&world)));
    world.start_provider();
    for n in 0..PODS {
        world.kubernetes.create(pod(&format!("web-{n}"), "Always"), &format!("uid-{n}"));
    }
    let running = |pod: &Value| pod["status"]["phase"] == "Running";
    world.until("all run", |world| (world.kubernetes.count(running) == PODS).then_some(())).await;
    assert_eq!(wire.tasks(), PODS, "none is started twice");
    for n in 0..PODS {
        world.kubernetes.ask_to_delete(&format!("web-{n}"));
    }
    world.until("all are gone", |world| (world.kubernetes.count(|_| true) == 0).then_some(())).await;

    for (operations, burst) in [
        (&["DescribeTasks", "ListTasks"][..], 50.0),
        (&["RunTask", "StopTask"], 10.0),
        (&["DescribeTaskDefinition"], 25.0),
    ] {
        let calls = wire.calls(operations);
        for (from, first) in calls.iter().enumerate() {
            for (to, last) in calls.iter().enumerate().skip(from) {
                let allowed = burst + 10.0 * last.duration_since(*first).as_secs_f64() + 1.0;
                let made = to - from + 1;
                assert!(
                    f64::from(u32::try_from(made).expect("few")) <= allowed,
                    "{operations:?}: {made} calls, {allowed} allowed"
                );
            }
        }
    }
    assert!(wire.calls(&["DescribeTasks"]).len() > 100, "it was busy");
}
