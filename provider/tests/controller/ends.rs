//! Every wait has an end: tokens that outlive their tasks, tasks that never reach STOPPED, an API server that does not
//! respond.

use neargate_provider::clock::Clock;
use serde_json::json;

use super::world::{World, pod};

#[tokio::test(start_paused = true)]
async fn a_client_token_that_outlives_its_task_ends_the_attempt() {
    for (policy, relabelled) in [("Always", false), ("Always", true), ("Never", false)] {
        let mut world = World::new();
        world.ecs.lose_next_reply();
        world.kubernetes.create(pod("web", policy), "uid-web");
        let arn = world.until_tasks("uid-web", 1).await;
        world.kill_provider().await;
        world.kubernetes.edit("web", |pod| {
            pod["metadata"]["annotations"] = json!({});
            if relabelled {
                pod["metadata"]["labels"]["version"] = json!("2");
            }
        });
        world.ecs.lose(&arn);
        world.start_provider();
        if policy == "Never" {
            let lost = world.until_status("web", "/phase", json!("Failed")).await;
            assert_eq!(lost["status"]["reason"], "NotFound", "it may have run: it is not run twice");
            assert_eq!(world.ecs.tasks().len(), 0);
        } else {
            let next = world.until_tasks("uid-web", 1).await;
            assert_eq!(world.ecs.calls("RunTask").last().map(String::as_str), Some("uid-web-1"));
            world.ecs.start(&next);
            world.until_status("web", "/phase", json!("Running")).await;
        }
        let reasons: Vec<_> = world.kubernetes.events("web").into_iter().map(|(reason, _)| reason).collect();
        assert!(!reasons.iter().any(|reason| reason == "FailedScheduling"), "{reasons:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_goes_a_minute_after_its_containers_though_its_task_never_reaches_stopped() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&arn);
    world.until_status("web", "/phase", json!("Running")).await;
    world.kubernetes.ask_to_delete("web");
    world.until("StopTask", |world| (!world.ecs.calls("StopTask").is_empty()).then_some(())).await;
    world.ecs.deprovision(&arn, 143);
    let ended = world.clock.now();
    world.until("the object is gone", |world| world.kubernetes.pod("web").is_none().then_some(())).await;
    let waited = world.clock.now().duration_since(ended).as_secs();
    assert!((59..=62).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_api_server_never_answers_is_given_up_and_done_again() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.until_status("web", "/containerStatuses/0/state/waiting/reason", json!("ContainerCreating")).await;
    world.kubernetes.leave_unanswered(2);
    world.ecs.start(&arn);
    world.until_status("web", "/phase", json!("Running")).await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_was_not_removed_is_removed_again() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&arn);
    world.until_status("web", "/phase", json!("Running")).await;
    world.kubernetes.refuse_next_deletion();
    world.kubernetes.ask_to_delete("web");
    world.until("StopTask", |world| (!world.ecs.calls("StopTask").is_empty()).then_some(())).await;
    world.ecs.exit(&arn, 143);
    world.until("the object is gone", |world| world.kubernetes.pod("web").is_none().then_some(())).await;
}
