//! A pod's annotations are checked before they are used: ids that are not a task's, another's, or the same on several
//! pods.

use std::time::Duration;

use neargate_provider::pods::decide::annotations;
use serde_json::{Value, json};

use super::world::{World, pod};

/// A pod that never gets its own task, and claims this one.
fn claiming(name: &str, arn: &str) -> Value {
    let mut pod = pod(name, "Always");
    pod["spec"]["hostNetwork"] = json!(true);
    pod["metadata"]["annotations"] = json!({ annotations::TASK_ARN: arn });
    pod
}

/// Creates three other pods, and waits until they run.
async fn others_run(world: &World) {
    for n in 0..3 {
        world.kubernetes.create(pod(&format!("web-{n}"), "Always"), &format!("uid-{n}"));
    }
    for n in 0..3 {
        let own = world.until_tasks(&format!("uid-{n}"), 1).await;
        world.ecs.start(&own);
        world.until_status(&format!("web-{n}"), "/phase", json!("Running")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_ecs_refuses_delays_no_other_pod_and_its_own_can_be_deleted() {
    for arn in [
        "nonsense",
        "arn:aws:ecs:eu-west-1:000000000000:task/default/0123456789abcdef0123456789abcdef",
        "arn:aws:ecs:us-east-1:999999999999:task/default/0123456789abcdef0123456789abcdef",
        "arn:aws:ecs:us-east-1:000000000000:task/another/0123456789abcdef0123456789abcdef",
        // It could be ours, but ECS refuses it.
        "arn:aws:ecs:us-east-1:000000000000:task/default/01234567-89ab-cdef-0123-456789abcdef",
    ] {
        let world = World::new();
        world.kubernetes.create(claiming("job", arn), "uid-job");
        others_run(&world).await;
        world.until_status("job", "/containerStatuses/0/state/waiting/reason", json!("UnsupportedPod")).await;
        world.kubernetes.ask_to_delete("job");
        world.until("the object is gone", |world| world.kubernetes.pod("job").is_none().then_some(())).await;
        assert_eq!(world.ecs.calls("StopTask"), Vec::<String>::new(), "{arn}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_a_policy_denies_delays_no_other_pod_and_its_own_can_be_deleted() {
    let world = World::new();
    let denied = "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef";
    world.ecs.deny(denied);
    world.kubernetes.create(claiming("job", denied), "uid-job");
    others_run(&world).await;
    // ECS has never described that task: the annotation is trusted for five minutes.
    world.until_passed(Duration::from_secs(200)).await;
    world.until_passed(Duration::from_secs(130)).await;
    world.until_status("job", "/containerStatuses/0/state/waiting/reason", json!("UnsupportedPod")).await;
    world.kubernetes.ask_to_delete("job");
    world.until("the object is gone", |world| world.kubernetes.pod("job").is_none().then_some(())).await;
    assert_eq!(world.ecs.calls("StopTask"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_other_pods_claim_is_its_own_pods_all_the_same_and_asked_for_no_oftener() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&arn);
    world.until_status("web", "/phase", json!("Running")).await;
    for n in 0..5 {
        world.kubernetes.create(claiming(&format!("liar-{n}"), &arn), &format!("uid-liar-{n}"));
    }
    world.until_passed(Duration::from_secs(10)).await;
    let asked = world.ecs.calls("DescribeTasks").len();
    world.until_passed(Duration::from_secs(60)).await;
    let asked = world.ecs.calls("DescribeTasks").len() - asked;
    assert!((25..=35).contains(&asked), "every two seconds: {asked}");
    world.ecs.exit(&arn, 3);
    world.until_status("web", "/containerStatuses/0/restartCount", json!(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_a_client_token_has_run_for_somebody_else_is_not_believed() {
    let world = World::without_provider();
    let theirs = world.ecs.somebody_elses(Some("a-colleague"));
    world.ecs.has_run("uid-web-0", &theirs);
    let mut world = world;
    world.start_provider();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let own = world.until_tasks("uid-web", 1).await;
    let mut tokens = world.ecs.calls("RunTask");
    tokens.dedup();
    assert_eq!(tokens, ["uid-web-0", "uid-web-1"]);
    world.ecs.start(&own);
    world.until_status("web", "/phase", json!("Running")).await;
    world.kubernetes.ask_to_delete("web");
    world.until("StopTask", |world| (world.ecs.calls("StopTask") == [own.as_str()]).then_some(())).await;
}
