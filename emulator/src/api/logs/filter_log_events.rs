//! FilterLogEvents: the events of several streams, interleaved by time.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;

use super::get_log_events::{LARGEST_PAGE, start};
use super::pattern::Pattern;
use super::{error, group_name, token};
use crate::api::model::logs::{FilterLogEventsRequest, FilterLogEventsResponse, FilteredLogEvent};
use crate::api::shape::{Validate, Violations};
use crate::api::{Context, Error, Operation, Rule};
use crate::clock::Timestamp;
use crate::store::logs::{self, Group, OVERHEAD, Page, Position, Span, Stored, Stream, StreamId};
use crate::store::{self, SqlitePool};

/// Bytes of events that one call looks at. A call that reaches it returns what it has found, which may be nothing, with
/// a token to continue: as on AWS, a page with few events is not the end.
const MOST_SCANNED: usize = 16 << 20;

/// Bytes of one stream that are read ahead of the merge at most, and of all streams of a call together.
const READ_AHEAD: usize = 256 << 10;
const READ_AHEAD_IN_ALL: usize = 16 << 20;

/// The earliest `startTime` of a request that starts from the tail: 2024-01-01T00:00:00Z.
const EARLIEST_FROM_TAIL: i64 = 1_704_067_200_000;

pub(super) struct FilterLogEvents;

/// The request, with a member that is newer than the model.
#[derive(Debug, Deserialize)]
pub(super) struct Input {
    #[serde(flatten)]
    request: FilterLogEventsRequest,
    /// `false`: the newest events first.
    #[serde(rename = "startFromHead")]
    start_from_head: Option<bool>,
}

impl Validate for Input {
    fn validate(&self, found: &mut Violations) {
        self.request.validate(found);
    }
}

impl Operation for FilterLogEvents {
    const NAME: &'static str = "FilterLogEvents";
    type Input = Input;
    type Output = FilterLogEventsResponse;

    const RULES: &'static [Rule<Self::Input>] = &[
        Rule {
            source: "FilterLogEvents: \"You must include either logGroupIdentifier or logGroupName, but not both\"",
            broken: |input| {
                group_name::either_broken(
                    input.request.log_group_name.as_deref(),
                    input.request.log_group_identifier.as_deref(),
                )
            },
        },
        Rule {
            source: "FilterLogEvents: \"If you specify a value for both logStreamNamePrefix and logStreamNames, the \
                     action returns an InvalidParameterException error\"",
            broken: |input| {
                let request = &input.request;
                (request.log_stream_names.is_some() && request.log_stream_name_prefix.is_some()).then(|| {
                    Error::invalid_parameter(
                        "LogStream names and LogStream name prefix are mutually exclusive parameters.",
                    )
                })
            },
        },
        Rule {
            source: "FilterLogEvents, filterPattern: \"Filter pattern syntax\"",
            broken: |input| {
                let invalid = Pattern::parse(input.request.filter_pattern.as_deref()?).err()?;
                Some(Error::invalid_parameter(invalid.to_string()))
            },
        },
        Rule {
            source: "FilterLogEvents: \"Setting startFromHead to false is supported only when startTime is on or after \
                     Jan 1, 2024 00:00:00 UTC\"",
            broken: |input| {
                let early = input.request.start_time.is_some_and(|start| start < EARLIEST_FROM_TAIL);
                (input.start_from_head == Some(false) && early).then(|| {
                    Error::invalid_parameter(
                        "startFromHead can be false only if startTime is on or after Jan 1, 2024 00:00:00 UTC.",
                    )
                })
            },
        },
    ];

    async fn handle(context: &Context, input: Self::Input) -> Result<Self::Output, Error> {
        let Input { request, start_from_head } = input;
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
        } = request;
        let name = group_name::of_either(context, log_group_name, log_group_identifier)?;
        let group = group_name::find(context, &name).await?;
        let pattern = Pattern::parse(filter_pattern.as_deref().unwrap_or_default())
            .map_err(|invalid| Error::invalid_parameter(invalid.to_string()))?;
        let resumed = next_token
            .as_deref()
            .map(|token| token::event_of(token).ok_or_else(error::token_invalid))
            .transpose()?;
        let from = start(start_time, group.retention_days, context.clock().now());
        // "If you provide both nextToken and startFromHead, the direction of the nextToken is used."
        let newest_first =
            resumed.map_or_else(|| start_from_head == Some(false), |(_, newest_first)| newest_first);
        let after = resumed.map(|(event, _)| event);
        // "Events with a timestamp later than this time are not returned."
        let to = Position::start_of(Timestamp(end_time.unwrap_or(i64::MAX).saturating_add(1)));
        let span = match after {
            Some((_, last)) if newest_first => Span {
                from,
                to: to.min(Position::start_of(Timestamp(last.timestamp.millis().saturating_add(1)))),
            },
            Some((_, last)) => Span { from: from.max(Position::start_of(last.timestamp)), to },
            None => Span { from, to },
        };
        let prefix = log_stream_name_prefix.as_deref().unwrap_or_default();
        let streams = streams(context, &group, log_stream_names, prefix, span).await?;
        // What is read ahead is in memory: few calls may do so at once.
        let _turn = context.store().logs_out().await;
        let mut merge = Merge::new(context.store().readers(), streams, span, after, newest_first);

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
                break last.map(|(stream, position)| token::after_event(stream, position, newest_first));
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

/// Several streams, merged: from the oldest event to the newest, or the other way round. A stream is not read before the
/// merge reaches its time.
struct Merge<'a> {
    readers: &'a SqlitePool,
    newest_first: bool,
    /// How much of a stream is read ahead.
    page: Page,
    sources: BTreeMap<StreamId, Source>,
    /// Where each stream's next event is, or, of one that is not read yet, the first place where it can be.
    heads: BTreeSet<Place>,
}

struct Source {
    name: String,
    /// What is not read yet.
    span: Span,
    /// In the stream's order.
    read: VecDeque<Stored>,
}

impl<'a> Merge<'a> {
    /// The events of `streams` within `span`, only those after the event `after`.
    fn new(
        readers: &'a SqlitePool,
        streams: Vec<Stream>,
        span: Span,
        after: Option<(StreamId, Position)>,
        newest_first: bool,
    ) -> Self {
        let bytes = READ_AHEAD.min(READ_AHEAD_IN_ALL / streams.len().max(1));
        let page = Page { newest: newest_first, events: 1_000, bytes };
        let mut merge =
            Self { readers, newest_first, page, sources: BTreeMap::new(), heads: BTreeSet::new() };
        for stream in streams {
            let (Some(first), Some(last)) = (stream.first_event_at, stream.last_event_at) else { continue };
            let behind = after.map_or(span, |after| behind(stream.id, after, span, newest_first));
            let span = Span {
                from: behind.from.max(Position::start_of(first)),
                to: behind.to.min(Position::start_of(Timestamp(last.millis().saturating_add(1)))),
            };
            merge.heads.insert(place(stream.id, if newest_first { span.to } else { span.from }));
            merge.sources.insert(stream.id, Source { name: stream.name, span, read: VecDeque::new() });
        }
        merge
    }

    fn name(&self, stream: StreamId) -> &str {
        self.sources.get(&stream).map_or("", |source| &source.name)
    }

    async fn next(&mut self) -> Result<Option<(StreamId, Stored)>, store::Error> {
        while let Some((.., stream, _)) =
            if self.newest_first { self.heads.pop_last() } else { self.heads.pop_first() }
        {
            let Some(source) = self.sources.get_mut(&stream) else { continue };
            let event = if self.newest_first { source.read.pop_back() } else { source.read.pop_front() };
            let Some(event) = event else {
                let read = logs::page(self.readers, stream, source.span, self.page).await?;
                if let (Some(first), Some(last)) = (read.first(), read.last()) {
                    let head = if self.newest_first {
                        source.span.to = first.position;
                        last.position
                    } else {
                        source.span.from = last.position.next();
                        first.position
                    };
                    self.heads.insert(place(stream, head));
                    source.read = read.into();
                }
                continue;
            };
            let next = if self.newest_first {
                source.read.back().map_or(source.span.to, |event| event.position)
            } else {
                source.read.front().map_or(source.span.from, |event| event.position)
            };
            self.heads.insert(place(stream, next));
            return Ok(Some((stream, event)));
        }
        Ok(None)
    }
}

/// The part of `span` that is after the event `after` in one stream, in the order across streams.
fn behind(
    stream: StreamId,
    (after_stream, after): (StreamId, Position),
    span: Span,
    newest_first: bool,
) -> Span {
    let (this_time, next_time) = (
        Position::start_of(after.timestamp),
        Position::start_of(Timestamp(after.timestamp.millis().saturating_add(1))),
    );
    // Of the same time, the events of streams with a smaller id come first.
    match (stream.cmp(&after_stream), newest_first) {
        (Ordering::Less, false) => Span { from: span.from.max(next_time), ..span },
        (Ordering::Equal, false) => Span { from: span.from.max(after.next()), ..span },
        (Ordering::Greater, false) => Span { from: span.from.max(this_time), ..span },
        (Ordering::Less, true) => Span { to: span.to.min(next_time), ..span },
        (Ordering::Equal, true) => Span { to: span.to.min(after), ..span },
        (Ordering::Greater, true) => Span { to: span.to.min(this_time), ..span },
    }
}
