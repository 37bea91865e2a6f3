//! Amazon CloudWatch Logs: one file an operation's resource.

use super::model::logs::{OPERATIONS, TARGET_PREFIX};
use super::operation::Service;

pub(super) fn service() -> Service {
    Service::new(
        "logs",
        TARGET_PREFIX,
        OPERATIONS,
        ["InvalidParameterException", "ServiceUnavailableException"],
    )
}
