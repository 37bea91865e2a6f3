//! Changes of a resource's tags. Each is applied to the tags at the time of its write, so that of two concurrent changes
//! neither undoes the other. Pure.

use super::task::Tag;

/// The most tags of one resource; AWS's own tags do not count.
///
/// Source: developer guide, "Tagging your Amazon ECS resources", restrictions.
const MOST: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds tags; a tag of the same key is replaced.
    Set(Vec<Tag>),
    /// Removes the tags of these keys; AWS's own stay.
    Remove(Vec<String>),
}

/// Why a change of tags is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("a resource can have up to {MOST} tags")]
    TooMany,
    /// Keys are compared without regard to case.
    #[error("two tags have the same key")]
    Duplicate,
}

impl Change {
    /// The tags after the change.
    ///
    /// # Errors
    /// Too many tags, or two whose keys differ only in case.
    pub fn apply(&self, tags: &[Tag]) -> Result<Vec<Tag>, Broken> {
        let mut tags = tags.to_vec();
        match self {
            Self::Set(added) => {
                for tag in added {
                    match tags.iter_mut().find(|old| old.key == tag.key) {
                        Some(old) => old.value.clone_from(&tag.value),
                        None => tags.push(tag.clone()),
                    }
                }
                check(&tags)?;
            }
            Self::Remove(keys) => tags.retain(|tag| is_awss(&tag.key) || !keys.contains(&tag.key)),
        }
        Ok(tags)
    }
}

fn check(tags: &[Tag]) -> Result<(), Broken> {
    if tags.iter().filter(|tag| !is_awss(&tag.key)).count() > MOST {
        return Err(Broken::TooMany);
    }
    let mut keys: Vec<String> = tags.iter().map(|tag| tag.key.to_lowercase()).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Broken::Duplicate);
    }
    Ok(())
}

/// Whether only AWS sets tags of this key.
fn is_awss(key: &str) -> bool {
    key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn a_set_replaces_the_tag_of_its_key_and_leaves_the_others() {
        let change = Change::Set(vec![tag("b", "3"), tag("c", "4")]);
        let tags = change.apply(&[tag("a", "1"), tag("b", "2")]);
        assert_eq!(tags, Ok(vec![tag("a", "1"), tag("b", "3"), tag("c", "4")]));
    }

    #[test]
    fn a_remove_leaves_awss_own_tags() {
        let keys = ["a".to_owned(), "aws:ecs:clusterName".to_owned(), "nope".to_owned()];
        let tags =
            Change::Remove(keys.to_vec()).apply(&[tag("a", "1"), tag("aws:ecs:clusterName", "default")]);
        assert_eq!(tags, Ok(vec![tag("aws:ecs:clusterName", "default")]));
    }

    #[test]
    fn fifty_tags_beside_awss_own_fit_and_keys_differ_in_more_than_case() {
        let own: Vec<Tag> = (0..50).map(|n| tag(&n.to_string(), "")).collect();
        let awss = [tag("aws:ecs:clusterName", "default")];
        let tags = Change::Set(own).apply(&awss).expect("fifty fit");
        assert_eq!(Change::Set(vec![tag("x", "")]).apply(&tags), Err(Broken::TooMany));
        assert_eq!(Change::Set(vec![tag("X", "")]).apply(&[tag("x", "")]), Err(Broken::Duplicate));
    }
}
