//! Limits the memory of a decoded request to a multiple of its size. `{}` is two bytes of JSON and becomes a structure of a
//! kilobyte, so a body of such elements would take hundreds of times its size in memory before any rule counts them.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor,
};

/// Bytes that the elements of lists may take in memory per byte of the request. A log event takes less than 2, an
/// environment variable 2.
const RATIO: usize = 8;

/// Bytes that they may always take, so that a short request is never refused.
const FREE: usize = 256 << 10;

/// Reads a value of a request of `length` bytes.
pub(super) fn decode<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    length: usize,
) -> Result<T, D::Error> {
    let left = Cell::new(length.saturating_mul(RATIO).saturating_add(FREE));
    T::deserialize(Bounded { inner: deserializer, left: &left })
}

/// Forwards all calls, and subtracts the size of each list element from the bytes that are left.
struct Bounded<'b, I> {
    inner: I,
    left: &'b Cell<usize>,
}

impl<'b, I> Bounded<'b, I> {
    fn around<J>(&self, inner: J) -> Bounded<'b, J> {
        Bounded { inner, left: self.left }
    }
}

/// A visitor of a structure: unlike serde's own it does not accept a list of the members.
struct Structure<V>(V);

macro_rules! forward {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )* };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.around(visitor);
        self.inner.deserialize_option(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.around(visitor);
        self.inner.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.around(visitor);
        self.inner.deserialize_map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = Structure(self.around(visitor));
        self.inner.deserialize_struct(name, fields, visitor)
    }

    forward! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit
        deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_tuple(length, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_tuple_struct(name, length, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_enum(name, variants, visitor)
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.around(deserializer);
        self.inner.visit_some(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        let elements = self.around(elements);
        self.inner.visit_seq(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let entries = self.around(entries);
        self.inner.visit_map(entries)
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Structure<Bounded<'_, V>> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        Err(A::Error::invalid_type(Unexpected::Seq, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(members)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.around(seed);
        let element = self.inner.next_element_seed(seed)?;
        if element.is_some() {
            let left = self.left.get().checked_sub(size_of::<S::Value>());
            self.left.set(left.ok_or_else(|| A::Error::custom("The request has too many list elements"))?);
        }
        Ok(element)
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.around(seed);
        self.inner.next_value_seed(seed)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.around(deserializer);
        self.inner.deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::{ecs, logs};

    fn read<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, String> {
        let mut json = serde_json::Deserializer::from_str(body);
        decode(&mut json, body.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_of_empty_structures_is_refused_before_it_takes_many_times_its_size() {
        let list = |element: &str, count: usize| vec![element; count].join(",");
        // 3 bytes on the wire, more than 500 in memory.
        let containers = format!(r#"{{"containerDefinitions": [{}]}}"#, list("{}", 80_000));
        let refused = read::<ecs::RegisterTaskDefinitionRequest>(&containers).unwrap_err();
        assert!(refused.starts_with("The request has too many list elements"), "{refused}");
        // The same in the lists of many containers, each of which is short.
        let dependencies = format!(r#"{{"dependsOn": [{}]}}"#, list("{}", 100));
        let nested = format!(r#"{{"containerDefinitions": [{}]}}"#, list(&dependencies, 1_000));
        assert!(read::<ecs::RegisterTaskDefinitionRequest>(&nested).is_err());
    }

    #[test]
    fn a_request_within_awss_limits_is_never_refused() {
        let variable = r#"{"name":"A","value":"b"}"#;
        let container = format!(r#"{{"environment":[{}]}}"#, vec![variable; 250].join(","));
        let containers = format!(r#"{{"containerDefinitions":[{}]}}"#, [container.as_str(); 10].join(","));
        assert!(read::<ecs::RegisterTaskDefinitionRequest>(&containers).is_ok());
        let events = vec![r#"{"timestamp":1,"message":"m"}"#; 10_001].join(",");
        assert!(read::<logs::PutLogEventsRequest>(&format!(r#"{{"logEvents":[{events}]}}"#)).is_ok());
    }
}
