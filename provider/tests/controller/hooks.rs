//! `preStop`: done before StopTask, within the grace, by the times on the pod.

use jiff::Timestamp;
use neargate_provider::clock::Clock;
use serde_json::{Value, json};

use super::{
    server::Server,
    world::{World, pod},
};

fn with_hook(hook: Value) -> Value {
    let mut pod = pod("web", "Always");
    pod["spec"]["containers"][0]["lifecycle"] = json!({ "preStop": hook });
    pod
}

fn get(port: u16) -> Value {
    json!({ "httpGet": { "host": "127.0.0.1", "port": port, "path": "/drain" } })
}

/// Runs the pod and deletes it, with a grace of 30 s; returns when that was.
async fn run_and_delete(world: &World, pod: Value) -> Timestamp {
    world.kubernetes.create(pod, "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&arn);
    world.until_status("web", "/phase", json!("Running")).await;
    let asked = world.clock.now();
    world.kubernetes.ask_to_delete_at("web", asked, 30);
    asked
}

async fn until_stopped(world: &World, since: Timestamp) -> i64 {
    world.until("StopTask", |world| (!world.ecs.calls("StopTask").is_empty()).then_some(())).await;
    world.clock.now().duration_since(since).as_secs()
}

fn hook_failures(world: &World) -> Vec<String> {
    let events = world.kubernetes.events("web").into_iter();
    events.filter(|(reason, _)| reason == "FailedPreStopHook").map(|(_, note)| note).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sleep_continues_where_it_was_for_a_provider_that_is_restarted() {
    let mut world = World::new();
    let asked = run_and_delete(&world, with_hook(json!({ "sleep": { "seconds": 15 } }))).await;
    world
        .until("ten seconds have passed", |world| {
            (world.clock.now().duration_since(asked).as_secs() >= 10).then_some(())
        })
        .await;
    assert_eq!(world.ecs.calls("StopTask"), Vec::<String>::new());
    let asleep = world.kubernetes.pod("web").expect("it stays");
    assert_eq!(asleep["status"]["containerStatuses"][0]["ready"], true, "it serves as before");
    world.kill_provider().await;
    world.start_provider();
    let waited = until_stopped(&world, asked).await;
    assert!((15..=17).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_grace_that_ended_while_the_provider_was_down_is_over() {
    let mut world = World::new();
    world.kubernetes.create(with_hook(json!({ "sleep": { "seconds": 20 } })), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&arn);
    world.until_status("web", "/phase", json!("Running")).await;
    world.kill_provider().await;
    let began = world.clock.now();
    world.kubernetes.ask_to_delete_at("web", began - jiff::SignedDuration::from_secs(40), 30);
    world.start_provider();
    let waited = until_stopped(&world, began).await;
    assert!(waited <= 1, "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn stop_task_follows_the_last_hook_and_any_answer_is_one() {
    let server = Server::start(Some("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n")).await;
    let mut both = with_hook(get(0));
    both["spec"]["containers"][0]["ports"] = json!([{ "name": "admin", "containerPort": server.port }]);
    both["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"]["port"] = json!("admin");
    both["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"]["httpHeaders"] =
        json!([{ "name": "X-Why", "value": "deleted" }]);
    let second = json!({ "name": "second", "image": "app:1", "lifecycle": { "preStop": { "sleep": { "seconds": 4 } } } });
    both["spec"]["containers"].as_array_mut().expect("a list").push(second);

    let world = World::new();
    let asked = run_and_delete(&world, both).await;
    let waited = until_stopped(&world, asked).await;
    assert!((4..=6).contains(&waited), "{waited} s");
    let requests = server.requests.lock().clone();
    let [request] = &requests[..] else { panic!("asked once: {requests:?}") };
    assert!(request.starts_with("GET /drain HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("x-why: deleted") && request.contains("user-agent: kube-lifecycle/"),
        "{request}"
    );
    assert_eq!(hook_failures(&world), Vec::<String>::new());
    assert_eq!(world.ecs.calls("StopTask").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_is_refused_is_reported_and_delays_nothing() {
    // The port of a server that is gone.
    let port = Server::start(None).await.port;
    let world = World::new();
    let asked = run_and_delete(&world, with_hook(get(port))).await;
    let waited = until_stopped(&world, asked).await;
    assert!(waited <= 5, "{waited} s");
    world.until("the event", |world| (!hook_failures(world).is_empty()).then_some(())).await;
    let [failure] = &hook_failures(&world)[..] else { panic!("reported once") };
    assert!(failure.starts_with("PreStopHook failed: Get \"http://127.0.0.1:"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_never_answers_has_the_grace_and_no_more() {
    let server = Server::start(None).await;
    let world = World::new();
    let asked = run_and_delete(&world, with_hook(get(server.port))).await;
    let waited = until_stopped(&world, asked).await;
    assert!((29..=31).contains(&waited), "{waited} s");
    world.until("the event", |world| (!hook_failures(world).is_empty()).then_some(())).await;
    assert!(hook_failures(&world)[0].contains("context deadline exceeded"), "{:?}", hook_failures(&world));
    assert_eq!(server.requests.lock().len(), 1);
}
