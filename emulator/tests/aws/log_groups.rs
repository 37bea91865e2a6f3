use std::collections::HashMap;

use aws_sdk_cloudwatchlogs::types::LogGroupClass;

use crate::world::{NOW, World, refusal};

const MISSING: &str = "ResourceNotFoundException: The specified log group does not exist.";

#[tokio::test]
async fn a_log_group_is_made_once_described_and_gone_after_delete() {
    let world = World::new().await;
    let create = || world.logs.create_log_group().log_group_name("/ecs/web").tags("team", "blue");
    create().kms_key_id("arn:aws:kms:eu-west-1:000000000000:key/k").send().await.unwrap();
    assert_eq!(
        refusal(create().send().await),
        "ResourceAlreadyExistsException: The specified log group already exists"
    );
    let described = world.logs.describe_log_groups().send().await.unwrap();
    let [group] = described.log_groups() else { panic!("{described:?}") };
    let arn = "arn:aws:logs:eu-west-1:000000000000:log-group:/ecs/web";
    assert_eq!(group.log_group_name(), Some("/ecs/web"));
    assert_eq!(group.arn(), Some(format!("{arn}:*").as_str()));
    assert_eq!(group.log_group_arn(), Some(arn));
    assert_eq!(group.creation_time(), Some(NOW));
    assert_eq!(group.stored_bytes(), Some(0));
    assert_eq!(group.metric_filter_count(), Some(0));
    assert_eq!(group.retention_in_days(), None);
    assert_eq!(group.log_group_class(), Some(&LogGroupClass::Standard));
    assert_eq!(group.kms_key_id(), Some("arn:aws:kms:eu-west-1:000000000000:key/k"));

    let elsewhere = world.logs_of("us-west-2");
    assert!(elsewhere.describe_log_groups().send().await.unwrap().log_groups().is_empty());
    assert_eq!(refusal(elsewhere.delete_log_group().log_group_name("/ecs/web").send().await), MISSING);

    world.logs.delete_log_group().log_group_name("/ecs/web").send().await.unwrap();
    assert!(world.logs.describe_log_groups().send().await.unwrap().log_groups().is_empty());
    assert_eq!(refusal(world.logs.delete_log_group().log_group_name("/ecs/web").send().await), MISSING);
    create().send().await.unwrap();
}

#[tokio::test]
async fn names_outside_the_rules_are_refused() {
    let world = World::new().await;
    let create = |name: String| world.logs.create_log_group().log_group_name(name).send();
    assert_eq!(
        refusal(create("aws/lambda".into()).await),
        "InvalidParameterException: Log groups starting with AWS/ are reserved for AWS."
    );
    for (name, constraint) in [
        (String::new(), "Member must have length greater than or equal to 1"),
        ("x".repeat(513), "Member must have length less than or equal to 512"),
        ("a b".into(), r"Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+"),
    ] {
        let refused = refusal(create(name).await);
        assert!(refused.starts_with("InvalidParameterException: "), "{refused}");
        assert!(refused.contains(constraint), "{refused}");
    }
    create("x".repeat(512)).await.unwrap();
}

#[tokio::test]
async fn log_groups_page_by_name_and_are_found_by_prefix_pattern_and_arn() {
    let world = World::new().await;
    for name in ["b/1", "a/2", "a/1", "B", "a/10"] {
        world.logs.create_log_group().log_group_name(name).send().await.unwrap();
    }
    let mut pages = world.logs.describe_log_groups().into_paginator().page_size(2).send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.log_groups().len() <= 2);
        names.extend(page.log_groups.unwrap().into_iter().filter_map(|group| group.log_group_name));
    }
    assert_eq!(names, ["B", "a/1", "a/10", "a/2", "b/1"]);

    let names = |groups: &[aws_sdk_cloudwatchlogs::types::LogGroup]| {
        groups.iter().map(|group| group.log_group_name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let found = world.logs.describe_log_groups().log_group_name_prefix("a/1").send().await.unwrap();
    assert_eq!(names(found.log_groups()), ["a/1", "a/10"]);
    assert_eq!(found.next_token(), None);
    let found = world.logs.describe_log_groups().log_group_name_pattern("/1").send().await.unwrap();
    assert_eq!(names(found.log_groups()), ["a/1", "a/10", "b/1"]);
    assert_eq!(found.log_groups()[0].stored_bytes(), None);
    let found = world
        .logs
        .describe_log_groups()
        .log_group_identifiers("arn:aws:logs:eu-west-1:000000000000:log-group:a/2")
        .log_group_identifiers("B")
        .send()
        .await
        .unwrap();
    assert_eq!(names(found.log_groups()), ["a/2", "B"]);
    let both = world.logs.describe_log_groups().log_group_name_prefix("a").log_group_name_pattern("a");
    assert_eq!(
        refusal(both.send().await),
        "InvalidParameterException: LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
    );
}

#[tokio::test]
async fn a_protected_group_is_not_deleted_until_it_is_no_longer() {
    let world = World::new().await;
    let create = world.logs.create_log_group().log_group_name("kept").deletion_protection_enabled(true);
    create.send().await.unwrap();
    let delete = || world.logs.delete_log_group().log_group_name("kept").send();
    let refused = refusal(delete().await);
    assert!(refused.starts_with("ValidationException: "), "{refused}");
    let unprotect = world.logs.put_log_group_deletion_protection().log_group_identifier("kept");
    unprotect.deletion_protection_enabled(false).send().await.unwrap();
    delete().await.unwrap();
}

#[tokio::test]
async fn of_a_deletion_and_a_protection_at_once_one_is_refused() {
    let world = World::new().await;
    for round in 0..20 {
        let name = format!("g{round}");
        world.logs.create_log_group().log_group_name(&name).send().await.unwrap();
        let protect = world.logs.put_log_group_deletion_protection().log_group_identifier(&name);
        let (protected, deleted) = tokio::join!(
            protect.deletion_protection_enabled(true).send(),
            world.logs.delete_log_group().log_group_name(&name).send(),
        );
        match (protected, deleted) {
            (Ok(_), refused @ Err(_)) => {
                let refused = refusal(refused);
                assert!(refused.starts_with("ValidationException: "), "{refused}");
            }
            (refused @ Err(_), Ok(_)) => assert_eq!(refusal(refused), MISSING),
            both => panic!("{round}: {both:?}"),
        }
    }
}

#[tokio::test]
async fn a_group_that_is_not_there_has_no_retention_and_no_protection() {
    let world = World::with_stream().await;
    for name in ["groups", "grou"] {
        let put = world.logs.put_retention_policy().log_group_name(name).retention_in_days(7);
        assert_eq!(refusal(put.send().await), MISSING);
        let delete = world.logs.delete_retention_policy().log_group_name(name);
        assert_eq!(refusal(delete.send().await), MISSING);
        let protect = world.logs.put_log_group_deletion_protection().log_group_identifier(name);
        assert_eq!(refusal(protect.deletion_protection_enabled(true).send().await), MISSING);
    }
    let elsewhere = world.logs_of("us-west-2").delete_retention_policy().log_group_name("group");
    assert_eq!(refusal(elsewhere.send().await), MISSING);
}

#[tokio::test]
async fn retention_is_one_of_awss_numbers_of_days() {
    let world = World::with_stream().await;
    let put =
        |days: i32| world.logs.put_retention_policy().log_group_name("group").retention_in_days(days).send();
    let shown =
        async || world.logs.describe_log_groups().send().await.unwrap().log_groups()[0].retention_in_days();
    put(7).await.unwrap();
    assert_eq!(shown().await, Some(7));
    let refused = refusal(put(2).await);
    assert!(
        refused.starts_with(
            "InvalidParameterException: 1 validation error detected: Value '2' at 'retentionInDays' failed to satisfy \
             constraint: Member must satisfy enum value set: [1, 3, 5,"
        ),
        "{refused}"
    );
    world.logs.delete_retention_policy().log_group_name("group").send().await.unwrap();
    assert_eq!(shown().await, None);
}

#[tokio::test]
async fn tags_are_set_listed_and_removed_by_arn_and_by_name() {
    let world = World::with_stream().await;
    let arn = "arn:aws:logs:eu-west-1:000000000000:log-group:group";
    let tags = async || {
        let by_arn =
            world.logs.list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags.unwrap();
        #[expect(deprecated, reason = "the older operation is still used")]
        let by_name =
            world.logs.list_tags_log_group().log_group_name("group").send().await.unwrap().tags.unwrap();
        assert_eq!(by_arn, by_name);
        by_arn
    };
    let of = |tags: &[(&str, &str)]| -> HashMap<String, String> {
        tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(tags().await, of(&[]));
    world.logs.tag_resource().resource_arn(arn).tags("a", "1").tags("b", "2").send().await.unwrap();
    #[expect(deprecated, reason = "the older operation is still used")]
    world.logs.tag_log_group().log_group_name("group").tags("b", "3").tags("c", "4").send().await.unwrap();
    assert_eq!(tags().await, of(&[("a", "1"), ("b", "3"), ("c", "4")]));
    world.logs.untag_resource().resource_arn(arn).tag_keys("a").tag_keys("zz").send().await.unwrap();
    #[expect(deprecated, reason = "the older operation is still used")]
    world.logs.untag_log_group().log_group_name("group").tags("b").send().await.unwrap();
    assert_eq!(tags().await, of(&[("c", "4")]));

    let many = (0..50).map(|number| (format!("k{number}"), String::new())).collect();
    let too_many = world.logs.tag_resource().resource_arn(arn).set_tags(Some(many)).send().await;
    assert!(too_many.unwrap_err().as_service_error().unwrap().is_too_many_tags_exception());
    let missing = world.logs.list_tags_for_resource().resource_arn(format!("{arn}2")).send().await;
    assert_eq!(refusal(missing), MISSING);
}

#[tokio::test]
async fn a_log_group_is_named_by_its_arn_wherever_an_identifier_is_taken() {
    let world = World::with_stream().await;
    world.put("stream", &[(0, "one")]).await;
    let logs = &world.logs;
    for arn in ["arn:aws:logs:eu-west-1:000000000000:log-group:group", "group"] {
        let read = logs.get_log_events().log_group_identifier(arn).log_stream_name("stream").send().await;
        assert_eq!(read.unwrap().events().len(), 1, "{arn}");
        let found = logs.filter_log_events().log_group_identifier(arn).send().await;
        assert_eq!(found.unwrap().events().len(), 1, "{arn}");
        let streams = logs.describe_log_streams().log_group_identifier(arn).send().await;
        assert_eq!(streams.unwrap().log_streams().len(), 1, "{arn}");
        let groups = logs.describe_log_groups().log_group_identifiers(arn).send().await;
        assert_eq!(groups.unwrap().log_groups().len(), 1, "{arn}");
        let protect = logs.put_log_group_deletion_protection().log_group_identifier(arn);
        protect.deletion_protection_enabled(false).send().await.unwrap();
    }
}
