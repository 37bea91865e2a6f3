//! The API server away, its watch listed again, its events never answered; and loops that panic.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    server::Server,
    world::{World, pod},
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn with_probe(name: &str, kind: &str, port: u16) -> Value {
    let mut pod = pod(name, "Always");
    pod["spec"]["containers"][0][kind] = json!({
        "httpGet": { "host": "127.0.0.1", "port": port, "path": "/" }, "periodSeconds": 1, "failureThreshold": 1,
    });
    pod
}

#[tokio::test(start_paused = true)]
async fn what_was_created_and_deleted_while_the_watch_was_gone_is_run_and_forgotten() {
    let server = Server::start(Some(OK)).await;
    let world = World::new();
    world.kubernetes.create(with_probe("web", "readinessProbe", server.port), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&arn);
    world.until("the probe", |_| (server.requests.lock().len() >= 2).then_some(())).await;
    world.kubernetes.vanish("web");
    world.kubernetes.create_unseen(pod("job", "Never"), "uid-job");
    world.kubernetes.expire();

    world.until("StopTask", |world| (world.ecs.calls("StopTask") == [arn.as_str()]).then_some(())).await;
    world.until_tasks("uid-job", 1).await;
    world.until_passed(Duration::from_secs(3)).await;
    let requests = server.requests.lock().len();
    world.until_passed(Duration::from_secs(30)).await;
    assert_eq!(server.requests.lock().len(), requests, "its address may be another's by now");
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_the_same_name_that_took_its_place_unseen_is_another_pod() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let first = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&first);
    world.until_status("web", "/phase", json!("Running")).await;
    world.kubernetes.vanish("web");
    world.kubernetes.create_unseen(pod("web", "Always"), "uid-next");
    world.kubernetes.expire();
    let second = world.until_tasks("uid-next", 1).await;
    world.until("StopTask", |world| (world.ecs.calls("StopTask") == [first.as_str()]).then_some(())).await;
    world.ecs.start(&second);
    world.until_status("web", "/phase", json!("Running")).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_before_run_task_is_answered_leaves_no_task() {
    let world = World::new();
    world.ecs.reply_after(Duration::from_secs(4));
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.kubernetes.force_delete("web");
    world.until("StopTask", |world| (world.ecs.calls("StopTask") == [arn.as_str()]).then_some(())).await;
    world.until_passed(Duration::from_secs(5)).await;
    let asked = world.ecs.calls("DescribeTasks").len();
    world.until_passed(Duration::from_secs(30)).await;
    assert_eq!(world.ecs.calls("DescribeTasks").len(), asked, "nothing of it is remembered");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_changes_no_task_and_is_sent_everything_when_it_is_back() {
    let world = World::new();
    for (name, uid) in [("web", "uid-web"), ("job", "uid-job")] {
        world.kubernetes.create(pod(name, "Always"), uid);
        let arn = world.until_tasks(uid, 1).await;
        world.ecs.start(&arn);
        world.until_status(name, "/phase", json!("Running")).await;
    }
    let [web, job] = &world.ecs.tasks()[..] else { panic!("two tasks") };
    let (web, job) = (web.task_arn().expect("its ARN"), job.task_arn().expect("its ARN"));
    world.kubernetes.go_down();
    world.ecs.exit(web, 3);
    world.kubernetes.vanish("job");
    world.kubernetes.expire();
    world.until_passed(Duration::from_secs(120)).await;
    assert_eq!(world.ecs.tasks().len(), 2, "the next attempt is on the status before its RunTask");
    assert_eq!(world.ecs.calls("StopTask"), Vec::<String>::new(), "a pod that can't be seen is not gone");

    world.kubernetes.come_back();
    world.until_tasks("uid-web", 2).await;
    world.until_status("web", "/containerStatuses/0/restartCount", json!(1)).await;
    world.until("StopTask", |world| (world.ecs.calls("StopTask") == [job]).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn events_that_are_never_answered_delay_no_probe_and_no_status() {
    // The port of a server that is gone.
    let port = Server::start(None).await.port;
    let world = World::new();
    world.kubernetes.never_answer_events();
    world.kubernetes.create(with_probe("web", "livenessProbe", port), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&arn);
    world.until("StopTask", |world| (world.ecs.calls("StopTask") == [arn.as_str()]).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_no_loop_and_delays_no_other_pod() {
    for operation in ["ListTasks", "DescribeTasks", "RunTask"] {
        let mut world = World::without_provider();
        world.ecs.panic_once(operation);
        world.start_provider();
        for (name, uid) in [("web", "uid-web"), ("job", "uid-job")] {
            world.kubernetes.create(pod(name, "Always"), uid);
        }
        for (name, uid) in [("web", "uid-web"), ("job", "uid-job")] {
            let arn = world.until_tasks(uid, 1).await;
            world.ecs.start(&arn);
            world.until_status(name, "/phase", json!("Running")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_definition_is_known_for_as_long_as_a_pod_has_it() {
    let world = World::new();
    for (uid, asked) in [("uid-1", 1), ("uid-2", 1)] {
        world.kubernetes.create(pod(uid, "Always"), uid);
        world.until_tasks(uid, 1).await;
        assert_eq!(world.ecs.calls("DescribeTaskDefinition").len(), asked);
    }
    world.kubernetes.force_delete("uid-1");
    world.kubernetes.force_delete("uid-2");
    world.until_settled(2).await;
    world.kubernetes.create(pod("uid-3", "Always"), "uid-3");
    world.until_tasks("uid-3", 1).await;
    assert_eq!(world.ecs.calls("DescribeTaskDefinition").len(), 2, "forgotten with its last pod");
}
