//! A pod that cannot run shows why, on its status and in its events: every reason, once, and is not
//! retried without a pause.

use neargate_provider::{clock::Clock, fargate::ecs::Error};
use serde_json::json;

use super::world::{World, pod};

#[tokio::test(start_paused = true)]
async fn a_pod_that_cannot_run_shows_every_reason_once_and_stays_pending() {
    let mut world = World::new();
    let mut unsupported = pod("web", "Always");
    unsupported["spec"]["hostNetwork"] = json!(true);
    unsupported["spec"]["volumes"] = json!([{ "name": "cache", "emptyDir": {} }]);
    unsupported["spec"]["containers"][0]["envFrom"] = json!([{ "secretRef": { "name": "keys" } }]);
    world.kubernetes.create(unsupported, "uid-web");
    let refused =
        world.until_status("web", "/containerStatuses/0/state/waiting/reason", json!("UnsupportedPod")).await;
    assert_eq!(refused["status"]["phase"], "Pending");
    world.until("the event", |world| (!world.kubernetes.events("web").is_empty()).then_some(())).await;
    world.kill_provider().await;
    world.start_provider();
    world.until_settled(3).await;
    world.kubernetes.edit("web", |pod| pod["metadata"]["labels"]["touched"] = json!("yes"));
    world.until_settled(1).await;
    let message = "Pod not supported on Fargate: fields not supported: HostNetwork, \
        volumes not supported: cache is of an unsupported volume Type, \
        envFrom not supported: secretRef keys (container app)";
    assert_eq!(world.kubernetes.events("web"), [("UnsupportedPod".to_owned(), message.to_owned())]);
    assert_eq!(world.ecs.tasks().len(), 0);
    assert_eq!(world.kubernetes.status_writes("web"), 1);
    world.kubernetes.ask_to_delete("web");
    world.until("the object is gone", |world| world.kubernetes.pod("web").is_none().then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn thirty_reasons_are_reported_in_as_many_events_as_they_take() {
    let world = World::new();
    let mut unsupported = pod("web", "Always");
    let volume = |n| format!("a-volume-with-a-name-that-is-rather-long-{n:02}");
    let volumes = (0..30).map(|n| json!({ "name": volume(n), "emptyDir": {} }));
    unsupported["spec"]["volumes"] = volumes.collect();
    unsupported["spec"]["containers"] =
        json!([{ "name": "app", "image": "app:1" }, { "name": "second", "image": "app:1" }]);
    world.kubernetes.create(unsupported, "uid-web");
    let notes = |world: &World| -> String {
        world.kubernetes.events("web").into_iter().map(|(_, note)| note + "\n").collect()
    };
    world.until("every reason", |world| notes(world).contains(&volume(29)).then_some(())).await;
    world.until_settled(2).await;
    let notes = notes(&world);
    for n in 0..30 {
        assert_eq!(notes.matches(&volume(n)).count(), 1, "{n} in {notes}");
    }
    assert!(notes.lines().all(|note| note.starts_with("Pod not supported on Fargate: ")), "{notes}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_long_for_an_event_is_shortened_not_lost() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.fail_to_start(&arn, &format!("CannotPullContainerError: {}", "very ".repeat(400)));
    let failed = world
        .until("the event", |world| {
            let events = world.kubernetes.events("web").into_iter();
            events.map(|(_, note)| note).find(|note| note.contains("CannotPullContainerError"))
        })
        .await;
    assert!(failed.ends_with(" ...") && failed.len() > 1_000, "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_run_task_is_reported_and_retried_only_after_a_pause() {
    let world = World::new();
    let message = "No Fargate configuration exists for given values.".to_owned();
    world.ecs.refuse(Some(Error::Refused {
        operation: "RunTask",
        code: "ClientException".to_owned(),
        message,
    }));
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    world
        .until_status("web", "/containerStatuses/0/state/waiting/reason", json!("CreateContainerError"))
        .await;
    let refused = world.clock.now();
    world.kubernetes.edit("web", |pod| pod["metadata"]["labels"]["touched"] = json!("yes"));
    world.until("the second attempt", |world| (world.ecs.calls("RunTask").len() == 2).then_some(())).await;
    let waited = world.clock.now().duration_since(refused).as_millis();
    assert!((9_900..11_000).contains(&waited), "{waited} ms");
    world.ecs.refuse(None);
    world.until_tasks("uid-web", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_sets_pod_is_refused_once_and_not_retried() {
    let world = World::new();
    let mut agent = pod("web", "Always");
    agent["metadata"]["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "u", "controller": true }]);
    agent["spec"]["containers"] =
        json!([{ "name": "app", "image": "app:1" }, { "name": "second", "image": "app:1" }]);
    world.kubernetes.create(agent, "uid-web");
    world.until_status("web", "/containerStatuses/1/state/waiting/reason", json!("UnsupportedPod")).await;
    world.until_settled(6).await;
    assert_eq!(world.kubernetes.events("web").len(), 1, "{:?}", world.kubernetes.events("web"));
    assert_eq!(world.kubernetes.status_writes("web"), 1);
    assert_eq!(world.kubernetes.pod("web").expect("it stays")["status"]["phase"], "Pending");
    assert_eq!(world.ecs.tasks().len(), 0);
}
