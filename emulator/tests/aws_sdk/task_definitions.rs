//! The life of a task definition through the SDK.

use aws_sdk_ecs::types::{
    Compatibility, ContainerDefinition, HealthCheck, NetworkMode, PortMapping, SortOrder, Tag,
    TaskDefinitionFamilyStatus, TaskDefinitionField, TaskDefinitionStatus,
};

use crate::support::{Emulator, container, reached, refusal, register, run_task};

#[tokio::test]
async fn a_definition_is_returned_in_its_normal_form() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let app = ContainerDefinition::builder()
        .name("app")
        .image("nginx")
        .port_mappings(PortMapping::builder().container_port(80).build())
        .health_check(HealthCheck::builder().command("CMD").command("true").build().unwrap())
        .build();
    let registered = ecs
        .register_task_definition()
        .family("app")
        .requires_compatibilities(Compatibility::Fargate)
        .network_mode(NetworkMode::Awsvpc)
        .cpu("1 vCPU")
        .memory("2GB")
        .container_definitions(app)
        .tags(Tag::builder().key("a").value("1").build())
        .send()
        .await
        .unwrap();
    let definition = registered.task_definition().unwrap();
    assert_eq!(
        definition.task_definition_arn(),
        Some("arn:aws:ecs:us-east-1:000000000000:task-definition/app:1")
    );
    assert_eq!((definition.family(), definition.revision()), (Some("app"), 1));
    assert_eq!(definition.status(), Some(&TaskDefinitionStatus::Active));
    assert_eq!((definition.cpu(), definition.memory()), (Some("1024"), Some("2048")));
    assert_eq!(definition.compatibilities(), [Compatibility::Ec2, Compatibility::Fargate]);
    assert!(definition.registered_at().is_some());
    assert_eq!(definition.registered_by(), Some("arn:aws:iam::000000000000:root"));
    let attributes: Vec<_> =
        definition.requires_attributes().iter().map(|attribute| attribute.name()).collect();
    assert!(attributes.contains(&"ecs.capability.task-eni"), "{attributes:?}");

    let container = &definition.container_definitions()[0];
    assert_eq!((container.cpu(), container.essential()), (0, Some(true)));
    let mapping = &container.port_mappings()[0];
    assert_eq!((mapping.container_port(), mapping.host_port()), (Some(80), Some(80)));
    let check = container.health_check().unwrap();
    assert_eq!((check.interval(), check.timeout(), check.retries()), (Some(30), Some(5), Some(3)));

    let described = ecs.describe_task_definition().task_definition("app:1").send().await.unwrap();
    assert_eq!(described.task_definition(), Some(definition));
    assert!(described.tags().is_empty(), "tags are shown if they are included");
    let described = ecs
        .describe_task_definition()
        .task_definition("app")
        .include(TaskDefinitionField::Tags)
        .send()
        .await
        .unwrap();
    assert_eq!(described.tags().len(), 1);
}

#[tokio::test]
async fn a_definition_is_found_by_family_by_revision_and_by_arn() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    for _ in 0..3 {
        register(&ecs, "app", vec![container(&[])]).await;
    }
    ecs.deregister_task_definition().task_definition("app:3").send().await.unwrap();
    for (name, revision) in [
        ("app", 2),
        ("app:1", 1),
        ("app:3", 3),
        ("arn:aws:ecs:us-east-1:000000000000:task-definition/app:2", 2),
        ("arn:aws:ecs:us-east-1:000000000000:task-definition/app", 2),
    ] {
        let described = ecs.describe_task_definition().task_definition(name).send().await.unwrap();
        assert_eq!(
            described.task_definition().map(|definition| definition.revision()),
            Some(revision),
            "{name}"
        );
    }
    for (name, message) in [
        ("nope", "Unable to describe task definition."),
        ("app:9", "Unable to describe task definition."),
        ("app:x", "Invalid revision number. Number: x"),
        ("", "Task definition can not be blank."),
    ] {
        let refused = refusal(ecs.describe_task_definition().task_definition(name).send().await);
        assert_eq!(refused, ("ClientException".to_owned(), message.to_owned()), "{name}");
    }
}

#[tokio::test]
async fn a_revision_is_deregistered_then_deleted_and_its_number_never_comes_again() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let first = register(&ecs, "app", vec![container(&[])]).await;
    register(&ecs, "app", vec![container(&[])]).await;
    assert_eq!(
        refusal(ecs.deregister_task_definition().task_definition("app").send().await),
        ("ClientException".to_owned(), "Revision is missing.".to_owned())
    );

    let deregistered = ecs.deregister_task_definition().task_definition("app:2").send().await.unwrap();
    let definition = deregistered.task_definition().unwrap();
    assert_eq!(definition.status(), Some(&TaskDefinitionStatus::Inactive));
    assert!(definition.deregistered_at().is_some());
    let refused = refusal(run_task(&ecs, "app:2").send().await);
    assert_eq!(refused, ("ClientException".to_owned(), "TaskDefinition is inactive".to_owned()));

    let deleted = ecs
        .delete_task_definitions()
        .task_definitions(&first)
        .task_definitions("app:2")
        .task_definitions("app:9")
        .task_definitions("app")
        .send()
        .await
        .unwrap();
    let [definition] = deleted.task_definitions() else { panic!("{deleted:?}") };
    assert_eq!(definition.revision(), 2);
    assert_eq!(definition.status(), Some(&TaskDefinitionStatus::DeleteInProgress));
    let failures: Vec<_> = deleted.failures().iter().map(|failure| failure.arn().unwrap()).collect();
    assert_eq!(failures, [first.as_str(), "app:9", "app"]);

    let third = register(&ecs, "app", vec![container(&[])]).await;
    assert_eq!(third.rsplit(':').next(), Some("3"));
    let eleven = (0..11).map(|n| format!("app:{n}")).collect();
    let refused = refusal(ecs.delete_task_definitions().set_task_definitions(Some(eleven)).send().await);
    assert_eq!(refused.1, "TaskDefinitions cannot have more than 10 elements.");
}

#[tokio::test]
async fn definitions_and_families_are_listed_by_filter_order_and_page() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    for family in ["b", "a", "a", "ab"] {
        register(&ecs, family, vec![container(&[])]).await;
    }
    ecs.deregister_task_definition().task_definition("b:1").send().await.unwrap();
    let names = |arns: &[String]| -> Vec<String> {
        arns.iter().filter_map(|arn| arn.rsplit('/').next().map(str::to_owned)).collect()
    };
    let list = || ecs.list_task_definitions();
    let listed = list().send().await.unwrap();
    assert_eq!(names(listed.task_definition_arns()), ["a:1", "a:2", "ab:1"]);
    let listed = list().sort(SortOrder::Desc).send().await.unwrap();
    assert_eq!(names(listed.task_definition_arns()), ["ab:1", "a:2", "a:1"]);
    let listed = list().status(TaskDefinitionStatus::Inactive).send().await.unwrap();
    assert_eq!(names(listed.task_definition_arns()), ["b:1"]);
    let listed = list().family_prefix("a").send().await.unwrap();
    assert_eq!(names(listed.task_definition_arns()), ["a:1", "a:2"], "familyPrefix is a family's whole name");
    let pages = list().into_paginator().page_size(1).items().send().collect::<Result<Vec<_>, _>>().await;
    assert_eq!(names(&pages.unwrap()), ["a:1", "a:2", "ab:1"]);

    let families = || ecs.list_task_definition_families();
    assert_eq!(families().send().await.unwrap().families(), ["a", "ab", "b"]);
    let listed =
        families().status(TaskDefinitionFamilyStatus::Active).family_prefix("a").send().await.unwrap();
    assert_eq!(listed.families(), ["a", "ab"]);
    let listed = families().status(TaskDefinitionFamilyStatus::Inactive).send().await.unwrap();
    assert_eq!(listed.families(), ["b"]);
}

#[tokio::test]
async fn a_definition_that_does_not_fit_fargate_is_registered_for_ec2_and_not_run() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let app = ContainerDefinition::builder().name("app").image("app").memory(64).privileged(true).build();
    let registered =
        ecs.register_task_definition().family("ec2").container_definitions(app).send().await.unwrap();
    let definition = registered.task_definition().unwrap();
    assert_eq!(definition.compatibilities(), [Compatibility::Ec2, Compatibility::External]);
    assert_eq!(
        refusal(run_task(&ecs, "ec2").send().await),
        (
            "InvalidParameterException".to_owned(),
            "Task definition does not support launch_type FARGATE.".to_owned()
        )
    );
}

#[tokio::test]
async fn a_definition_that_tasks_use_is_delete_in_progress_until_they_end() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    let ran = run_task(&ecs, "app:1").send().await.unwrap();
    let task = ran.tasks()[0].task_arn().unwrap();
    ecs.deregister_task_definition().task_definition("app:1").send().await.unwrap();
    ecs.delete_task_definitions().task_definitions("app:1").send().await.unwrap();

    let status = TaskDefinitionStatus::DeleteInProgress;
    let described = ecs.describe_task_definition().task_definition("app:1").send().await.unwrap();
    let definition = described.task_definition().unwrap();
    assert_eq!(definition.status(), Some(&status));
    assert!(definition.delete_requested_at().is_some());
    let list = || ecs.list_task_definitions().status(status.clone()).send();
    assert_eq!(list().await.unwrap().task_definition_arns().len(), 1);
    let refused = refusal(run_task(&ecs, "app:1").send().await);
    assert_eq!(refused, ("ClientException".to_owned(), "TaskDefinition is inactive".to_owned()));

    ecs.stop_task().task(task).send().await.unwrap();
    reached(&ecs, task, "STOPPED").await;
    assert!(list().await.unwrap().task_definition_arns().is_empty());
    let gone = refusal(ecs.describe_task_definition().task_definition("app:1").send().await);
    assert_eq!(gone.1, "Unable to describe task definition.");
}
