//! A service model in botocore's form (`service-2.json`): the parts that the wire types need.

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
    pub(crate) protocol: Protocol,
    pub(crate) api_version: String,
    /// Of AWS JSON.
    pub(crate) target_prefix: Option<String>,
    /// Of the protocols with XML responses.
    pub(crate) xml_namespace: Option<String>,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    /// AWS JSON: both ways under the member's own name.
    Json,
    /// EC2's query: requests are forms with their own names, responses are XML.
    Ec2,
    /// AWS's query: the same with one name both ways.
    Query,
    /// REST: members are in the path, the query string, headers and a JSON body.
    RestJson,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Operation {
    pub(crate) http: Http,
    /// Some of REST's operations have none.
    pub(crate) input: Option<Reference>,
    pub(crate) output: Option<Reference>,
}

/// An operation's route. The same for all operations of a protocol that is not REST.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Http {
    pub(crate) method: String,
    pub(crate) request_uri: String,
    /// The status of a response that is not an error; 200 if it is not given.
    pub(crate) response_code: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reference {
    pub(crate) shape: String,
    pub(crate) location_name: Option<String>,
    /// Of REST: the location of a member that is not in the body.
    pub(crate) location: Option<Location>,
    pub(crate) query_name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Location {
    Uri,
    #[serde(rename = "querystring")]
    Query,
    Header,
    StatusCode,
    /// All headers that begin with a prefix.
    Headers,
}

/// A shape. botocore keeps a member list as an object; its order has no meaning on the wire.
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

    /// Of REST: the member that is the whole body.
    pub(crate) payload: Option<String>,

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

    /// Of a structure that is an error.
    #[serde(default)]
    pub(crate) exception: bool,
    /// The error is the service's own fault.
    #[serde(default)]
    pub(crate) fault: bool,
    /// The error's form on the wire, if the model specifies it.
    #[serde(default)]
    pub(crate) error: WireError,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireError {
    pub(crate) code: Option<String>,
    pub(crate) http_status_code: Option<u16>,
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
    #[serde(alias = "float")]
    Double,
    Boolean,
    Timestamp,
    Blob,
}

impl Model {
    /// The shape of that name. A model that refers to a missing shape is invalid.
    pub(crate) fn shape(&self, name: &str) -> anyhow::Result<&Shape> {
        self.shapes.get(name).ok_or_else(|| anyhow::anyhow!("the model has no shape {name}"))
    }
}

impl Shape {
    /// The shapes that are parts of this one.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let members = self.members.values();
        members.chain(&self.member).chain(&self.key).chain(&self.value).map(|part| part.shape.as_str())
    }

    /// Whether it becomes its own Rust type, not an alias that is written out where it is used.
    pub(crate) fn is_named(&self) -> bool {
        match self.kind {
            Kind::Structure => !self.document,
            Kind::String => !self.values.is_empty(),
            _ => false,
        }
    }
}
