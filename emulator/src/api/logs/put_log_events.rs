//! PutLogEvents.

use std::time::Duration;

use super::error;
use super::log_stream::sequence_token;
use crate::api::model::logs::{
    InputLogEvent, PutLogEventsRequest, PutLogEventsResponse, RejectedLogEventsInfo,
};
use crate::api::{Context, Error, Operation, Rule};
use crate::clock::Timestamp;
use crate::store::logs::{self, Appended, Event, OVERHEAD, Place};

/// Bytes per batch, each event with its [`OVERHEAD`].
const LARGEST_BATCH: usize = 1_048_576;

/// Bytes per event, with its [`OVERHEAD`]. It was 256 KiB until April 2025.
const LARGEST_EVENT: usize = 1_048_576;

const DAY: Duration = Duration::from_hours(24);

/// From the first event of a batch to its last.
const LONGEST_SPAN: Duration = DAY;

/// How far ahead of our clock an event may be.
const TOO_NEW: Duration = Duration::from_hours(2);

/// How far behind.
const TOO_OLD: Duration = Duration::from_hours(14 * 24);

pub(super) struct PutLogEvents;

impl Operation for PutLogEvents {
    const NAME: &'static str = "PutLogEvents";
    /// 1 MiB of messages, of which JSON may write each byte as six (`\u0000`), and some 50 bytes around each of 10,000
    /// events.
    const LARGEST_BODY: usize = 8 << 20;
    type Input = PutLogEventsRequest;
    type Output = PutLogEventsResponse;

    const RULES: &'static [Rule<Self::Input>] = &[
        Rule {
            source: "PutLogEvents: \"Each log event can be no larger than 1 MB\"",
            broken: |input| {
                let size = input.log_events.iter().flatten().map(size).find(|size| *size > LARGEST_EVENT)?;
                Some(Error::invalid_parameter(format!(
                    "Log event too large: {size} bytes exceeds limit of {LARGEST_EVENT}"
                )))
            },
        },
        Rule {
            source: "PutLogEvents: \"The maximum batch size is 1,048,576 bytes [...] the sum of all event messages \
                     in UTF-8, plus 26 bytes for each log event\"",
            broken: |input| {
                let size: usize = input.log_events.iter().flatten().map(size).sum();
                (size > LARGEST_BATCH).then(|| {
                    Error::invalid_parameter(format!(
                        "Upload too large: {size} bytes exceeds limit of {LARGEST_BATCH}"
                    ))
                })
            },
        },
        Rule {
            source: "PutLogEvents: \"The log events in the batch must be in chronological order by their timestamp\"",
            broken: |input| {
                let times = input.log_events.iter().flatten().filter_map(|event| event.timestamp);
                (!times.is_sorted()).then(|| {
                    Error::invalid_parameter(
                        "Log events in a single PutLogEvents request must be in chronological order.",
                    )
                })
            },
        },
        Rule {
            source: "PutLogEvents: \"A batch of log events in a single request cannot span more than 24 hours\"",
            broken: |input| {
                let mut times =
                    input.log_events.iter().flatten().filter_map(|event| event.timestamp.map(Timestamp));
                let first = times.next()?;
                (times.next_back()?.since(first) > LONGEST_SPAN).then(|| {
                    Error::invalid_parameter(
                        "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
                    )
                })
            },
        },
    ];

    async fn handle(context: &Context, input: Self::Input) -> Result<Self::Output, Error> {
        let PutLogEventsRequest {
            // The subject of the events, for AWS's own consoles.
            entity: _,
            log_events,
            log_group_name,
            log_stream_name,
            // "The sequenceToken parameter is now ignored in PutLogEvents actions."
            sequence_token: _,
        } = input;
        let (group, stream) = (log_group_name.unwrap_or_default(), log_stream_name.unwrap_or_default());
        let place =
            logs::place(context.store().readers(), context.account(), &context.region, &group, &stream)
                .await?
                .ok_or_else(error::group_missing)?;
        let stream = place.stream.ok_or_else(error::stream_missing)?;

        let now = context.clock().now();
        let mut events: Vec<Event> = log_events
            .unwrap_or_default()
            .into_iter()
            .map(|InputLogEvent { message, timestamp }| Event {
                timestamp: Timestamp(timestamp.unwrap_or_default()),
                message: message.unwrap_or_default(),
            })
            .collect();
        let window = Window::new(place, now);
        let rejected = window.rejected(&events);
        events.retain(|event| window.takes(event.timestamp));

        let appended = context
            .store()
            .write(move |connection| {
                Box::pin(async move { logs::append(connection, stream, &events, now).await })
            })
            .await?;
        match appended {
            Appended::Taken => Ok(PutLogEventsResponse {
                next_sequence_token: Some(sequence_token(stream, now)),
                rejected_entity_info: None,
                rejected_log_events_info: rejected,
            }),
            Appended::StreamMissing => Err(error::stream_missing()),
        }
    }
}

/// What CloudWatch Logs counts for an event.
fn size(event: &InputLogEvent) -> usize {
    event.message.as_ref().map_or(0, String::len) + OVERHEAD
}

/// The times whose events are accepted.
///
/// Source: PutLogEvents: "None of the log events in the batch can be more than 2 hours in the future [...] more than
/// 14 days in the past [...] log events older than the retention period of the log group": these are left out, and the
/// rest is accepted.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Earlier ones are too old.
    oldest: Timestamp,
    /// Earlier ones are expired.
    kept_from: Timestamp,
    /// Later ones are too new.
    newest: Timestamp,
}

impl Window {
    fn new(place: Place, now: Timestamp) -> Self {
        let retention = place.retention_days.and_then(|days| u32::try_from(days).ok());
        Self {
            oldest: now.minus(TOO_OLD),
            kept_from: retention.map_or(Timestamp(i64::MIN), |days| now.minus(DAY * days)),
            newest: now.plus(TOO_NEW),
        }
    }

    fn takes(self, time: Timestamp) -> bool {
        self.oldest.max(self.kept_from) <= time && time <= self.newest
    }

    /// Which of a batch in order are left out; `None` if all are accepted. The ends are exclusive, the start is not.
    fn rejected(self, events: &[Event]) -> Option<RejectedLogEventsInfo> {
        let index = |before: &dyn Fn(&Event) -> bool| {
            i32::try_from(events.partition_point(|event| before(event))).unwrap_or(i32::MAX)
        };
        let too_old = index(&|event| event.timestamp < self.oldest);
        let expired = index(&|event| event.timestamp < self.kept_from);
        let too_new = index(&|event| event.timestamp <= self.newest);
        let info = RejectedLogEventsInfo {
            expired_log_event_end_index: (expired > 0).then_some(expired),
            too_new_log_event_start_index: (usize::try_from(too_new) != Ok(events.len())).then_some(too_new),
            too_old_log_event_end_index: (too_old > 0).then_some(too_old),
        };
        (info != RejectedLogEventsInfo::default()).then_some(info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::logs::StreamId;

    #[test]
    fn events_out_of_the_window_are_named_by_their_place_in_the_batch() {
        const HOUR: i64 = 3_600_000;
        const NOW: i64 = 1_000 * 24 * HOUR;
        let rejected = |retention_days: Option<i64>, hours: &[i64]| {
            let place = Place { retention_days, stream: Some(StreamId(1)) };
            let events: Vec<_> = hours
                .iter()
                .map(|hours| Event { timestamp: Timestamp(NOW + hours * HOUR), message: "m".into() })
                .collect();
            let window = Window::new(place, Timestamp(NOW));
            let taken = events.iter().filter(|event| window.takes(event.timestamp)).count();
            let info = window.rejected(&events).unwrap_or_default();
            (
                info.too_old_log_event_end_index,
                info.expired_log_event_end_index,
                info.too_new_log_event_start_index,
                taken,
            )
        };
        let day = 24;
        assert_eq!(rejected(None, &[-14 * day, 0, 2]), (None, None, None, 3));
        assert_eq!(rejected(None, &[-14 * day - 1, -14 * day]), (Some(1), None, None, 1));
        assert_eq!(rejected(None, &[1, 2, 3, 4]), (None, None, Some(2), 2));
        assert_eq!(rejected(Some(7), &[-8 * day, -7 * day - 1, -7 * day]), (None, Some(2), None, 1));
        assert_eq!(rejected(Some(7), &[-15 * day, -14 * day - 1]), (Some(2), Some(2), None, 0));
        assert_eq!(rejected(Some(30), &[-15 * day]), (Some(1), None, None, 0));
        assert_eq!(rejected(None, &[3]), (None, None, Some(0), 0));
    }
}
