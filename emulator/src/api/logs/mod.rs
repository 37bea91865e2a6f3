//! Amazon CloudWatch Logs: one file per operation, or per resource with its small operations.

mod error;
mod filter_log_events;
mod get_log_events;
mod group_name;
mod log_group;
mod log_stream;
mod pattern;
mod put_log_events;
mod retention;
mod tag;
mod token;

use super::model::logs::{OPERATIONS, TARGET_PREFIX, error as codes};
use super::protocol::aws_json::AwsJson;
use super::service::Service;

pub(super) fn service() -> Service<AwsJson> {
    Service::new(
        "logs",
        AwsJson { target_prefix: TARGET_PREFIX },
        OPERATIONS,
        [codes::INVALID_PARAMETER, codes::SERVICE_UNAVAILABLE],
    )
    .with::<log_group::CreateLogGroup>()
    .with::<log_group::DeleteLogGroup>()
    .with::<log_group::DescribeLogGroups>()
    .with::<log_group::PutLogGroupDeletionProtection>()
    .with::<log_stream::CreateLogStream>()
    .with::<log_stream::DeleteLogStream>()
    .with::<log_stream::DescribeLogStreams>()
    .with::<put_log_events::PutLogEvents>()
    .with::<get_log_events::GetLogEvents>()
    .with::<filter_log_events::FilterLogEvents>()
    .with::<retention::PutRetentionPolicy>()
    .with::<retention::DeleteRetentionPolicy>()
    .with::<tag::TagResource>()
    .with::<tag::UntagResource>()
    .with::<tag::ListTagsForResource>()
    .with::<tag::TagLogGroup>()
    .with::<tag::UntagLogGroup>()
    .with::<tag::ListTagsLogGroup>()
}
