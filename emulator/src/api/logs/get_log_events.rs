//! GetLogEvents.

use super::token::Turn;
use super::{error, group_name};
use crate::api::model::logs::{GetLogEventsRequest, GetLogEventsResponse, OutputLogEvent};
use crate::api::{Context, Error, Operation, Rule};
use crate::clock::Timestamp;
use crate::store::logs::{self, Page, Position, Span, Stored};

/// Source: GetLogEvents, `limit`: "as many log events as can fit in a response size of 1 MB (up to 10,000 log
/// events)".
pub(super) const LARGEST_PAGE: Page = Page { newest: false, events: 10_000, bytes: 1_048_576 };

pub(super) struct GetLogEvents;

impl Operation for GetLogEvents {
    const NAME: &'static str = "GetLogEvents";
    type Input = GetLogEventsRequest;
    type Output = GetLogEventsResponse;

    const RULES: &'static [Rule<Self::Input>] = &[Rule {
        source: "GetLogEvents: \"You must include either logGroupIdentifier or logGroupName, but not both\"",
        broken: |input| {
            group_name::either_broken(input.log_group_name.as_deref(), input.log_group_identifier.as_deref())
        },
    }];

    async fn handle(context: &Context, input: Self::Input) -> Result<Self::Output, Error> {
        let GetLogEventsRequest {
            end_time,
            limit,
            log_group_identifier,
            log_group_name,
            log_stream_name,
            next_token,
            start_from_head,
            start_time,
            // There is no data protection policy, so nothing is masked.
            unmask: _,
        } = input;
        let group = group_name::of_either(context, log_group_name, log_group_identifier)?;
        let readers = context.store().readers();
        let place = logs::place(
            readers,
            context.account(),
            &context.region,
            &group,
            &log_stream_name.unwrap_or_default(),
        )
        .await?
        .ok_or_else(error::group_missing)?;
        let stream = place.stream.ok_or_else(error::stream_missing)?;

        let turn = next_token
            .as_deref()
            .map(|token| Turn::of(token, stream).ok_or_else(error::token_invalid))
            .transpose()?;
        let window = Span {
            from: start(start_time, place.retention_days, context.clock().now()),
            // "Events with a timestamp equal to or later than this time are not included."
            to: Position::start_of(Timestamp(end_time.unwrap_or(i64::MAX))),
        };
        // A token keeps its direction, regardless of `startFromHead`.
        let newest = match turn {
            Some(Turn::Forward(_)) => false,
            Some(Turn::Backward(_)) => true,
            None => !start_from_head.unwrap_or_default(),
        };
        let span = match turn {
            Some(Turn::Forward(place)) => Span { from: window.from.max(place), ..window },
            Some(Turn::Backward(place)) => Span { to: window.to.min(place), ..window },
            None => window,
        };
        let events = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LARGEST_PAGE.events);
        let events = logs::page(readers, stream, span, Page { newest, events, ..LARGEST_PAGE }).await?;

        let (before, after) = sides(&events, turn, window);
        Ok(GetLogEventsResponse {
            events: Some(events.into_iter().map(output).collect()),
            next_backward_token: Some(before.token(stream)),
            next_forward_token: Some(after.token(stream)),
        })
    }
}

/// The beginning of what is shown: what the caller asks for, without expired events.
pub(super) fn start(start_time: Option<i64>, retention_days: Option<i64>, now: Timestamp) -> Position {
    let kept_from =
        retention_days.map_or(0, |days| now.millis().saturating_sub(days.saturating_mul(86_400_000)));
    Position::start_of(Timestamp(start_time.unwrap_or_default().max(kept_from).max(0)))
}

/// The places before and after a page. After an empty one the caller gets its own token back: that is the end, and
/// a later call continues from there.
fn sides(events: &[Stored], turn: Option<Turn>, window: Span) -> (Turn, Turn) {
    let place = match turn {
        Some(Turn::Forward(place) | Turn::Backward(place)) => place,
        None => window.from,
    };
    (
        Turn::Backward(events.first().map_or(place, |event| event.position)),
        Turn::Forward(events.last().map_or(place, |event| event.position.next())),
    )
}

fn output(event: Stored) -> OutputLogEvent {
    let Stored { position, ingested_at, message } = event;
    OutputLogEvent {
        ingestion_time: Some(ingested_at.millis()),
        message: Some(message),
        timestamp: Some(position.timestamp.millis()),
    }
}
