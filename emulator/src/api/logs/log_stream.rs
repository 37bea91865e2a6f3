//! Log streams: CreateLogStream, DeleteLogStream, DescribeLogStreams.

use super::{error, group_name, token};
use crate::api::model::logs::{
    CreateLogStreamRequest, DeleteLogStreamRequest, DescribeLogStreamsRequest, DescribeLogStreamsResponse,
    LogStream, OrderBy,
};
use crate::api::{Context, Error, Operation, Rule};
use crate::clock::Timestamp;
use crate::store::logs::{self, Created, Stream, StreamFilter, StreamId, StreamOrder};

/// Log streams that a page shows at most, and unless asked for fewer.
const PAGE: u32 = 50;

pub(super) struct CreateLogStream;

impl Operation for CreateLogStream {
    const NAME: &'static str = "CreateLogStream";
    type Input = CreateLogStreamRequest;
    type Output = ();

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        let CreateLogStreamRequest { log_group_name, log_stream_name } = input;
        let (account, region) = (context.account().to_owned(), context.region.clone());
        let (group, name) = (log_group_name.unwrap_or_default(), log_stream_name.unwrap_or_default());
        let now = context.clock().now();
        let created = context
            .store()
            .write(move |connection| {
                Box::pin(async move {
                    logs::create_stream(connection, &account, &region, &group, &name, now).await
                })
            })
            .await?;
        match created {
            Created::Stream(_) => Ok(()),
            Created::Exists(_) => Err(error::stream_exists()),
            Created::GroupMissing => Err(error::group_missing()),
        }
    }
}

pub(super) struct DeleteLogStream;

impl Operation for DeleteLogStream {
    const NAME: &'static str = "DeleteLogStream";
    type Input = DeleteLogStreamRequest;
    type Output = ();

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        let DeleteLogStreamRequest { log_group_name, log_stream_name } = input;
        let group = group_name::find(context, &log_group_name.unwrap_or_default()).await?;
        let name = log_stream_name.unwrap_or_default();
        let stream = logs::stream(context.store().readers(), group.id, &name)
            .await?
            .ok_or_else(error::stream_missing)?;
        context
            .store()
            .write(move |connection| {
                Box::pin(async move { logs::delete_stream(connection, stream.id).await })
            })
            .await?;
        context.store().purge();
        Ok(())
    }
}

pub(super) struct DescribeLogStreams;

impl Operation for DescribeLogStreams {
    const NAME: &'static str = "DescribeLogStreams";
    type Input = DescribeLogStreamsRequest;
    type Output = DescribeLogStreamsResponse;

    const RULES: &'static [Rule<Self::Input>] = &[
        Rule {
            source: "DescribeLogStreams: \"You must include either logGroupIdentifier or logGroupName, but not both\"",
            broken: |input| {
                group_name::either_broken(
                    input.log_group_name.as_deref(),
                    input.log_group_identifier.as_deref(),
                )
            },
        },
        Rule {
            source: "DescribeLogStreams: \"If you order the results by event time, you cannot specify the \
                     logStreamNamePrefix parameter\"",
            broken: |input| {
                (input.order_by == Some(OrderBy::LastEventTime) && input.log_stream_name_prefix.is_some())
                    .then(|| {
                        Error::invalid_parameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
                    })
            },
        },
    ];

    async fn handle(context: &Context, input: Self::Input) -> Result<Self::Output, Error> {
        let DescribeLogStreamsRequest {
            descending,
            limit,
            log_group_identifier,
            log_group_name,
            log_stream_name_prefix,
            next_token,
            order_by,
        } = input;
        let group_name = group_name::of_either(context, log_group_name, log_group_identifier)?;
        let group = group_name::find(context, &group_name).await?;
        let descending = descending.unwrap_or_default();
        let (order, order_name) = match (order_by, descending) {
            (Some(OrderBy::LastEventTime), false) => (StreamOrder::LastEvent, "event"),
            (Some(OrderBy::LastEventTime), true) => (StreamOrder::LastEvent, "event-descending"),
            (_, false) => (StreamOrder::Name, "name"),
            (_, true) => (StreamOrder::Name, "name-descending"),
        };
        let after = next_token
            .as_deref()
            .map(|token| token::stream_of(token, order_name).ok_or_else(error::token_invalid))
            .transpose()?;
        let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(PAGE);
        let filter = StreamFilter {
            group: group.id,
            prefix: log_stream_name_prefix.as_deref().unwrap_or_default(),
            order,
            descending,
            after,
            limit: limit + 1,
        };
        let mut streams = logs::streams(context.store().readers(), filter).await?;
        let more = streams.len() > limit as usize;
        streams.truncate(limit as usize);
        let next_token = streams
            .last()
            .filter(|_| more)
            .map(|stream| token::after_stream(order_name, stream.last_event_at, &stream.name));
        let arn = group_name::arn(context, &group_name);
        let log_streams = streams.into_iter().map(|stream| describe(&arn, stream)).collect();
        Ok(DescribeLogStreamsResponse { log_streams: Some(log_streams), next_token })
    }
}

fn describe(group_arn: &str, stream: Stream) -> LogStream {
    let Stream { id, name, created_at, first_event_at, last_event_at, last_ingestion_at } = stream;
    LogStream {
        arn: Some(format!("{group_arn}:log-stream:{name}")),
        creation_time: Some(created_at.millis()),
        first_event_timestamp: first_event_at.map(Timestamp::millis),
        last_event_timestamp: last_event_at.map(Timestamp::millis),
        last_ingestion_time: last_ingestion_at.map(Timestamp::millis),
        log_stream_name: Some(name),
        // "As of June 17, 2019, this parameter is no longer supported for log streams, and is always reported as
        // zero."
        stored_bytes: Some(0),
        upload_sequence_token: last_ingestion_at.map(|at| sequence_token(id, at)),
    }
}

/// What AWS still returns as a stream's next sequence token, though nothing needs it any more: 56 digits.
pub(super) fn sequence_token(stream: StreamId, ingested_at: Timestamp) -> String {
    format!("49{:022}{:032}", stream.0, ingested_at.millis())
}
