//! Clusters through the SDK.

use aws_sdk_ecs::types::{CapacityProviderStrategyItem, ClusterField, Tag};

use crate::support::{Emulator, container, reached, refusal, register, run_task};

#[tokio::test]
async fn the_default_cluster_exists_in_every_region() {
    let emulator = Emulator::start().await;
    for region in ["us-east-1", "eu-west-1"] {
        let described = emulator.ecs_in(region).describe_clusters().send().await.unwrap();
        let [cluster] = described.clusters() else { panic!("{described:?}") };
        let arn = format!("arn:aws:ecs:{region}:000000000000:cluster/default");
        assert_eq!(cluster.cluster_arn(), Some(arn.as_str()));
        assert_eq!(cluster.status(), Some("ACTIVE"));
    }
}

#[tokio::test]
async fn creating_a_cluster_twice_returns_the_first() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let tag = Tag::builder().key("team").value("a").build();
    let first = ecs.create_cluster().cluster_name("mine").tags(tag.clone()).send().await.unwrap();
    let second = ecs.create_cluster().cluster_name("mine").send().await.unwrap();
    assert_eq!(first.cluster(), second.cluster());
    assert_eq!(second.cluster().unwrap().tags(), [tag]);
    assert_eq!(ecs.list_clusters().send().await.unwrap().cluster_arns().len(), 2);
}

#[tokio::test]
async fn describe_shows_tags_settings_and_statistics_only_where_they_are_included() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let tag = Tag::builder().key("team").value("a").build();
    ecs.create_cluster().cluster_name("mine").tags(tag).send().await.unwrap();
    let missing = "arn:aws:ecs:us-east-1:000000000000:cluster/nope";

    let bare = ecs.describe_clusters().clusters("mine").clusters("nope").send().await.unwrap();
    let cluster = &bare.clusters()[0];
    assert!(cluster.tags().is_empty() && cluster.settings().is_empty() && cluster.statistics().is_empty());
    let [failure] = bare.failures() else { panic!("{bare:?}") };
    assert_eq!((failure.arn(), failure.reason()), (Some(missing), Some("MISSING")));

    let full = ecs
        .describe_clusters()
        .clusters("mine")
        .include(ClusterField::Tags)
        .include(ClusterField::Settings)
        .include(ClusterField::Statistics)
        .send()
        .await
        .unwrap();
    let cluster = &full.clusters()[0];
    assert_eq!((cluster.tags().len(), cluster.settings().len(), cluster.statistics().len()), (1, 1, 12));
}

#[tokio::test]
async fn clusters_are_listed_by_page_and_a_token_of_another_question_is_invalid() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    for name in ["a", "b", "c"] {
        ecs.create_cluster().cluster_name(name).send().await.unwrap();
    }
    let pages = ecs.list_clusters().into_paginator().page_size(2).send().collect::<Result<Vec<_>, _>>().await;
    let pages = pages.unwrap();
    let names: Vec<Vec<&str>> = pages
        .iter()
        .map(|page| page.cluster_arns().iter().filter_map(|arn| arn.rsplit('/').next()).collect())
        .collect();
    assert_eq!(names, [["a", "b"], ["c", "default"]]);

    let token = pages[0].next_token().unwrap();
    let invalid = ("InvalidParameterException".to_owned(), "Invalid token.".to_owned());
    assert_eq!(refusal(ecs.list_tasks().next_token(token).send().await), invalid);
    assert_eq!(refusal(ecs.list_clusters().next_token("made up").send().await), invalid);
    assert_eq!(
        refusal(ecs.list_clusters().max_results(101).send().await).1,
        "maxResults should be between 1 and 100"
    );
}

#[tokio::test]
async fn a_cluster_counts_its_tasks_and_is_not_deleted_with_them() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    ecs.create_cluster().cluster_name("busy").send().await.unwrap();
    let definition = register(&ecs, "app", vec![container(&[])]).await;
    let ran = run_task(&ecs, &definition).cluster("busy").count(2).send().await.unwrap();
    for task in ran.tasks() {
        let arn = task.task_arn().unwrap();
        let clock = neargate::clock::Clock::system();
        loop {
            let described = ecs.describe_tasks().cluster("busy").tasks(arn).send().await.unwrap();
            if described.tasks()[0].last_status() == Some("RUNNING") {
                break;
            }
            clock.sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    let described = ecs.describe_clusters().clusters("busy").send().await.unwrap();
    let cluster = &described.clusters()[0];
    assert_eq!((cluster.running_tasks_count(), cluster.pending_tasks_count()), (2, 0));
    let (code, message) = refusal(ecs.delete_cluster().cluster("busy").send().await);
    assert_eq!(code, "ClusterContainsTasksException");
    assert_eq!(message, "The Cluster cannot be deleted while Tasks are active.");
}

#[tokio::test]
async fn a_deleted_cluster_is_inactive_takes_no_tasks_and_can_be_made_again() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let definition = register(&ecs, "app", vec![container(&[])]).await;
    ecs.create_cluster().cluster_name("gone").send().await.unwrap();
    let deleted = ecs.delete_cluster().cluster("gone").send().await.unwrap();
    assert_eq!(deleted.cluster().unwrap().status(), Some("INACTIVE"));
    let described = ecs.describe_clusters().clusters("gone").send().await.unwrap();
    assert_eq!(described.clusters()[0].status(), Some("INACTIVE"));
    assert_eq!(ecs.list_clusters().send().await.unwrap().cluster_arns().len(), 1);
    let refused = refusal(run_task(&ecs, &definition).cluster("gone").send().await);
    assert_eq!(refused, ("ClusterNotFoundException".to_owned(), "Cluster not found.".to_owned()));

    let again = ecs.create_cluster().cluster_name("gone").send().await.unwrap();
    assert_eq!(again.cluster().unwrap().status(), Some("ACTIVE"));
}

#[tokio::test]
async fn a_default_strategy_chooses_the_provider_of_a_task() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let spot =
        CapacityProviderStrategyItem::builder().capacity_provider("FARGATE_SPOT").weight(1).build().unwrap();
    ecs.create_cluster()
        .cluster_name("spot")
        .capacity_providers("FARGATE_SPOT")
        .default_capacity_provider_strategy(spot.clone())
        .send()
        .await
        .unwrap();
    let definition = register(&ecs, "app", vec![container(&[("SIMULATED_EXIT_CODE", "0")])]).await;
    let request = run_task(&ecs, &definition).set_launch_type(None);
    let ran = request.clone().cluster("spot").send().await.unwrap();
    assert_eq!(ran.tasks()[0].capacity_provider_name(), Some("FARGATE_SPOT"));

    let ran = request.clone().capacity_provider_strategy(spot).send().await.unwrap();
    assert_eq!(ran.tasks()[0].capacity_provider_name(), Some("FARGATE_SPOT"), "default has both providers");
    reached(&ecs, ran.tasks()[0].task_arn().unwrap(), "STOPPED").await;
}

#[tokio::test]
async fn what_no_cluster_could_be_is_refused() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let strategy =
        |name: &str| CapacityProviderStrategyItem::builder().capacity_provider(name).build().unwrap();
    for (request, message) in [
        (ecs.create_cluster().cluster_name("a b"), "Invalid cluster name."),
        (ecs.create_cluster().cluster_name("x".repeat(256)), "Invalid cluster name."),
        (
            ecs.create_cluster().capacity_providers("mine"),
            "The specified capacity provider 'mine' was not found.",
        ),
        (
            ecs.create_cluster().default_capacity_provider_strategy(strategy("FARGATE")),
            "The specified capacity provider strategy cannot contain",
        ),
    ] {
        let (code, reported) = refusal(request.send().await);
        assert_eq!(code, "InvalidParameterException");
        assert!(reported.starts_with(message), "{reported}");
    }
    assert_eq!(refusal(ecs.delete_cluster().cluster("nope").send().await).0, "ClusterNotFoundException");
    assert_eq!(
        refusal(
            ecs.describe_clusters().clusters("arn:aws:ecs:eu-west-1:000000000000:cluster/x").send().await
        )
        .0,
        "InvalidParameterException"
    );
}
