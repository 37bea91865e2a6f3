//! The controller between a Kubernetes and an ECS in memory: named scenarios of what goes wrong between two steps.

mod backoff;
mod claims;
mod ecs;
mod ends;
mod hooks;
mod kubernetes;
mod quota;
mod refusals;
mod server;
mod two;
mod watch;
mod world;

use neargate_provider::{clock::Clock, options, pods::decide::annotations};
use serde_json::{Value, json};

use self::world::{World, pod};

fn annotation(pod: &Value, key: &str) -> Option<String> {
    pod["metadata"]["annotations"][key].as_str().map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_as_a_task_and_goes_only_when_the_task_has_stopped() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    let pending = world
        .until_status("web", "/containerStatuses/0/state/waiting/reason", json!("ContainerCreating"))
        .await;
    assert_eq!(pending["status"]["phase"], "Pending");
    assert_eq!(annotation(&pending, annotations::TASK_ARN).as_ref(), Some(&arn));
    assert_eq!(annotation(&pending, annotations::CAPACITY_PROVISIONED).as_deref(), Some("0.25vCPU 0.5GB"));
    assert_eq!(pending["status"]["hostIP"], "192.0.2.1");
    assert_eq!(pending["status"]["qosClass"], "BestEffort", "what the API server has set stays");

    world.ecs.start(&arn);
    let running = world.until_status("web", "/phase", json!("Running")).await;
    assert_eq!(running["status"]["podIP"], "10.0.0.10");
    assert_eq!(running["status"]["containerStatuses"][0]["ready"], true);
    let id = format!("ecs://default/{}/0123-4567", arn.rsplit('/').next().expect("an id"));
    assert_eq!(running["status"]["containerStatuses"][0]["containerID"], json!(id));

    world.kubernetes.ask_to_delete("web");
    world.until("StopTask", |world| (world.ecs.calls("StopTask") == [arn.as_str()]).then_some(())).await;
    world.until_settled(1).await;
    let stopping = world.kubernetes.pod("web").expect("the object stays while the task stops");
    assert_eq!(stopping["status"]["phase"], "Running");
    assert_eq!(stopping["status"]["podIP"], "10.0.0.10");
    assert_eq!(stopping["status"]["containerStatuses"][0]["ready"], true, "it serves until it exits");
    world.ecs.exit(&arn, 143);
    world.until("the object is gone", |world| world.kubernetes.pod("web").is_none().then_some(())).await;
    assert_eq!(world.ecs.calls("StopTask").len(), 1, "stopped once");
    let reasons: Vec<_> = world.kubernetes.events("web").into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["Started", "Killing"]);
}

#[tokio::test(start_paused = true)]
async fn replicas_share_one_task_definition() {
    let world = World::new();
    for n in 0..5 {
        world.kubernetes.create(pod(&format!("web-{n}"), "Always"), &format!("uid-{n}"));
    }
    world.until("five tasks", |world| (world.ecs.tasks().len() == 5).then_some(())).await;
    assert_eq!(world.ecs.definitions(), 1);
    assert_eq!(world.ecs.calls("RegisterTaskDefinition").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_killed_between_run_task_and_the_annotation_adopts_its_task() {
    let mut world = World::new();
    world.ecs.lose_next_reply();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.kill_provider().await;
    let orphan = world.kubernetes.pod("web").expect("it stays");
    world.ecs.start(&arn);
    if annotation(&orphan, annotations::TASK_ARN).is_some() {
        // It was faster than the kill: undo what it wrote.
        world.kubernetes.edit("web", |pod| pod["metadata"]["annotations"] = json!({}));
    }

    world.start_provider();
    let running = world.until_status("web", "/phase", json!("Running")).await;
    assert_eq!(annotation(&running, annotations::TASK_ARN), Some(arn));
    world.until_settled(1).await;
    assert_eq!(world.ecs.tasks().len(), 1, "no task is started twice");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ended_while_its_pod_had_no_annotation_is_the_pods_all_the_same() {
    let mut world = World::without_provider();
    world.ecs.lose_next_reply();
    world.kubernetes.create(pod("job", "Never"), "uid-job");
    world.start_provider();
    let arn = world.until_tasks("uid-job", 1).await;
    world.kill_provider().await;
    world.kubernetes.edit("job", |pod| pod["metadata"]["annotations"] = json!({}));
    world.ecs.start(&arn);
    world.ecs.exit(&arn, 0);

    world.start_provider();
    let done = world.until_status("job", "/phase", json!("Succeeded")).await;
    assert_eq!(done["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    assert_eq!(world.ecs.tasks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_of_run_task_makes_no_second_task() {
    let world = World::new();
    world.ecs.lose_next_reply();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    world.until_status("web", "/containerStatuses/0/state/waiting/reason", json!("ContainerCreating")).await;
    assert_eq!(world.ecs.tasks().len(), 1);
    assert_eq!(world.ecs.calls("RunTask"), ["uid-web-0", "uid-web-0"], "the same token twice");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_of_the_client_token_adopts_the_task_that_it_has_run() {
    let mut world = World::new();
    world.ecs.lose_next_reply();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.kill_provider().await;
    // The labels are tags: the same token now has other parameters. The task must not be found by the listing.
    world.kubernetes.edit("web", |pod| {
        pod["metadata"]["labels"]["version"] = json!("2");
        pod["metadata"]["annotations"] = json!({});
    });
    let unlisted = world.ecs.tasks_of("uid-web").remove(0);
    world.ecs.lose(&arn);
    world.ecs.go_down();
    world.start_provider();
    world.ecs.come_back();
    world.until_settled(1).await;
    world.ecs.restore(unlisted);
    let pod = world.until("the annotation", |world| {
        world.kubernetes.pod("web").filter(|pod| annotation(pod, annotations::TASK_ARN).is_some())
    });
    assert_eq!(annotation(&pod.await, annotations::TASK_ARN), Some(arn));
    assert_eq!(world.ecs.tasks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_while_the_provider_was_down_takes_its_task_with_it() {
    let mut world = World::new();
    for (name, uid) in [("web", "uid-web"), ("job", "uid-job")] {
        world.kubernetes.create(pod(name, "Always"), uid);
        let arn = world.until_tasks(uid, 1).await;
        world.ecs.start(&arn);
        world.until_status(name, "/phase", json!("Running")).await;
    }
    world.kill_provider().await;
    world.kubernetes.force_delete("web");
    world.kubernetes.ask_to_delete("job");

    world.start_provider();
    let mut stopped = world
        .until("both tasks are stopped", |world| {
            let stopped = world.ecs.calls("StopTask");
            (stopped.len() == 2).then_some(stopped)
        })
        .await;
    stopped.sort();
    let arns: Vec<_> =
        world.ecs.tasks().iter().filter_map(|task| task.task_arn().map(str::to_owned)).collect();
    assert_eq!(stopped, arns);
    world.ecs.exit(&arns[1], 0);
    world.until("the object is gone", |world| world.kubernetes.pod("job").is_none().then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_by_force_takes_its_task_with_it_at_once() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&arn);
    world.until_status("web", "/phase", json!("Running")).await;
    world.kubernetes.force_delete("web");
    world.until("StopTask", |world| (world.ecs.calls("StopTask") == [arn.as_str()]).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn no_other_programs_task_is_ever_stopped() {
    let world = World::without_provider();
    let ours_without_pod = world.ecs.somebody_elses(Some(&world.started_by()));
    world.ecs.somebody_elses(None);
    world.ecs.somebody_elses(Some("a-colleague"));
    world
        .ecs
        .somebody_elses(Some(&neargate_provider::translate::run::started_by("another-cluster", "fargate")));
    let mut world = world;
    world.start_provider();
    world.until_settled(3).await;
    assert_eq!(
        world.ecs.calls("StopTask"),
        Vec::<String>::new(),
        "without a pod's UID even {ours_without_pod} is not touched"
    );
}

#[tokio::test(start_paused = true)]
async fn an_annotation_that_names_another_programs_task_is_not_trusted() {
    let mut world = World::without_provider();
    let theirs = world.ecs.somebody_elses(Some("a-colleague"));
    let mut liar = pod("web", "Always");
    liar["metadata"]["annotations"] = json!({ annotations::TASK_ARN: theirs });
    world.kubernetes.create(liar, "uid-web");
    world.start_provider();
    let own = world.until_tasks("uid-web", 1).await;
    world
        .until("its own task on the pod", |world| {
            let pod = world.kubernetes.pod("web")?;
            (annotation(&pod, annotations::TASK_ARN) == Some(own.clone())).then_some(())
        })
        .await;
    world.kubernetes.ask_to_delete("web");
    world.until("StopTask", |world| (world.ecs.calls("StopTask") == [own.as_str()]).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_gone_leaves_every_status_unchanged() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&arn);
    world.until_status("web", "/phase", json!("Running")).await;
    let writes = world.kubernetes.status_writes("web");
    world.ecs.go_down();
    world.kubernetes.create(pod("job", "Never"), "uid-job");
    let asked = world.ecs.calls("DescribeTasks").len();
    world
        .until("the provider asks again", |world| {
            (world.ecs.calls("DescribeTasks").len() > asked + 2).then_some(())
        })
        .await;
    assert_eq!(world.kubernetes.status_writes("web"), writes);
    assert_eq!(world.kubernetes.status_writes("job"), 0);
    assert_eq!(world.kubernetes.events("job"), []);

    world.ecs.come_back();
    world.until_tasks("uid-job", 1).await;
    assert_eq!(world.ecs.tasks().len(), 2, "and web runs as before");
}

#[tokio::test(start_paused = true)]
async fn a_backoff_that_ends_while_the_endpoint_is_gone_changes_no_status() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.fail_to_start(&arn, "CannotPullContainerError: not found");
    world.until_status("web", "/containerStatuses/0/state/waiting/reason", json!("ImagePullBackOff")).await;
    world.ecs.go_down();
    let before = world.kubernetes.pod("web");
    world.until_settled(6).await;
    assert_eq!(world.kubernetes.pod("web"), before, "a minute later");
    world.ecs.come_back();
    world.until_tasks("uid-web", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_run_again_at_once_and_then_after_ten_seconds() {
    let mut world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let first = world.until_tasks("uid-web", 1).await;
    world.ecs.start(&first);
    world.until_status("web", "/phase", json!("Running")).await;
    world.ecs.exit(&first, 3);
    let second = world.until_tasks("uid-web", 2).await;
    let again = world.until_status("web", "/containerStatuses/0/restartCount", json!(1)).await;
    assert_eq!(again["status"]["phase"], "Running");
    assert_eq!(again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 3);
    world
        .until("the annotation", |world| {
            let pod = world.kubernetes.pod("web")?;
            (annotation(&pod, annotations::TASK_ARN)? == second).then_some(())
        })
        .await;

    world.ecs.start(&second);
    world
        .until_status("web", "/containerStatuses/0/state/running/startedAt", running_since(&world, &second))
        .await;
    world.ecs.exit(&second, 4);
    let waiting = world
        .until_status("web", "/containerStatuses/0/state/waiting/reason", json!("CrashLoopBackOff"))
        .await;
    assert_eq!(waiting["status"]["phase"], "Running");
    assert_eq!(
        waiting["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
        "back-off 10s restarting failed container=app pod=web_default(uid-web)"
    );
    assert_eq!(waiting["status"]["containerStatuses"][0]["restartCount"], 1);

    // A restarted provider waits as long, and no longer.
    let ended = world.clock.now();
    world.kill_provider().await;
    world.start_provider();
    world.until_tasks("uid-web", 3).await;
    let waited = world.clock.now().duration_since(ended).as_millis();
    assert!((9_000..11_000).contains(&waited), "{waited} ms");
    world.until_status("web", "/containerStatuses/0/restartCount", json!(2)).await;
    let backoffs =
        world.kubernetes.events("web").into_iter().filter(|(reason, _)| reason == "BackOff").count();
    assert_eq!(backoffs, 1, "reported once, even after a restart");
}

fn running_since(world: &World, arn: &str) -> Value {
    let task = world.ecs.tasks().into_iter().find(|task| task.task_arn() == Some(arn)).expect("a task");
    let started = task.started_at().expect("it runs").secs();
    json!(jiff::Timestamp::from_second(started).expect("a time").to_string())
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_not_there_backs_off_and_never_ran() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    world.ecs.fail_to_start(
        &arn,
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found",
    );
    let waiting =
        world.until_status("web", "/containerStatuses/0/state/waiting/reason", json!("ErrImagePull")).await;
    assert_eq!(waiting["status"]["phase"], "Pending", "nothing ever ran");
    assert_eq!(waiting["status"]["containerStatuses"][0]["lastState"], Value::Null);
    world.until_status("web", "/containerStatuses/0/state/waiting/reason", json!("ImagePullBackOff")).await;
    assert_eq!(world.ecs.tasks().len(), 1);
    world.until_tasks("uid-web", 2).await;
    let reasons: Vec<_> = world.kubernetes.events("web").into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["Failed", "Failed", "BackOff", "Failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ecs_calls_missing_is_run_again_or_failed_by_policy() {
    let world = World::new();
    for (name, policy, uid) in [("web", "Always", "uid-web"), ("job", "Never", "uid-job")] {
        world.kubernetes.create(pod(name, policy), uid);
        let arn = world.until_tasks(uid, 1).await;
        world.ecs.start(&arn);
        world.until_status(name, "/phase", json!("Running")).await;
        world.ecs.lose(&arn);
    }
    let lost = world.until_status("job", "/phase", json!("Failed")).await;
    assert_eq!(lost["status"]["reason"], "NotFound");
    assert_eq!(lost["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
    let again = world.until_status("web", "/containerStatuses/0/restartCount", json!(1)).await;
    assert_eq!(
        again["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"],
        "ContainerStatusUnknown"
    );
    world.until_tasks("uid-web", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_has_the_deletion_cost_of_its_node_unless_it_has_its_own() {
    let mut world = World::without_provider();
    world.deletion_cost = Some(-100);
    let mut dear = pod("dear", "Always");
    dear["metadata"]["annotations"] = json!({ annotations::POD_DELETION_COST: "7" });
    world.kubernetes.create(dear, "uid-dear");
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    world.start_provider();
    for (name, cost) in [("web", "-100"), ("dear", "7")] {
        let what = format!("{name} has its task");
        let has_task = |world: &World| {
            world.kubernetes.pod(name).filter(|pod| annotation(pod, annotations::TASK_ARN).is_some())
        };
        let annotated = world.until(&what, has_task).await;
        assert_eq!(annotation(&annotated, annotations::POD_DELETION_COST).as_deref(), Some(cost), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_providers_own_container_is_hidden_and_its_failure_is_a_start_that_failed() {
    let mut world = World::without_provider();
    world.init = Some(options::Init {
        image: "init:1".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        cluster_dns: Vec::new(),
    });
    world.start_provider();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let arn = world.until_tasks("uid-web", 1).await;
    let names = |world: &World| -> Vec<String> {
        let task = world.ecs.tasks().pop().expect("a task");
        task.containers().iter().filter_map(|container| container.name().map(str::to_owned)).collect()
    };
    assert_eq!(names(&world), ["neargate-init", "app"]);
    world.ecs.fail_first(&arn);
    let failed = world
        .until_status("web", "/containerStatuses/0/state/waiting/reason", json!("CreateContainerConfigError"))
        .await;
    let message = &failed["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    assert!(message.as_str().is_some_and(|message| message.contains("exited with 1")), "{message}");
    assert_eq!(failed["status"]["phase"], "Pending", "nothing of the pod ever ran");
    assert_eq!(failed["status"]["containerStatuses"][0]["lastState"], Value::Null);

    let again = world.until_tasks("uid-web", 2).await;
    world.ecs.start(&again);
    let running = world.until_status("web", "/phase", json!("Running")).await;
    assert_eq!(running["status"]["containerStatuses"].as_array().map(Vec::len), Some(1));
    world.until("the events", |world| (world.kubernetes.events("web").len() == 3).then_some(())).await;
    let reasons: Vec<_> = world.kubernetes.events("web").into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["MissingClusterDNS", "Failed", "Started"]);
}
