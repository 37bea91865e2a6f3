//! Amazon ECS: one file an operation's resource.

use super::model::ecs::{OPERATIONS, TARGET_PREFIX};
use super::operation::Service;

pub(super) fn service() -> Service {
    Service::new("ecs", TARGET_PREFIX, OPERATIONS, ["InvalidParameterException", "ServerException"])
}
