use aws_sdk_cloudwatchlogs::types::OrderBy;

use crate::world::{NOW, World, refusal};

#[tokio::test]
async fn a_log_stream_is_made_once_in_a_group_that_is_there() {
    let world = World::with_stream().await;
    let create = |group: &str, stream: &str| {
        world.logs.create_log_stream().log_group_name(group).log_stream_name(stream).send()
    };
    assert_eq!(
        refusal(create("group", "stream").await),
        "ResourceAlreadyExistsException: The specified log stream already exists"
    );
    assert_eq!(
        refusal(create("no-group", "stream").await),
        "ResourceNotFoundException: The specified log group does not exist."
    );
    for name in ["a:b", "a*", ""] {
        let refused = refusal(create("group", name).await);
        assert!(refused.starts_with("InvalidParameterException: 1 validation error detected"), "{refused}");
    }
    let delete =
        |stream: &str| world.logs.delete_log_stream().log_group_name("group").log_stream_name(stream).send();
    delete("stream").await.unwrap();
    assert_eq!(
        refusal(delete("stream").await),
        "ResourceNotFoundException: The specified log stream does not exist."
    );
}

#[tokio::test]
async fn a_stream_shows_the_times_of_its_events() {
    let world = World::with_stream().await;
    let describe = async || {
        let described = world.logs.describe_log_streams().log_group_name("group").send().await.unwrap();
        described.log_streams()[0].clone()
    };
    let empty = describe().await;
    assert_eq!(empty.arn(), Some("arn:aws:logs:eu-west-1:000000000000:log-group:group:log-stream:stream"));
    assert_eq!(empty.creation_time(), Some(NOW));
    assert_eq!((empty.first_event_timestamp(), empty.last_ingestion_time()), (None, None));
    assert_eq!(empty.upload_sequence_token(), None);

    world.put("stream", &[(-5000, "first"), (-10, "last")]).await;
    let described = describe().await;
    assert_eq!(described.first_event_timestamp(), Some(NOW - 5000));
    assert_eq!(described.last_event_timestamp(), Some(NOW - 10));
    assert_eq!(described.last_ingestion_time(), Some(NOW));
    assert!(described.upload_sequence_token().is_some());
    let groups = world.logs.describe_log_groups().send().await.unwrap();
    assert_eq!(groups.log_groups()[0].stored_bytes(), Some(5 + 4 + 2 * 26));
}

#[tokio::test]
async fn log_streams_page_by_name_or_last_event_both_ways() {
    let world = World::with_stream().await;
    for (name, at) in [("a", Some(-30)), ("b/1", None), ("b/2", Some(-40)), ("c", Some(-30))] {
        world.create_stream(name).await;
        if let Some(at) = at {
            world.put(name, &[(at, "event")]).await;
        }
    }
    let pages = async |order: OrderBy, descending: bool, limit: i32| {
        let mut names = Vec::new();
        let mut pages = world
            .logs
            .describe_log_streams()
            .log_group_identifier("arn:aws:logs:eu-west-1:000000000000:log-group:group")
            .order_by(order)
            .descending(descending)
            .into_paginator()
            .page_size(limit)
            .send();
        while let Some(page) = pages.next().await {
            names.extend(page.unwrap().log_streams.unwrap().into_iter().filter_map(|s| s.log_stream_name));
        }
        names
    };
    for limit in 1..=6 {
        let mut by_name = ["a", "b/1", "b/2", "c", "stream"];
        assert_eq!(pages(OrderBy::LogStreamName, false, limit).await, by_name);
        by_name.reverse();
        assert_eq!(pages(OrderBy::LogStreamName, true, limit).await, by_name);
        let mut by_event = ["b/1", "stream", "b/2", "a", "c"];
        assert_eq!(pages(OrderBy::LastEventTime, false, limit).await, by_event);
        by_event.reverse();
        assert_eq!(pages(OrderBy::LastEventTime, true, limit).await, by_event);
    }

    let describe = || world.logs.describe_log_streams().log_group_name("group");
    let found = describe().log_stream_name_prefix("b/").send().await.unwrap();
    assert_eq!(found.log_streams().len(), 2);
    assert_eq!(
        refusal(describe().order_by(OrderBy::LastEventTime).log_stream_name_prefix("b").send().await),
        "InvalidParameterException: Cannot order by LastEventTime with a logStreamNamePrefix."
    );
    let token = describe().limit(1).send().await.unwrap().next_token.unwrap();
    assert_eq!(
        refusal(describe().descending(true).next_token(token).send().await),
        "InvalidParameterException: The specified nextToken is invalid."
    );
    assert_eq!(
        refusal(describe().log_group_identifier("group").send().await),
        "InvalidParameterException: LogGroup name and LogGroup ARN are mutually exclusive parameters."
    );
    assert_eq!(
        refusal(world.logs.describe_log_streams().log_group_name("none").send().await),
        "ResourceNotFoundException: The specified log group does not exist."
    );
}
