use aws_sdk_cloudwatchlogs::types::InputLogEvent;

use crate::world::{World, event, refusal};

const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn a_batch_outside_the_limits_is_refused_whole() {
    let world = World::with_stream().await;
    let put = |events: Vec<InputLogEvent>| {
        let put = world.logs.put_log_events().log_group_name("group").log_stream_name("stream");
        put.set_log_events(Some(events)).send()
    };
    let megabyte = 1_048_576;
    for (events, message) in [
        (
            vec![event(1, "later"), event(0, "earlier")],
            "Log events in a single PutLogEvents request must be in chronological order.",
        ),
        (
            vec![event(-24 * HOUR - 1, "first"), event(0, "last")],
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ),
        (
            vec![event(0, "x".repeat(megabyte - 26 + 1))],
            "Log event too large: 1048577 bytes exceeds limit of 1048576",
        ),
        (
            // Bytes of UTF-8 count, not characters.
            vec![event(0, "é".repeat(megabyte / 4)), event(0, "x".repeat(megabyte / 2 - 52 + 1))],
            "Upload too large: 1048577 bytes exceeds limit of 1048576",
        ),
        (
            vec![event(0, "x"); 10_001],
            "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length \
             less than or equal to 10000",
        ),
        (
            vec![event(0, "")],
            "1 validation error detected: Value '' at 'logEvents.1.member.message' failed to satisfy constraint: \
             Member must have length greater than or equal to 1",
        ),
    ] {
        assert_eq!(refusal(put(events).await), format!("InvalidParameterException: {message}"));
    }
    let refused = refusal(put(vec![]).await);
    assert!(refused.contains("Member must have length greater than or equal to 1"), "{refused}");
    let read =
        world.logs.get_log_events().log_group_name("group").log_stream_name("stream").send().await.unwrap();
    assert_eq!(read.events(), []);

    put(vec![event(0, "x"); 10_000]).await.unwrap();
    put(vec![event(0, "x".repeat(megabyte - 26))]).await.unwrap();
    put(vec![event(-24 * HOUR, "first"), event(0, "last")]).await.unwrap();
}

#[tokio::test]
async fn a_missing_group_or_stream_is_reported() {
    let world = World::with_stream().await;
    let put = |group: &str, stream: &str| {
        let put = world.logs.put_log_events().log_group_name(group).log_stream_name(stream);
        put.log_events(event(0, "x")).sequence_token("anything").send()
    };
    assert_eq!(
        refusal(put("none", "stream").await),
        "ResourceNotFoundException: The specified log group does not exist."
    );
    assert_eq!(
        refusal(put("group", "none").await),
        "ResourceNotFoundException: The specified log stream does not exist."
    );
    assert!(put("group", "stream").await.unwrap().next_sequence_token().is_some());
}

#[tokio::test]
async fn events_too_old_expired_or_too_new_are_left_out_and_named() {
    let world = World::with_stream().await;
    world.logs.put_retention_policy().log_group_name("group").retention_in_days(7).send().await.unwrap();
    let put = async |events: Vec<InputLogEvent>| {
        let put = world.logs.put_log_events().log_group_name("group").log_stream_name("stream");
        let answer = put.set_log_events(Some(events)).send().await.unwrap();
        answer.rejected_log_events_info().map(|info| {
            (
                info.too_old_log_event_end_index(),
                info.expired_log_event_end_index(),
                info.too_new_log_event_start_index(),
            )
        })
    };
    let day = 24 * HOUR;
    assert_eq!(
        put(vec![event(0, "now"), event(2 * HOUR, "soon"), event(2 * HOUR + 1, "too new")]).await,
        Some((None, None, Some(2)))
    );
    assert_eq!(
        put(vec![event(-14 * day - 1, "too old"), event(-14 * day, "expired")]).await,
        Some((Some(1), Some(2), None))
    );
    assert_eq!(
        put(vec![event(-7 * day - 1, "expired"), event(-7 * day, "just kept")]).await,
        Some((None, Some(1), None))
    );
    let read = async || {
        let get = world.logs.get_log_events().log_group_name("group").log_stream_name("stream");
        let read = get.start_from_head(true).send().await.unwrap();
        read.events.unwrap().into_iter().filter_map(|event| event.message).collect::<Vec<_>>()
    };
    assert_eq!(read().await, ["just kept", "now", "soon"]);

    world.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(read().await, ["now", "soon"], "an expired event is still shown");
}
