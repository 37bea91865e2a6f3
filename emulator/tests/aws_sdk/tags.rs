//! Tags of every kind of resource through the SDK.

use aws_sdk_ecs::types::{PropagateTags, Tag, TaskField};

use crate::support::{Emulator, container, refusal, register, run_task};

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

#[tokio::test]
async fn clusters_tasks_and_task_definitions_are_tagged_alike() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let definition = register(&ecs, "app", vec![container(&[])]).await;
    let ran = run_task(&ecs, &definition).send().await.unwrap();
    let task = ran.tasks()[0].task_arn().unwrap();
    let cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/default";
    for arn in [cluster, task, &definition] {
        let add = |tags: &[Tag]| ecs.tag_resource().resource_arn(arn).set_tags(Some(tags.to_vec()));
        add(&[tag("a", "1"), tag("b", "2")]).send().await.unwrap();
        add(&[tag("b", "3"), tag("c", "4")]).send().await.unwrap();
        ecs.untag_resource().resource_arn(arn).tag_keys("a").send().await.unwrap();
        let listed = ecs.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
        assert_eq!(listed.tags(), [tag("b", "3"), tag("c", "4")], "{arn}");

        let many: Vec<Tag> = (0..49).map(|n| tag(&format!("k{n}"), "")).collect();
        let (code, message) = refusal(add(&many).send().await);
        assert_eq!(
            (code.as_str(), message.as_str()),
            ("InvalidParameterException", "A resource can have up to 50 tags.")
        );
    }
    let described = ecs.describe_tasks().tasks(task).include(TaskField::Tags).send().await.unwrap();
    assert_eq!(described.tasks()[0].tags(), [tag("b", "3"), tag("c", "4")]);
    let described = ecs.describe_tasks().tasks(task).send().await.unwrap();
    assert!(described.tasks()[0].tags().is_empty(), "tags are shown if they are included");
}

#[tokio::test]
async fn a_task_has_its_own_tags_and_those_of_its_definition_where_they_are_propagated() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let definition = register(&ecs, "app", vec![container(&[])]).await;
    ecs.tag_resource()
        .resource_arn(&definition)
        .tags(tag("a", "1"))
        .tags(tag("b", "2"))
        .send()
        .await
        .unwrap();
    let run = || run_task(&ecs, &definition).tags(tag("b", "3"));

    assert_eq!(run().send().await.unwrap().tasks()[0].tags(), [tag("b", "3")]);
    let propagated = run().propagate_tags(PropagateTags::TaskDefinition).send().await.unwrap();
    assert_eq!(propagated.tasks()[0].tags(), [tag("b", "3"), tag("a", "1")]);
    let managed = run().enable_ecs_managed_tags(true).send().await.unwrap();
    assert_eq!(managed.tasks()[0].tags(), [tag("b", "3"), tag("aws:ecs:clusterName", "default")]);
}

#[tokio::test]
async fn resources_that_are_not_there_have_no_tags() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let task = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{}", "0".repeat(32));
    for (arn, code) in [
        ("arn:aws:ecs:us-east-1:000000000000:cluster/nope", "ClusterNotFoundException"),
        (task.as_str(), "InvalidParameterException"),
        ("arn:aws:ecs:us-east-1:000000000000:task-definition/nope:1", "InvalidParameterException"),
        ("arn:aws:ecs:us-east-1:000000000000:service/default/nope", "InvalidParameterException"),
        ("default", "InvalidParameterException"),
        ("arn:aws:s3:::bucket", "InvalidParameterException"),
    ] {
        assert_eq!(refusal(ecs.list_tags_for_resource().resource_arn(arn).send().await).0, code, "{arn}");
    }
}

#[tokio::test]
async fn of_many_tags_set_at_once_none_is_lost() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let definition = register(&ecs, "app", vec![container(&[])]).await;
    let ran = run_task(&ecs, &definition).enable_ecs_managed_tags(true).send().await.unwrap();
    let task = ran.tasks()[0].task_arn().unwrap();
    let cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/default";
    for (arn, beside) in [(cluster, 0), (task, 1), (&definition, 0)] {
        let sets =
            (0..20).map(|n| ecs.tag_resource().resource_arn(arn).tags(tag(&format!("k{n}"), "v")).send());
        for set in futures::future::join_all(sets).await {
            set.unwrap();
        }
        let listed = ecs.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
        assert_eq!(listed.tags().len(), 20 + beside, "{arn}");
    }
    let own = ecs.untag_resource().resource_arn(task).tag_keys("aws:ecs:clusterName").send().await;
    assert_eq!(
        refusal(own),
        (
            "InvalidParameterException".to_owned(),
            "Tag keys and values can not begin with 'aws:', which is reserved for AWS use.".to_owned()
        )
    );
}

#[tokio::test]
async fn a_deletion_beside_a_change_of_tags_is_not_undone() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    for round in 0..10 {
        let name = format!("c{round}");
        ecs.create_cluster().cluster_name(&name).send().await.unwrap();
        let arn = format!("arn:aws:ecs:us-east-1:000000000000:cluster/{name}");
        let definition = register(&ecs, &name, vec![container(&[])]).await;
        let of_cluster = || ecs.tag_resource().resource_arn(&arn).tags(tag("a", "1")).send();
        let of_definition = || ecs.tag_resource().resource_arn(&definition).tags(tag("a", "1")).send();
        // Either may fail because the cluster is gone.
        let (_, deleted, _, _, deregistered, _) = tokio::join!(
            of_cluster(),
            ecs.delete_cluster().cluster(&name).send(),
            of_cluster(),
            of_definition(),
            ecs.deregister_task_definition().task_definition(&definition).send(),
            of_definition(),
        );
        deleted.unwrap();
        deregistered.unwrap();
        let described = ecs.describe_clusters().clusters(&name).send().await.unwrap();
        assert_eq!(described.clusters()[0].status(), Some("INACTIVE"), "{round}");
        let described = ecs.describe_task_definition().task_definition(&definition).send().await.unwrap();
        let status = described.task_definition().unwrap().status();
        assert_eq!(status.map(|status| status.as_str()), Some("INACTIVE"), "{round}");
    }
}
