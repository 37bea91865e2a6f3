//! Tags of the wire and of the engine: both are a key and a value.

use crate::api::model::ecs::Tag;
use crate::engine::task;

impl From<Tag> for task::Tag {
    fn from(tag: Tag) -> Self {
        Self { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() }
    }
}

impl From<task::Tag> for Tag {
    fn from(tag: task::Tag) -> Self {
        Self { key: Some(tag.key), value: Some(tag.value) }
    }
}
