//! FilterLogEvents: the events of several streams, interleaved by time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::get_log_events::{LARGEST_PAGE, start};
use super::pattern::Pattern;
use super::{error, group_name, token};
use crate::api::model::logs::{FilterLogEventsRequest, FilterLogEventsResponse, FilteredLogEvent};
use crate::api::{Context, Error, Operation, Rule};
use crate::clock::Timestamp;
use crate::store::logs::{self, Group, OVERHEAD, Page, Position, Span, Stored, Stream, StreamId};
use crate::store::{self, SqlitePool};

/// Bytes of events that one call looks at. A call that reaches it answers what it has found, which may be nothing, with
/// a token to go on: as on AWS, a page short of events is not the end.
const MOST_SCANNED: usize = 16 << 20;

/// How much of a stream is read ahead of the merge.
const READ_AHEAD: Page = Page { newest: false, events: 1_000, bytes: 256 << 10 };

pub(super) struct FilterLogEvents;

impl Operation for FilterLogEvents {
    const NAME: &'static str = "FilterLogEvents";
    type Input = FilterLogEventsRequest;
    type Output = FilterLogEventsResponse;

    const RULES: &'static [Rule<Self::Input>] = &[
        Rule {
            source: "FilterLogEvents: \"You must include either logGroupIdentifier or logGroupName, but not both\"",
            broken: |input| {
                group_name::either_broken(
                    input.log_group_name.as_deref(),
                    input.log_group_identifier.as_deref(),
                )
            },
        },
        Rule {
            source: "FilterLogEvents: \"If you specify a value for both logStreamNamePrefix and logStreamNames, the \
                     action returns an InvalidParameterException error\"",
            broken: |input| {
                (input.log_stream_names.is_some() && input.log_stream_name_prefix.is_some()).then(|| {
                    Error::invalid_parameter(
                        "LogStream names and LogStream name prefix are mutually exclusive parameters.",
                    )
                })
            },
        },
        Rule {
            source: "FilterLogEvents, filterPattern: \"Filter pattern syntax\"",
            broken: |input| {
                let invalid = Pattern::parse(input.filter_pattern.as_deref()?).err()?;
                Some(Error::invalid_parameter(invalid.to_string()))
            },
        },
    ];

    async fn handle(context: &Context, input: Self::Input) -> Result<Self::Output, Error> {
        let FilterLogEventsRequest {
            end_time,
            filter_pattern,
            // "This parameter is ignored and the value is assumed to be true."
            interleaved: _,
            limit,
            log_group_identifier,
            log_group_name,
            log_stream_name_prefix,
            log_stream_names,
            next_token,
            start_time,
            // There is no data protection policy, so nothing is masked.
            unmask: _,
        } = input;
        let name = group_name::of_either(context, log_group_name, log_group_identifier)?;
        let group = group_name::find(context, &name).await?;
        let pattern = Pattern::parse(filter_pattern.as_deref().unwrap_or_default())
            .map_err(|invalid| Error::invalid_parameter(invalid.to_string()))?;
        let after = next_token
            .as_deref()
            .map(|token| token::event_of(token).ok_or_else(error::token_invalid))
            .transpose()?;
        let from = start(start_time, group.retention_days, context.clock().now());
        let span = Span {
            from: after.map_or(from, |(_, last)| from.max(Position::start_of(last.timestamp))),
            // "Events with a timestamp later than this time are not returned."
            to: Position::start_of(Timestamp(end_time.unwrap_or(i64::MAX).saturating_add(1))),
        };
        let prefix = log_stream_name_prefix.as_deref().unwrap_or_default();
        let streams = streams(context, &group, log_stream_names, prefix, span).await?;
        let mut merge = Merge::new(context.store().readers(), streams, span, after);

        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LARGEST_PAGE.events);
        let (mut found, mut bytes, mut scanned) = (Vec::new(), 0, 0);
        let mut last = after;
        let next_token = loop {
            let Some((stream, event)) = merge.next().await? else { break None };
            let size = event.message.len() + OVERHEAD;
            let matches = pattern.matches(&event.message);
            let full =
                matches && (found.len() == limit || (bytes + size > LARGEST_PAGE.bytes && !found.is_empty()));
            if full || scanned > MOST_SCANNED {
                break last.map(|(stream, position)| token::after_event(stream, position));
            }
            last = Some((stream, event.position));
            scanned += size;
            if matches {
                bytes += size;
                found.push(output(stream, event, merge.name(stream)));
            }
        };
        Ok(FilterLogEventsResponse {
            events: Some(found),
            next_token,
            // "As of May 15, 2020, this parameter is no longer supported": an empty list.
            searched_log_streams: Some(Vec::new()),
        })
    }
}

/// The streams to look through.
async fn streams(
    context: &Context,
    group: &Group,
    names: Option<Vec<String>>,
    prefix: &str,
    span: Span,
) -> Result<Vec<Stream>, Error> {
    let readers = context.store().readers();
    let Some(mut names) = names else {
        let (start, end) = (span.from.timestamp, span.to.timestamp);
        return Ok(logs::streams_within(readers, group.id, prefix, start, end).await?);
    };
    names.sort_unstable();
    names.dedup();
    let mut streams = Vec::with_capacity(names.len());
    for name in names {
        streams.push(logs::stream(readers, group.id, &name).await?.ok_or_else(error::stream_missing)?);
    }
    Ok(streams)
}

fn output(stream: StreamId, event: Stored, stream_name: &str) -> FilteredLogEvent {
    let Stored { position, ingested_at, message } = event;
    FilteredLogEvent {
        event_id: Some(token::digits(stream, position)),
        ingestion_time: Some(ingested_at.millis()),
        log_stream_name: Some(stream_name.to_owned()),
        message: Some(message),
        timestamp: Some(position.timestamp.millis()),
    }
}

/// The order across streams: by time, then stream, then the stream's own order.
type Place = (Timestamp, StreamId, i64);

fn place(stream: StreamId, position: Position) -> Place {
    (position.timestamp, stream, position.sequence)
}

/// Several streams, merged. A stream is not read before its time has come.
struct Merge<'a> {
    readers: &'a SqlitePool,
    sources: BTreeMap<StreamId, Source>,
    /// Where each stream's next event is, or, of one that is not read yet, the earliest where it may be.
    heads: BinaryHeap<Reverse<Place>>,
}

struct Source {
    name: String,
    /// What is not read yet.
    span: Span,
    read: VecDeque<Stored>,
}

impl<'a> Merge<'a> {
    /// The events of `streams` within `span`, those after the event `after` alone.
    fn new(
        readers: &'a SqlitePool,
        streams: Vec<Stream>,
        span: Span,
        after: Option<(StreamId, Position)>,
    ) -> Self {
        let mut merge = Self { readers, sources: BTreeMap::new(), heads: BinaryHeap::new() };
        for stream in streams {
            let Some(first) = stream.first_event_at else { continue };
            let resumed = after.map_or(span.from, |(last_stream, last)| match stream.id.cmp(&last_stream) {
                // Its events of that time have been before the last one, or are the last one's own stream's.
                std::cmp::Ordering::Less => Position::start_of(Timestamp(last.timestamp.millis() + 1)),
                std::cmp::Ordering::Equal => last.next(),
                std::cmp::Ordering::Greater => Position::start_of(last.timestamp),
            });
            let span = Span { from: span.from.max(resumed).max(Position::start_of(first)), ..span };
            merge.heads.push(Reverse(place(stream.id, span.from)));
            merge.sources.insert(stream.id, Source { name: stream.name, span, read: VecDeque::new() });
        }
        merge
    }

    fn name(&self, stream: StreamId) -> &str {
        self.sources.get(&stream).map_or("", |source| &source.name)
    }

    async fn next(&mut self) -> Result<Option<(StreamId, Stored)>, store::Error> {
        while let Some(Reverse((.., stream, _))) = self.heads.pop() {
            let Some(source) = self.sources.get_mut(&stream) else { continue };
            let Some(event) = source.read.pop_front() else {
                let read = logs::page(self.readers, stream, source.span, READ_AHEAD).await?;
                if let (Some(first), Some(last)) = (read.first(), read.last()) {
                    source.span.from = last.position.next();
                    self.heads.push(Reverse(place(stream, first.position)));
                    source.read = read.into();
                }
                continue;
            };
            let next = source.read.front().map_or(source.span.from, |event| event.position);
            self.heads.push(Reverse(place(stream, next)));
            return Ok(Some((stream, event)));
        }
        Ok(None)
    }
}
