//! A request's form: `Filter.1.Value.2=x` is a path in a tree, and the tree is read as the input's type.
//!
//! The elements of a list have numbers below the list's name, in AWS's query below `member` too. Numbers and booleans are
//! text.

use std::fmt::Display;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};

use crate::api::error::{Error, common};

/// The largest number of parts of a name. The model's deepest has four, and AWS's query puts `member` between them.
const DEEPEST: usize = 6;

/// The largest number of parameters: a request names up to 1,000 ids, a few members and filters. Each part of a name takes
/// some hundred bytes in memory.
const MOST_PARAMETERS: usize = 1_200;

/// The content of a form at a path.
#[derive(Debug)]
struct Node {
    /// The path.
    name: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Leaf(String),
    /// Sorted by name. Most branches have one entry, for which a map would take ten times the memory.
    Branch(Vec<(String, Node)>),
}

/// The value of one parameter.
pub(super) fn value(body: &[u8], wanted: &str) -> Option<String> {
    form_urlencoded::parse(body).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
}

pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let mut root = Node { name: String::new(), content: Content::Branch(Vec::new()) };
    for (at, (name, value)) in form_urlencoded::parse(body).enumerate() {
        if at >= MOST_PARAMETERS {
            let message = format!("The request has more than {MOST_PARAMETERS} parameters");
            return Err(Error::new(common::MALFORMED_QUERY_STRING, message));
        }
        if !matches!(&*name, "Action" | "Version") {
            plant(&mut root, &name, value.into_owned()).ok_or_else(|| malformed(&name))?;
        }
    }
    T::deserialize(root).map_err(|Misfit(error)| error)
}

fn malformed(name: &str) -> Error {
    let name: String = name.chars().take(80).collect();
    let message = format!("The parameter {name} is both a value and a structure, or too deep");
    Error::new(common::MALFORMED_QUERY_STRING, message)
}

/// Inserts a value at the path `name`; `None` if that is taken or too deep.
fn plant(root: &mut Node, name: &str, value: String) -> Option<()> {
    let mut at = root;
    for (depth, part) in name.split('.').enumerate() {
        let Content::Branch(below) = &mut at.content else { return None };
        if depth == DEEPEST {
            return None;
        }
        let position =
            below.binary_search_by(|(name, _)| name.as_str().cmp(part)).unwrap_or_else(|position| {
                let name = name.split('.').take(depth + 1).collect::<Vec<_>>().join(".");
                if below.is_empty() {
                    below.reserve_exact(1);
                }
                below
                    .insert(position, (part.to_owned(), Node { name, content: Content::Branch(Vec::new()) }));
                position
            });
        at = &mut below.get_mut(position)?.1;
    }
    match &at.content {
        Content::Branch(below) if below.is_empty() => {
            at.content = Content::Leaf(value);
            Some(())
        }
        _ => None,
    }
}

impl Node {
    fn text(self) -> Result<String, Misfit> {
        match self.content {
            Content::Leaf(text) => Ok(text),
            Content::Branch(_) => {
                Err(Misfit::invalid(format!("Unexpected structure for parameter {}", self.name)))
            }
        }
    }

    /// A number or a boolean.
    fn parse<T: std::str::FromStr>(self, expected: &str) -> Result<T, Misfit> {
        let name = self.name.clone();
        let text = self.text()?;
        text.parse().map_err(|_| {
            Misfit::invalid(format!("Value ({text}) for parameter {name} is invalid. Expected {expected}."))
        })
    }

    /// The elements of a list by their numbers.
    fn elements(self) -> Result<Vec<Self>, Misfit> {
        let mut below = match self.content {
            // The form of an empty list in AWS's query.
            Content::Leaf(text) if text.is_empty() => return Ok(Vec::new()),
            Content::Leaf(_) => {
                return Err(Misfit::invalid(format!("Expected a list for parameter {}", self.name)));
            }
            Content::Branch(below) => below,
        };
        if let [(name, Node { content: Content::Branch(_), .. })] = &below[..]
            && name == "member"
            && let Some((_, Node { content: Content::Branch(members), .. })) = below.pop()
        {
            below = members;
        }
        let mut elements = Vec::new();
        for (number, node) in below {
            match number.parse::<u32>() {
                Ok(number) => elements.push((number, node)),
                Err(_) => return Err(Misfit::unknown(&node.name)),
            }
        }
        elements.sort_by_key(|(number, _)| *number);
        Ok(elements.into_iter().map(|(_, node)| node).collect())
    }
}

/// A form that does not fit the input.
#[derive(Debug)]
struct Misfit(Error);

impl Misfit {
    fn invalid(message: String) -> Self {
        Self(Error::new(common::INVALID_PARAMETER_VALUE, message))
    }

    fn unknown(name: &str) -> Self {
        Self(Error::new(common::UNKNOWN_PARAMETER, format!("The parameter {name} is not recognized")))
    }
}

impl Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: Display>(message: T) -> Self {
        Self::invalid(message.to_string())
    }
}

impl IntoDeserializer<'_, Misfit> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Node {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_i32(self.parse("an integer")?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_i64(self.parse("an integer")?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_f64(self.parse("a number")?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_bool(self.parse("true or false")?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_seq(SeqDeserializer::new(self.elements()?.into_iter()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let Content::Branch(below) = self.content else {
            return Err(Misfit::invalid(format!("Expected a structure for parameter {}", self.name)));
        };
        if let Some((_, unknown)) = below.iter().find(|(name, _)| !fields.contains(&name.as_str())) {
            return Err(Misfit::unknown(&unknown.name));
        }
        visitor.visit_map(MapDeserializer::new(below.into_iter()))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 u8 u16 u32 u64 f32 char str string bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct map
        enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::ec2::DescribeSubnetsRequest;

    fn read(form: &str) -> Result<DescribeSubnetsRequest, String> {
        decode(form.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_structures_and_scalars_are_read_by_their_names() {
        let form = "Action=DescribeSubnets&Version=2016-11-15&SubnetId.2=b&SubnetId.10=c&SubnetId.1=a&DryRun=false\
                    &MaxResults=7&Filter.1.Name=vpc-id&Filter.1.Value.1=v%20w&Filter.1.Value.2=%2A&Filter.2.Name=state";
        let read = read(form).unwrap();
        assert_eq!(read.subnet_ids.unwrap(), ["a", "b", "c"]);
        assert_eq!((read.dry_run, read.max_results, read.next_token), (Some(false), Some(7), None));
        let filters = read.filters.unwrap();
        assert_eq!(filters[0].name.as_deref(), Some("vpc-id"));
        assert_eq!(filters[0].values.as_deref().unwrap(), ["v w", "*"]);
        assert_eq!((filters[1].name.as_deref(), &filters[1].values), (Some("state"), &None));
    }

    #[test]
    fn in_awss_query_a_list_is_below_member_and_an_empty_list_is_empty_text() {
        assert_eq!(read("SubnetId.member.1=a").unwrap().subnet_ids.unwrap(), ["a"]);
        assert_eq!(read("SubnetId=").unwrap().subnet_ids.unwrap(), [""; 0]);
    }

    #[test]
    fn an_error_names_the_parameter_that_does_not_fit() {
        let deep = vec!["a"; 100_000].join(".");
        for (form, expected) in [
            ("Colour=x", "UnknownParameter: The parameter Colour is not recognized"),
            ("Filter.1.Colour=x", "UnknownParameter: The parameter Filter.1.Colour is not recognized"),
            ("Filter.x.Name=x", "UnknownParameter: The parameter Filter.x is not recognized"),
            (
                "MaxResults=many",
                "InvalidParameterValue: Value (many) for parameter MaxResults is invalid. Expected an integer.",
            ),
            (
                "DryRun=1",
                "InvalidParameterValue: Value (1) for parameter DryRun is invalid. Expected true or false.",
            ),
            ("NextToken.1=x", "InvalidParameterValue: Unexpected structure for parameter NextToken"),
            ("SubnetId=x", "InvalidParameterValue: Expected a list for parameter SubnetId"),
            ("Filter.1=x", "InvalidParameterValue: Expected a structure for parameter Filter.1"),
            ("SubnetId.1=x&SubnetId.1.2=y", "MalformedQueryString: The parameter SubnetId.1.2"),
            (&deep, "MalformedQueryString: "),
        ] {
            let error = read(form).unwrap_err();
            assert!(error.starts_with(expected), "{error}\nis not {expected}");
        }
    }
}
