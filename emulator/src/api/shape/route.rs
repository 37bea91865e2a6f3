//! The HTTP binding of an operation of a REST protocol: generated from the model's `http` and `location`.

/// An operation's HTTP binding.
#[derive(Debug)]
pub struct Route {
    /// The operation's name.
    pub operation: &'static str,
    pub method: &'static str,
    /// A template: `/clusters/{name}/fargate-profiles`. A label is one segment.
    pub uri: &'static str,
    /// Of a response without an error.
    pub status: u16,
    /// The members of the input that are not in the body.
    pub input: &'static [Member],
    /// The members of the output that are not in the body.
    pub output: &'static [Member],
}

/// A member that is not in the body.
#[derive(Debug)]
pub struct Member {
    /// As serde knows it.
    pub name: &'static str,
    pub location: Location,
}

/// Where a member is, and by which name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// A label of the URI's template.
    Path(&'static str),
    /// A parameter of the query string; a list is a parameter that is repeated.
    Query(&'static str),
    Header(&'static str),
    /// The status itself, of an output.
    Status,
}
