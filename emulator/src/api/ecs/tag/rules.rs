//! What a set of tags must be, beyond the model's lengths and patterns.

use crate::api::Error;
use crate::api::model::ecs::Tag;

/// Tags per resource at most (API reference, Tag).
const MOST: usize = 50;

/// The error for tags that no resource may have.
///
/// Source: API reference, Tag: up to 50, keys unique, no `aws:` in front of key or value.
pub(in crate::api::ecs) fn broken(tags: Option<&[Tag]>) -> Option<Error> {
    let tags = tags?;
    if tags.len() > MOST {
        return Some(too_many());
    }
    let mut keys: Vec<String> = Vec::new();
    for tag in tags {
        let Some(key) = tag.key.as_deref().filter(|key| !key.is_empty()) else {
            return Some(Error::invalid_parameter("Tag key can not be blank."));
        };
        if is_reserved(key) || tag.value.as_deref().is_some_and(is_reserved) {
            return Some(reserved());
        }
        let folded = key.to_lowercase();
        if keys.contains(&folded) {
            return Some(duplicate());
        }
        keys.push(folded);
    }
    None
}

/// Whether a key or value is AWS's own.
pub(super) fn is_reserved(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
}

pub(super) fn reserved() -> Error {
    Error::invalid_parameter("Tag keys and values can not begin with 'aws:', which is reserved for AWS use.")
}

pub(super) fn too_many() -> Error {
    Error::invalid_parameter(format!("A resource can have up to {MOST} tags."))
}

pub(super) fn duplicate() -> Error {
    Error::invalid_parameter("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) }
    }

    #[test]
    fn tags_that_no_resource_may_have_are_refused() {
        let many: Vec<Tag> = (0..51).map(|n| tag(&n.to_string(), "")).collect();
        for (tags, message) in [
            (
                vec![tag("a", "1"), tag("A", "2")],
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ),
            (
                vec![tag("aws:x", "")],
                "Tag keys and values can not begin with 'aws:', which is reserved for AWS use.",
            ),
            (
                vec![tag("x", "AWS:y")],
                "Tag keys and values can not begin with 'aws:', which is reserved for AWS use.",
            ),
            (vec![tag("", "")], "Tag key can not be blank."),
            (many, "A resource can have up to 50 tags."),
        ] {
            let error = broken(Some(&tags)).map(|error| error.to_string());
            assert_eq!(error, Some(format!("InvalidParameterException: {message}")));
        }
        assert!(broken(Some(&[tag("a", "1"), tag("b", "")])).is_none());
        assert!(broken(None).is_none());
    }
}
