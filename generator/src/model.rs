//! A service model as botocore keeps it (`service-2.json`): the parts that the wire types need.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    pub(crate) metadata: Metadata,
    pub(crate) operations: BTreeMap<String, Operation>,
    pub(crate) shapes: BTreeMap<String, Shape>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) service_full_name: String,
    pub(crate) target_prefix: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Operation {
    pub(crate) input: Reference,
    pub(crate) output: Option<Reference>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reference {
    pub(crate) shape: String,
}

/// A shape. botocore keeps a member list as an object; its order is of no meaning on the wire.
#[derive(Debug, Deserialize)]
pub(crate) struct Shape {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) documentation: String,

    #[serde(default)]
    pub(crate) members: BTreeMap<String, Reference>,
    #[serde(default)]
    pub(crate) required: Vec<String>,
    /// An open structure: any JSON.
    #[serde(default)]
    pub(crate) document: bool,

    /// Of a list.
    pub(crate) member: Option<Reference>,
    /// Of a map.
    pub(crate) key: Option<Reference>,
    pub(crate) value: Option<Reference>,

    #[serde(rename = "enum", default)]
    pub(crate) values: Vec<String>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) pattern: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    Structure,
    List,
    Map,
    String,
    Integer,
    Long,
    Double,
    Boolean,
    Timestamp,
    Blob,
}

impl Model {
    /// The shape of that name. A model that refers to a shape which it does not have is no model.
    pub(crate) fn shape(&self, name: &str) -> anyhow::Result<&Shape> {
        self.shapes.get(name).ok_or_else(|| anyhow::anyhow!("the model has no shape {name}"))
    }
}

impl Shape {
    /// The shapes that this one is made of.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let members = self.members.values();
        members.chain(&self.member).chain(&self.key).chain(&self.value).map(|part| part.shape.as_str())
    }

    /// Whether it becomes a Rust type of its own, not an alias that is written out where it is used.
    pub(crate) fn is_named(&self) -> bool {
        match self.kind {
            Kind::Structure => !self.document,
            Kind::String => !self.values.is_empty(),
            _ => false,
        }
    }
}
