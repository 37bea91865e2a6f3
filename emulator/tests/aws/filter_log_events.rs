use std::collections::BTreeSet;

use aws_sdk_cloudwatchlogs::operation::filter_log_events::builders::FilterLogEventsFluentBuilder;

use crate::world::{NOW, World, refusal};

fn filter(world: &World) -> FilterLogEventsFluentBuilder {
    world.logs.filter_log_events().log_group_name("group")
}

/// Every message, over all pages of `limit`.
async fn all(filter: FilterLogEventsFluentBuilder, limit: i32) -> Vec<String> {
    let mut messages = Vec::new();
    let mut ids = BTreeSet::new();
    let mut pages = filter.into_paginator().page_size(limit).send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(i32::try_from(page.events().len()).unwrap() <= limit);
        for event in page.events.unwrap_or_default() {
            assert!(ids.insert(event.event_id.unwrap()), "an event id appeared twice");
            messages.push(event.message.unwrap());
        }
    }
    messages
}

async fn world() -> World {
    let world = World::with_stream().await;
    for stream in ["web/a", "web/b", "job"] {
        world.create_stream(stream).await;
    }
    world.put("web/a", &[(0, "a0 ERROR"), (2, "a2"), (2, "a2 again"), (9, "a9 ERROR")]).await;
    world.put("web/b", &[(1, "b1"), (2, "b2 ERROR"), (3, "b3")]).await;
    world.put("job", &[(0, "j0"), (5, "j5 ERROR")]).await;
    world
}

#[tokio::test]
async fn events_of_all_streams_are_interleaved_by_time_whatever_the_page() {
    let world = world().await;
    let expected = ["a0 ERROR", "j0", "b1", "a2", "a2 again", "b2 ERROR", "b3", "j5 ERROR", "a9 ERROR"];
    for limit in 1..=10 {
        assert_eq!(all(filter(&world), limit).await, expected, "{limit} a page");
        assert_eq!(
            all(filter(&world).filter_pattern("ERROR"), limit).await,
            ["a0 ERROR", "b2 ERROR", "j5 ERROR", "a9 ERROR"]
        );
    }
    let page = filter(&world).send().await.unwrap();
    assert_eq!(page.next_token(), None);
    assert_eq!(page.events()[0].log_stream_name(), Some("web/a"));
    assert_eq!(page.events()[0].timestamp(), Some(NOW));
}

#[tokio::test]
async fn streams_are_chosen_by_name_or_prefix_and_events_by_time() {
    let world = world().await;
    assert_eq!(
        all(filter(&world).log_stream_name_prefix("web/").start_time(NOW + 2).end_time(NOW + 3), 100).await,
        ["a2", "a2 again", "b2 ERROR", "b3"],
        "both ends are inclusive"
    );
    assert_eq!(
        all(filter(&world).log_stream_names("job").log_stream_names("web/b"), 2).await,
        ["j0", "b1", "b2 ERROR", "b3", "j5 ERROR"]
    );
    assert_eq!(all(filter(&world).log_stream_names("stream"), 2).await, [""; 0]);
    assert_eq!(
        refusal(filter(&world).log_stream_names("none").send().await),
        "ResourceNotFoundException: The specified log stream does not exist."
    );
    let both = filter(&world).log_stream_names("job").log_stream_name_prefix("j").send().await;
    assert!(refusal(both).starts_with("InvalidParameterException: "));
    assert_eq!(
        refusal(filter(&world).next_token("x").send().await),
        "InvalidParameterException: The specified nextToken is invalid."
    );
}

#[tokio::test]
async fn a_pattern_that_is_none_is_refused_and_never_shows_everything() {
    let world = world().await;
    assert_eq!(
        refusal(filter(&world).filter_pattern("a:b").send().await),
        "InvalidParameterException: Invalid character(s) in term ':'"
    );
    let refused = refusal(filter(&world).filter_pattern("{ $.a ~ b }").send().await);
    assert!(refused.starts_with("InvalidParameterException: Invalid filter pattern: expected"), "{refused}");
}

#[tokio::test]
async fn a_search_that_finds_little_in_much_goes_on_by_token() {
    let world = World::with_stream().await;
    let large = "x".repeat(500_000);
    world.put("stream", &[(0, "needle 1")]).await;
    for at in 1..25 {
        world.put("stream", &[(at, &large), (at, &large)]).await;
    }
    world.put("stream", &[(60, "needle 2")]).await;
    let first = filter(&world).filter_pattern("needle").send().await.unwrap();
    assert_eq!(first.events().len(), 1);
    assert!(first.next_token().is_some(), "24 MB were looked through at once");
    assert_eq!(all(filter(&world).filter_pattern("needle"), 10).await, ["needle 1", "needle 2"]);
}

#[tokio::test]
async fn from_the_tail_the_newest_events_come_first_whatever_the_page() {
    let world = world().await;
    let mut expected = ["a0 ERROR", "j0", "b1", "a2", "a2 again", "b2 ERROR", "b3", "j5 ERROR", "a9 ERROR"];
    expected.reverse();
    let tail = || filter(&world).start_from_head(false);
    for limit in 1..=10 {
        assert_eq!(all(tail(), limit).await, expected, "{limit} a page");
        let errors = all(tail().filter_pattern("ERROR"), limit).await;
        assert_eq!(errors, ["a9 ERROR", "j5 ERROR", "b2 ERROR", "a0 ERROR"]);
    }
    let bounded = tail().start_time(NOW + 1).end_time(NOW + 3);
    assert_eq!(all(bounded, 2).await, ["b3", "b2 ERROR", "a2 again", "a2", "b1"]);

    // A token keeps its direction, regardless of the next request.
    let page = tail().limit(1).send().await.unwrap();
    let next = filter(&world).set_next_token(page.next_token).limit(1).send().await.unwrap();
    assert_eq!(next.events()[0].message(), Some("j5 ERROR"));

    assert_eq!(
        refusal(tail().start_time(1_704_067_199_999).send().await),
        "InvalidParameterException: startFromHead can be false only if startTime is on or after Jan 1, 2024 00:00:00 UTC."
    );
    assert_eq!(all(tail().start_time(1_704_067_200_000), 100).await.len(), 9);
}

#[tokio::test]
async fn a_token_of_the_end_of_time_ends_the_pages() {
    let world = world().await;
    let most = i64::MAX;
    for token in [format!("{most:020}{:016}{most:020}", 1), format!("b/{:020}{:016}{:020}", 0, 1, 0)] {
        let page = filter(&world).next_token(token).send().await.unwrap();
        assert!(page.events().is_empty());
        assert_eq!(page.next_token(), None);
    }
}
