//! CloudWatch Logs' own errors, in its wording as callers have reported it.

use crate::api::Error;
use crate::api::model::logs::error;

pub(super) fn group_missing() -> Error {
    Error::new(error::RESOURCE_NOT_FOUND, "The specified log group does not exist.")
}

pub(super) fn stream_missing() -> Error {
    Error::new(error::RESOURCE_NOT_FOUND, "The specified log stream does not exist.")
}

pub(super) fn group_exists() -> Error {
    Error::new(error::RESOURCE_ALREADY_EXISTS, "The specified log group already exists")
}

pub(super) fn stream_exists() -> Error {
    Error::new(error::RESOURCE_ALREADY_EXISTS, "The specified log stream already exists")
}

pub(super) fn token_invalid() -> Error {
    Error::invalid_parameter("The specified nextToken is invalid.")
}
