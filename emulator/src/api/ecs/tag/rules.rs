//! What a set of tags must be, beyond the model's lengths and patterns.

use crate::api::Error;
use crate::api::model::ecs::Tag;

/// Tags of one resource at most (API reference, Tag).
const MOST: usize = 50;

/// The error for tags that no resource may have.
///
/// Source: API reference, Tag: up to 50, keys unique, no `aws:` in front of key or value.
pub(in crate::api::ecs) fn broken(tags: Option<&[Tag]>) -> Option<Error> {
    let tags = tags?;
    if tags.len() > MOST {
        return Some(Error::invalid_parameter(format!("A resource can have up to {MOST} tags.")));
    }
    let mut keys: Vec<String> = Vec::new();
    for tag in tags {
        let Some(key) = tag.key.as_deref().filter(|key| !key.is_empty()) else {
            return Some(Error::invalid_parameter("Tag key can not be blank."));
        };
        let reserved = |text: &str| text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
        if reserved(key) || tag.value.as_deref().is_some_and(reserved) {
            let message = "Tag keys and values can not begin with 'aws:', which is reserved for AWS use.";
            return Some(Error::invalid_parameter(message));
        }
        let folded = key.to_lowercase();
        if keys.contains(&folded) {
            let message = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Some(Error::invalid_parameter(message));
        }
        keys.push(folded);
    }
    None
}

/// `tags` with `added` put in, an equal key's value replaced.
pub(super) fn merged(mut tags: Vec<Tag>, added: Vec<Tag>) -> Vec<Tag> {
    for tag in added {
        match tags.iter_mut().find(|old| old.key == tag.key) {
            Some(old) => *old = tag,
            None => tags.push(tag),
        }
    }
    tags
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

    #[test]
    fn an_added_tag_replaces_the_one_of_its_key() {
        let tags = merged(vec![tag("a", "1"), tag("b", "2")], vec![tag("b", "3"), tag("c", "4")]);
        assert_eq!(tags, [tag("a", "1"), tag("b", "3"), tag("c", "4")]);
    }
}
