//! An input whose members are in several places: those outside of the body come first, then the body's own.

use std::fmt;

use http::request::Parts;
use serde::de::value::SeqDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::route::labels;
use crate::api::error::{Error, common};
use crate::api::shape::{Location, Route};

/// A member and its value in a request: more than one text if a parameter is repeated.
#[derive(Debug)]
pub(super) struct Value {
    name: &'static str,
    texts: Vec<String>,
}

/// The members that are outside of the body.
pub(super) fn values(route: &Route, parts: &Parts) -> Result<Vec<Value>, Error> {
    let labels = labels(route.uri, parts.uri.path()).unwrap_or_default();
    let query: Vec<_> = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).collect();
    let mut values = Vec::new();
    for member in route.input {
        let texts: Vec<String> = match member.location {
            Location::Path(label) => {
                labels.iter().filter(|(name, _)| *name == label).map(|(_, value)| value.clone()).collect()
            }
            Location::Query(name) => {
                query.iter().filter(|(found, _)| found == name).map(|(_, value)| value.to_string()).collect()
            }
            Location::Header(name) => {
                let found = parts.headers.get_all(name).iter().map(|value| value.to_str().map(str::to_owned));
                let unreadable =
                    |_| Error::new(common::SERIALIZATION, format!("The header {name} is not ASCII."));
                found.collect::<Result<_, _>>().map_err(unreadable)?
            }
            // A model has it only in outputs.
            Location::Status => Vec::new(),
        };
        if !texts.is_empty() {
            values.push(Value { name: member.name, texts });
        }
    }
    Ok(values)
}

/// The whole input.
pub(super) struct Input<D> {
    pub(super) values: Vec<Value>,
    pub(super) body: D,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Input<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.body.deserialize_map(Members { values: self.values, visitor })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.body.deserialize_struct(name, fields, Members { values: self.values, visitor })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Visits the members outside of the body first, then the body's.
struct Members<V> {
    values: Vec<Value>,
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Members<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, body: A) -> Result<V::Value, A::Error> {
        let names = self.values.iter().map(|value| value.name).collect();
        self.visitor.visit_map(Chained { names, values: self.values.into_iter(), next: None, body })
    }
}

struct Chained<A> {
    /// A member that is bound elsewhere is not read from the body.
    names: Vec<&'static str>,
    values: std::vec::IntoIter<Value>,
    next: Option<Vec<String>>,
    body: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Chained<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        if let Some(Value { name, texts }) = self.values.next() {
            self.next = Some(texts);
            return seed.deserialize(name.into_deserializer()).map(Some);
        }
        while let Some(name) = self.body.next_key::<String>()? {
            if !self.names.contains(&name.as_str()) {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
            self.body.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        match self.next.take() {
            Some(texts) => seed.deserialize(Texts { texts, error: std::marker::PhantomData }),
            None => self.body.next_value_seed(seed),
        }
    }
}

/// Texts that are read as the member's type: a list takes all, a scalar the first.
struct Texts<E> {
    texts: Vec<String>,
    error: std::marker::PhantomData<E>,
}

impl<E: serde::de::Error> Texts<E> {
    fn text(self) -> String {
        self.texts.into_iter().next().unwrap_or_default()
    }

    fn parse<T: std::str::FromStr>(self, expected: &str) -> Result<T, E> {
        let text = self.text();
        text.parse().map_err(|_| E::custom(format_args!("'{text}' can not be converted to {expected}")))
    }
}

impl<'de, E: serde::de::Error> IntoDeserializer<'de, E> for Texts<E> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de, E: serde::de::Error> Deserializer<'de> for Texts<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_string(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_bool(self.parse("a Boolean")?)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_i32(self.parse("an Integer")?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_i64(self.parse("a Long")?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_f64(self.parse("a Double")?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_seq(SeqDeserializer::new(self.texts.into_iter()))
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 char str string bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
