//! `Filter.N`: a resource is kept if each filter has a value that matches. Values may have wildcards.
//!
//! Source: EC2 API reference, "List and filter using the CLI and API": filters are joined by AND, values by OR;
//! `*` is any text, `?` any one letter, a backslash takes a wildcard's meaning away; case counts.

use super::error;
use crate::api::Error;
use crate::api::model::ec2::Filter;

/// The values that a resource has under one of these names.
pub(super) type Field<T> = (&'static [&'static str], fn(&T) -> Vec<String>);

/// Keeps what every filter matches.
///
/// # Errors
/// A filter that the operation does not have.
pub(super) fn keep<T>(resources: &mut Vec<T>, filters: &[Filter], fields: &[Field<T>]) -> Result<(), Error> {
    for filter in filters {
        let name = filter.name.as_deref().unwrap_or("null");
        let values = filter.values.as_deref().unwrap_or_default();
        if values.is_empty() {
            let message = format!("The filter '{name}' has no value");
            return Err(Error::new(error::INVALID_PARAMETER_VALUE, message));
        }
        // Nothing here has a tag.
        if name == "tag-key" || name.strip_prefix("tag:").is_some_and(|key| !key.is_empty()) {
            resources.clear();
            continue;
        }
        let Some((_, read)) = fields.iter().find(|(names, _)| names.contains(&name)) else {
            return Err(Error::new(
                error::INVALID_PARAMETER_VALUE,
                format!("The filter '{name}' is invalid"),
            ));
        };
        resources.retain(|resource| {
            read(resource).iter().any(|have| values.iter().any(|pattern| fits(pattern, have)))
        });
    }
    Ok(())
}

/// A member as a filter's values.
pub(super) fn one(member: Option<&impl ToString>) -> Vec<String> {
    member.map(ToString::to_string).into_iter().collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Any,
    One,
    Letter(char),
}

fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        pieces.push(match letter {
            '*' => Piece::Any,
            '?' => Piece::One,
            '\\' => Piece::Letter(letters.next().unwrap_or('\\')),
            other => Piece::Letter(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    // Back to the last `*`, which takes one letter more: each pair of places is visited once.
    let (mut at, mut piece, mut star) = (0, 0, None);
    while at < text.len() {
        match pieces.get(piece) {
            Some(Piece::Any) => {
                star = Some((piece, at));
                piece += 1;
            }
            Some(Piece::One) => (at, piece) = (at + 1, piece + 1),
            Some(Piece::Letter(letter)) if *letter == text[at] => (at, piece) = (at + 1, piece + 1),
            _ => {
                let Some((back, from)) = star else { return false };
                star = Some((back, from + 1));
                (at, piece) = (from + 1, back + 1);
            }
        }
    }
    pieces[piece..].iter().all(|piece| *piece == Piece::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_awss() {
        for (pattern, text, expected) in [
            ("vpc-1", "vpc-1", true),
            ("vpc-1", "VPC-1", false),
            ("*", "", true),
            ("?", "", false),
            ("vpc-*", "vpc-123", true),
            ("*-1*3", "vpc-123", true),
            ("*2", "vpc-123", false),
            ("vpc-?2?", "vpc-123", true),
            ("vpc-??", "vpc-123", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("**a**", "bab", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
        // No pattern takes longer than its length times the text's.
        assert!(!fits(&"*a".repeat(2_000), &format!("{}b", "a".repeat(2_000))));
    }

    #[test]
    fn filters_are_joined_by_and_and_their_values_by_or() {
        let fields: &[Field<&str>] = &[
            (&["name", "alias"], |name| vec![(*name).to_owned()]),
            (&["length"], |name| one(Some(&name.len()))),
        ];
        let filter = |name: &str, values: &[&str]| Filter {
            name: Some(name.to_owned()),
            values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
        };
        let kept = |filters: &[Filter]| {
            let mut names = vec!["a", "bb", "cc"];
            keep(&mut names, filters, fields).map(|()| names).map_err(|error| error.to_string())
        };
        assert_eq!(kept(&[]).unwrap(), ["a", "bb", "cc"]);
        assert_eq!(kept(&[filter("name", &["a", "b*"])]).unwrap(), ["a", "bb"]);
        assert_eq!(kept(&[filter("alias", &["a", "b*"]), filter("length", &["2"])]).unwrap(), ["bb"]);
        assert_eq!(kept(&[filter("tag:Name", &["*"])]).unwrap(), [""; 0]);
        assert_eq!(
            kept(&[filter("colour", &["x"])]).unwrap_err(),
            "InvalidParameterValue: The filter 'colour' is invalid"
        );
        assert!(kept(&[filter("name", &[])]).is_err());
    }
}
