use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_sdk_cloudwatchlogs::operation::get_log_events::builders::GetLogEventsFluentBuilder;
use proptest::prelude::*;

use crate::world::{NOW, World, event, refusal};

fn get(world: &World) -> GetLogEventsFluentBuilder {
    world.logs.get_log_events().log_group_name("group").log_stream_name("stream")
}

fn messages(page: &GetLogEventsOutput) -> Vec<&str> {
    page.events().iter().map(|event| event.message().unwrap()).collect()
}

#[tokio::test]
async fn events_come_in_order_of_time_and_of_ingestion_where_times_are_equal() {
    let world = World::with_stream().await;
    world.put("stream", &[(-20, "c"), (-10, "e")]).await;
    world.put("stream", &[(-30, "a"), (-20, "d")]).await;
    world.put("stream", &[(-30, "b"), (-5, "f \u{0}\u{1b}[31m é \"quoted\"\n")]).await;
    let page = get(&world).start_from_head(true).send().await.unwrap();
    assert_eq!(messages(&page), ["a", "b", "c", "d", "e", "f \u{0}\u{1b}[31m é \"quoted\"\n"]);
    let first = &page.events()[0];
    assert_eq!((first.timestamp(), first.ingestion_time()), (Some(NOW - 30), Some(NOW)));
}

#[tokio::test]
async fn the_newest_page_comes_first_unless_asked_from_the_head() {
    let world = World::with_stream().await;
    world.put("stream", &[(0, "a"), (1, "b"), (2, "c"), (3, "d")]).await;
    let newest = get(&world).limit(2).send().await.unwrap();
    assert_eq!(messages(&newest), ["c", "d"]);
    let before = get(&world).limit(2).next_token(newest.next_backward_token().unwrap()).send().await.unwrap();
    assert_eq!(messages(&before), ["a", "b"]);
    let head = get(&world).limit(3).start_from_head(true).send().await.unwrap();
    assert_eq!(messages(&head), ["a", "b", "c"]);
    let window = get(&world).start_time(NOW + 1).end_time(NOW + 3).send().await.unwrap();
    assert_eq!(messages(&window), ["b", "c"], "the start is inclusive and the end is not");
}

#[tokio::test]
async fn at_the_end_the_token_comes_back_as_it_was_given_and_later_goes_on() {
    let world = World::with_stream().await;
    let page = get(&world).start_from_head(true).send().await.unwrap();
    assert_eq!(messages(&page), [""; 0]);
    let forward = page.next_forward_token().unwrap();
    let again = get(&world).next_token(forward).start_from_head(true).send().await.unwrap();
    assert_eq!(again.next_forward_token(), Some(forward));

    world.put("stream", &[(0, "a")]).await;
    let page = get(&world).next_token(forward).send().await.unwrap();
    assert_eq!(messages(&page), ["a"]);
    let end = get(&world).next_token(page.next_forward_token().unwrap()).send().await.unwrap();
    assert_eq!(messages(&end), [""; 0]);
    assert_eq!(end.next_forward_token(), page.next_forward_token());
    let back = get(&world).next_token(end.next_backward_token().unwrap()).send().await.unwrap();
    assert_eq!(messages(&back), ["a"]);
    world.put("stream", &[(0, "b"), (7, "c")]).await;
    let page = get(&world).next_token(end.next_forward_token().unwrap()).send().await.unwrap();
    assert_eq!(messages(&page), ["b", "c"], "what has the last event's time comes after it");
}

#[tokio::test]
async fn what_is_no_token_of_the_stream_is_refused() {
    let world = World::with_stream().await;
    world.create_stream("other").await;
    let other =
        world.logs.get_log_events().log_group_name("group").log_stream_name("other").send().await.unwrap();
    for token in ["f/0/s", "nonsense", "", other.next_forward_token().unwrap()] {
        let refused = refusal(get(&world).next_token(token).send().await);
        let expected =
            if token.is_empty() { "1 validation error" } else { "The specified nextToken is invalid." };
        assert!(refused.starts_with(&format!("InvalidParameterException: {expected}")), "{token}: {refused}");
    }
    assert_eq!(
        refusal(world.logs.get_log_events().log_group_name("group").log_stream_name("none").send().await),
        "ResourceNotFoundException: The specified log stream does not exist."
    );
    assert_eq!(
        refusal(world.logs.get_log_events().log_stream_name("stream").send().await),
        "InvalidParameterException: Either LogGroup name or LogGroup ARN must be specified."
    );
    let arn = "arn:aws:logs:eu-west-1:000000000000:log-group:group";
    let by_arn = world.logs.get_log_events().log_group_identifier(arn).log_stream_name("stream").send();
    by_arn.await.unwrap();
    let elsewhere = "arn:aws:logs:us-east-1:000000000000:log-group:group";
    let by_arn = world.logs.get_log_events().log_group_identifier(elsewhere).log_stream_name("stream").send();
    assert_eq!(refusal(by_arn.await), "ResourceNotFoundException: The specified log group does not exist.");
}

#[tokio::test]
async fn a_page_holds_a_megabyte_at_most_and_one_event_at_least() {
    let world = World::with_stream().await;
    let large = "x".repeat(400_000);
    for at in 0..5 {
        world.put("stream", &[(at, &large)]).await;
    }
    let page = get(&world).start_from_head(true).send().await.unwrap();
    assert_eq!(page.events().len(), 2);
    let whole = "y".repeat(1_048_576 - 26);
    world.put("stream", &[(9, &whole)]).await;
    let page = get(&world).send().await.unwrap();
    assert_eq!(messages(&page), [whole.as_str()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pages_forward_and_backward_give_every_event_once_in_order(
        batches in prop::collection::vec(prop::collection::vec((0_i64..500, 1_usize..3_000), 1..60), 1..8),
        limit in 1_i32..80,
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let world = World::with_stream().await;
            let mut expected = Vec::new();
            for (number, mut batch) in batches.into_iter().enumerate() {
                batch.sort_by_key(|(at, _)| *at);
                let batch: Vec<_> = batch
                    .into_iter()
                    .enumerate()
                    .map(|(place, (at, length))| (at, format!("{number}.{place} {}", "x".repeat(length))))
                    .collect();
                let put = world.logs.put_log_events().log_group_name("group").log_stream_name("stream");
                let events = batch.iter().map(|(at, message)| event(*at, message)).collect();
                put.set_log_events(Some(events)).send().await.unwrap();
                expected.extend(batch);
            }
            expected.sort_by_key(|(at, _)| *at);

            for forward in [true, false] {
                let mut pages: Vec<Vec<(i64, String)>> = Vec::new();
                let mut token: Option<String> = None;
                loop {
                    let page = get(&world)
                        .limit(limit)
                        .start_from_head(forward)
                        .set_next_token(token.clone())
                        .send()
                        .await
                        .unwrap();
                    let next = if forward { &page.next_forward_token } else { &page.next_backward_token };
                    prop_assert_eq!(*next == token, page.events().is_empty(), "an empty page and only it is the end");
                    if *next == token {
                        break;
                    }
                    token = next.clone();
                    let events = page.events.unwrap().into_iter();
                    pages.push(events.map(|event| (event.timestamp.unwrap() - NOW, event.message.unwrap())).collect());
                }
                if !forward {
                    pages.reverse();
                }
                prop_assert_eq!(&pages.concat(), &expected);
            }
            Ok(())
        })?;
    }
}
