//! The life of a task through the SDK.

use aws_sdk_ecs::client::Waiters as _;
use aws_sdk_ecs::error::ProvideErrorMetadata as _;
use aws_sdk_ecs::types::{
    ContainerDefinition, ContainerOverride, DesiredStatus, EphemeralStorage, HealthCheck, HealthStatus,
    KeyValuePair, LaunchType, TaskOverride, TaskStopCode,
};

use crate::support::{Emulator, container, describe, reached, refusal, register, run_task};

#[tokio::test]
async fn run_task_returns_a_task_that_is_being_provisioned() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let definition = register(&ecs, "app", vec![container(&[])]).await;
    let ran = run_task(&ecs, &definition).started_by("me").send().await.unwrap();
    let [task] = ran.tasks() else { panic!("{ran:?}") };
    let arn = task.task_arn().unwrap();
    let id = arn.strip_prefix("arn:aws:ecs:us-east-1:000000000000:task/default/").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!((task.last_status(), task.desired_status()), (Some("PROVISIONING"), Some("RUNNING")));
    assert_eq!(task.version(), 1);
    assert_eq!((task.cpu(), task.memory()), (Some("256"), Some("512")));
    assert_eq!(task.launch_type(), Some(&LaunchType::Fargate));
    assert_eq!((task.platform_version(), task.platform_family()), (Some("1.4.0"), Some("Linux")));
    assert_eq!((task.group(), task.started_by()), (Some("family:app"), Some("me")));
    assert_eq!(task.task_definition_arn(), Some(definition.as_str()));
    assert_eq!(task.availability_zone().map(|zone| zone.starts_with("us-east-1")), Some(true));
    assert_eq!(task.health_status().map(|health| health.as_str()), Some("UNKNOWN"));
    assert_eq!(task.fargate_ephemeral_storage().map(|storage| storage.size_in_gib()), Some(20));
    assert!(task.created_at().is_some() && task.started_at().is_none() && task.connectivity().is_none());
    let attribute = &task.attributes()[0];
    assert_eq!((attribute.name(), attribute.value()), ("ecs.cpu-architecture", Some("x86_64")));
    assert_eq!(task.overrides().unwrap().container_overrides()[0].name(), Some("app"));

    let [attachment] = task.attachments() else { panic!("{task:?}") };
    assert_eq!(
        (attachment.r#type(), attachment.status()),
        (Some("ElasticNetworkInterface"), Some("PRECREATED"))
    );
    let subnet = KeyValuePair::builder().name("subnetId").value("subnet-0a1b2c3d").build();
    assert_eq!(attachment.details(), [subnet], "only its subnet");

    let [app] = task.containers() else { panic!("{task:?}") };
    assert_eq!(
        (app.name(), app.image(), app.last_status()),
        (Some("app"), Some("app:latest"), Some("PENDING"))
    );
    assert_eq!((app.cpu(), app.memory(), app.task_arn()), (Some("0"), None, Some(arn)));
    let prefix = format!("arn:aws:ecs:us-east-1:000000000000:container/default/{id}/");
    assert!(app.container_arn().unwrap().starts_with(&prefix));
    assert!(app.network_interfaces().is_empty() && app.runtime_id().is_none());
}

#[tokio::test]
async fn a_running_task_has_its_address_digest_and_runtime_id() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    let ran = run_task(&ecs, "app").send().await.unwrap();
    let arn = ran.tasks()[0].task_arn().unwrap();
    ecs.wait_until_tasks_running().tasks(arn).wait(std::time::Duration::from_secs(20)).await.unwrap();
    let task = describe(&ecs, arn).await;
    assert_eq!(task.version(), 3, "PROVISIONING, PENDING, RUNNING");
    assert_eq!(task.connectivity().map(|connectivity| connectivity.as_str()), Some("CONNECTED"));
    assert!(
        task.started_at().is_some() && task.pull_started_at().is_some() && task.pull_stopped_at().is_some()
    );

    let attachment = &task.attachments()[0];
    assert_eq!(attachment.status(), Some("ATTACHED"));
    let names: Vec<_> = attachment.details().iter().filter_map(|detail| detail.name()).collect();
    assert_eq!(
        names,
        ["subnetId", "networkInterfaceId", "macAddress", "privateDnsName", "privateIPv4Address"]
    );
    let address = attachment.details()[4].value().unwrap();
    let app = &task.containers()[0];
    assert_eq!(app.last_status(), Some("RUNNING"));
    assert_eq!(app.network_interfaces()[0].private_ipv4_address(), Some(address));
    assert_eq!(app.network_interfaces()[0].attachment_id(), attachment.id());
    assert!(app.image_digest().is_some_and(|digest| digest.starts_with("sha256:")));
    let id = arn.rsplit('/').next().unwrap();
    assert!(app.runtime_id().is_some_and(|runtime_id| runtime_id.starts_with(&format!("{id}-"))), "{app:?}");

    let short = describe(&ecs, id).await;
    assert_eq!(short.task_arn(), Some(arn), "a task is found by its id too");
}

#[tokio::test]
async fn a_task_that_exits_ends_at_version_5_with_its_exit_code() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[("SIMULATED_EXIT_CODE", "3")])]).await;
    let ran = run_task(&ecs, "app").send().await.unwrap();
    let task = reached(&ecs, ran.tasks()[0].task_arn().unwrap(), "STOPPED").await;
    assert_eq!(task.version(), 5);
    assert_eq!(task.desired_status(), Some("STOPPED"));
    assert_eq!(task.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
    assert_eq!(task.stopped_reason(), Some("Essential container in task exited"));
    assert_eq!(task.containers()[0].exit_code(), Some(3));
    assert!(
        task.stopped_at().is_some() && task.execution_stopped_at().is_some() && task.stopping_at().is_some()
    );
    assert_eq!(task.attachments()[0].status(), Some("DELETED"));
}

#[tokio::test]
async fn a_stopped_task_shows_who_stopped_it_and_why() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    for (reason, expected) in [(None, "Task stopped by user"), (Some("enough"), "enough")] {
        let ran = run_task(&ecs, "app").send().await.unwrap();
        let arn = ran.tasks()[0].task_arn().unwrap();
        reached(&ecs, arn, "RUNNING").await;
        let reply = ecs.stop_task().task(arn).set_reason(reason.map(str::to_owned)).send().await.unwrap();
        let reply = reply.task().unwrap();
        assert_eq!((reply.desired_status(), reply.last_status()), (Some("STOPPED"), Some("RUNNING")));
        assert_eq!(
            (reply.stop_code(), reply.stopped_reason()),
            (Some(&TaskStopCode::UserInitiated), Some(expected))
        );
        assert!(reply.stopping_at().is_some());

        let task = reached(&ecs, arn, "STOPPED").await;
        assert_eq!(
            (task.stop_code(), task.stopped_reason()),
            (Some(&TaskStopCode::UserInitiated), Some(expected))
        );
        assert_eq!(task.containers()[0].exit_code(), Some(143));
        let again = ecs.stop_task().task(arn).reason("again").send().await.unwrap();
        assert_eq!(again.task().unwrap().stopped_reason(), Some(expected), "a stop is done once");
    }
}

#[tokio::test]
async fn a_client_token_runs_its_request_once() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    let request = || run_task(&ecs, "app").client_token("token").count(2);
    let arns = |ran: &aws_sdk_ecs::operation::run_task::RunTaskOutput| -> Vec<String> {
        ran.tasks().iter().filter_map(|task| task.task_arn().map(str::to_owned)).collect()
    };
    let first = arns(&request().send().await.unwrap());
    assert_eq!(arns(&request().send().await.unwrap()), first);

    let conflict = request().count(1).send().await.unwrap_err();
    let conflict = conflict.as_service_error().unwrap();
    assert_eq!(conflict.code(), Some("ConflictException"));
    let aws_sdk_ecs::operation::run_task::RunTaskError::ConflictException(conflict) = conflict else {
        panic!("{conflict:?}")
    };
    assert_eq!(conflict.resource_ids(), first);

    ecs.create_cluster().cluster_name("other").send().await.unwrap();
    let elsewhere = arns(&request().cluster("other").send().await.unwrap());
    assert_ne!(elsewhere, first, "a token is unique within its cluster");
    assert_eq!(ecs.list_tasks().send().await.unwrap().task_arns(), first);

    ecs.deregister_task_definition().task_definition("app:1").send().await.unwrap();
    assert_eq!(
        arns(&request().send().await.unwrap()),
        first,
        "what it returned does not depend on what exists"
    );
}

#[tokio::test]
async fn overrides_are_run_and_shown() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[("SIMULATED_EXIT_CODE", "1")])]).await;
    let variable = KeyValuePair::builder().name("SIMULATED_EXIT_CODE").value("7").build();
    let app =
        ContainerOverride::builder().name("app").command("once").environment(variable).memory(1024).build();
    let overrides = TaskOverride::builder()
        .cpu("1 vCPU")
        .memory("2 GB")
        .ephemeral_storage(EphemeralStorage::builder().size_in_gib(30).build())
        .container_overrides(app.clone())
        .build();
    let ran = run_task(&ecs, "app").overrides(overrides).send().await.unwrap();
    let task = reached(&ecs, ran.tasks()[0].task_arn().unwrap(), "STOPPED").await;
    assert_eq!(task.containers()[0].exit_code(), Some(7));
    assert_eq!((task.cpu(), task.memory()), (Some("1024"), Some("2048")));
    assert_eq!(task.ephemeral_storage().map(|storage| storage.size_in_gib()), Some(30));
    assert_eq!(task.containers()[0].memory(), Some("1024"));
    assert_eq!(task.overrides().unwrap().container_overrides(), [app]);
}

#[tokio::test]
async fn tasks_are_listed_by_filter_in_order_and_by_page() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "a", vec![container(&[])]).await;
    register(&ecs, "b", vec![container(&[("SIMULATED_EXIT_CODE", "0")])]).await;
    let mut running = Vec::new();
    for started_by in ["me", "you", "me"] {
        let ran = run_task(&ecs, "a").started_by(started_by).send().await.unwrap();
        running.push(ran.tasks()[0].task_arn().unwrap().to_owned());
    }
    let ran = run_task(&ecs, "b").started_by("me").send().await.unwrap();
    let stopped = ran.tasks()[0].task_arn().unwrap().to_owned();
    reached(&ecs, &stopped, "STOPPED").await;

    let list = || ecs.list_tasks();
    let (me, you) = (vec![running[0].clone(), running[2].clone()], vec![running[1].clone()]);
    for (request, expected) in [
        (list(), running.clone()),
        (list().family("a"), running.clone()),
        (list().family("b"), Vec::new()),
        (list().launch_type(LaunchType::Fargate), running.clone()),
        (list().launch_type(LaunchType::Ec2), Vec::new()),
        (list().started_by("me"), me),
        (list().started_by("you").desired_status(DesiredStatus::Running), you),
        (list().started_by("me").desired_status(DesiredStatus::Stopped), vec![stopped.clone()]),
        (list().desired_status(DesiredStatus::Stopped), vec![stopped]),
        (list().desired_status(DesiredStatus::Pending), Vec::new()),
        (list().container_instance("i"), Vec::new()),
    ] {
        let listed = request.clone().send().await.unwrap();
        assert_eq!(listed.task_arns(), expected, "{request:?}");
    }
    let paged = list().into_paginator().page_size(2).items().send().collect::<Result<Vec<_>, _>>().await;
    assert_eq!(paged.unwrap(), running);
}

#[tokio::test]
async fn tasks_of_other_clusters_and_regions_are_not_there() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    ecs.create_cluster().cluster_name("other").send().await.unwrap();
    let ran = run_task(&ecs, "app").cluster("other").send().await.unwrap();
    let arn = ran.tasks()[0].task_arn().unwrap();
    let missing = ecs.describe_tasks().tasks(arn).send().await.unwrap();
    assert_eq!(missing.failures()[0].reason(), Some("MISSING"));
    assert!(ecs.list_tasks().send().await.unwrap().task_arns().is_empty());
    assert_eq!(refusal(ecs.stop_task().task(arn).send().await).1, "The referenced task was not found.");
    let elsewhere = refusal(emulator.ecs_in("eu-west-1").describe_tasks().tasks(arn).send().await);
    assert_eq!(elsewhere.1, "Identifier is for us-east-1. Your region is eu-west-1.");
}

#[tokio::test]
async fn an_image_that_is_not_there_fails_the_start_and_a_waiter_sees_it() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let app = ContainerDefinition::builder().name("app").image("missing:1").build();
    register(&ecs, "app", vec![app]).await;
    let ran = run_task(&ecs, "app").send().await.unwrap();
    let arn = ran.tasks()[0].task_arn().unwrap();
    let waited = ecs.wait_until_tasks_running().tasks(arn).wait(std::time::Duration::from_secs(20)).await;
    assert!(waited.is_err());
    let task = reached(&ecs, arn, "STOPPED").await;
    assert_eq!(task.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
    assert!(
        task.stopped_reason().is_some_and(|reason| reason.starts_with("CannotPullContainerError: ")),
        "{task:?}"
    );
    assert_eq!(task.containers()[0].exit_code(), None);
}

#[tokio::test]
async fn the_health_of_a_task_is_that_of_its_essential_containers() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let check = HealthCheck::builder().command("CMD").command("true").build().unwrap();
    let environment = KeyValuePair::builder().name("SIMULATED_HEALTHY").value("true").build();
    let app = ContainerDefinition::builder()
        .name("app")
        .image("app")
        .health_check(check)
        .environment(environment)
        .build();
    register(&ecs, "app", vec![app]).await;
    let ran = run_task(&ecs, "app").send().await.unwrap();
    let arn = ran.tasks()[0].task_arn().unwrap();
    let clock = neargate::clock::Clock::system();
    for _ in 0..2_000 {
        let task = describe(&ecs, arn).await;
        if task.health_status() == Some(&HealthStatus::Healthy) {
            assert_eq!(task.containers()[0].health_status(), Some(&HealthStatus::Healthy));
            return;
        }
        clock.sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it did not become healthy: {:?}", describe(&ecs, arn).await);
}
