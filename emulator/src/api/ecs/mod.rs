//! Amazon ECS: one folder per resource, one file per operation.

mod cluster;
mod page;
mod reference;
mod tag;
mod task;
mod task_definition;

use super::model::ecs::{OPERATIONS, TARGET_PREFIX, error};
use super::protocol::aws_json::AwsJson;
use super::service::Service;

pub(super) fn service() -> Service<AwsJson> {
    Service::new(
        "ecs",
        AwsJson { target_prefix: TARGET_PREFIX },
        OPERATIONS,
        [error::INVALID_PARAMETER, error::SERVER],
    )
    .with::<cluster::Create>()
    .with::<cluster::Delete>()
    .with::<cluster::Describe>()
    .with::<cluster::List>()
    .with::<tag::List>()
    .with::<tag::Tag>()
    .with::<tag::Untag>()
    .with::<task::Describe>()
    .with::<task::List>()
    .with::<task::Run>()
    .with::<task::Stop>()
    .with::<task_definition::Delete>()
    .with::<task_definition::Deregister>()
    .with::<task_definition::Describe>()
    .with::<task_definition::List>()
    .with::<task_definition::ListFamilies>()
    .with::<task_definition::Register>()
}
