//! A body: what its owner keeps in a row beside the columns, as JSON with the version of its shape.
//!
//! An owner raises the version when a change of shape would misread older bodies, continues to read the older ones,
//! and adds a migration (an empty one is enough), so that an older release refuses the whole database at its start.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::FromRow;

use super::Error;

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Body {
    /// 1 is the shape before bodies had versions.
    #[sqlx(rename = "body_version")]
    pub version: u32,
    #[sqlx(rename = "body")]
    pub json: String,
}

impl Body {
    /// The body of `value`, which must be plain data with string keys: JSON can represent all of it.
    pub fn new(version: u32, value: &impl Serialize) -> Self {
        Self { version, json: serde_json::to_string(value).unwrap_or_default() }
    }

    /// Reads the JSON back; `what` names the row in the error ("a task").
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the JSON has another shape.
    pub fn parse<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, Error> {
        serde_json::from_str(&self.json).map_err(Error::corrupt(what))
    }

    /// The error for a version above `known`, the highest that the owner reads.
    pub fn newer(&self, what: &'static str, known: u32) -> Error {
        Error::NewerBody { what, version: self.version, known }
    }
}
