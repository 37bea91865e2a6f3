//! AWS's protocols: how a request names its operation, and the format of values and errors.
//!
//! ```text
//! request ─▶ locate (service, operation) ─▶ decode ─▶ Operation ─▶ encode
//!               └──────────────────── refuse ◀────────────┘
//! ```
//!
//! One trait, one file per implementation. A protocol knows nothing of which operations are built: `service.rs` does,
//! and `answer.rs` performs the steps above.

pub(super) mod aws_json;
mod budget;
mod json;
pub(super) mod query;
pub(super) mod rest_json;

use std::fmt::Debug;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::Error;
use super::shape::ErrorCode;

/// A request: REST protocols read its path, query string and headers too.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

/// How one service is called. A value holds what identifies the service in a request and in its responses.
pub(super) trait Protocol: Debug + Send + Sync + 'static {
    /// The largest body, in bytes, if the body names the operation. `None`: the request's head names it, so each operation
    /// has its own limit.
    const NAMED_IN_BODY: Option<usize>;

    /// The code for an operation that Neargate does not implement.
    const NOT_BUILT: ErrorCode;

    /// The codes for an invalid request and for a failure of ours, as long as the service is not known.
    const CODES: [ErrorCode; 2];

    /// The message that a client gets for a failure of ours.
    const FAILURE: &'static str;

    /// The service and the operation that a request names, of all the services of this protocol.
    fn locate<'s>(
        services: impl Iterator<Item = Named<'s, Self>>,
        request: &Request,
    ) -> Result<Located, Refused<'s, Self>>
    where
        Self: Sized;

    /// The error for an operation that the service's model does not have.
    fn unknown(&self, operation: &str) -> Error;

    /// Reads an operation's input.
    fn decode<T: DeserializeOwned>(&self, operation: &str, request: &Request) -> Result<T, Error>;

    /// Writes an operation's output.
    fn encode<T: Serialize>(
        &self,
        operation: &str,
        request_id: &str,
        output: &T,
    ) -> Result<Response<Body>, Error>;

    /// Writes an error. `service` is the one that the request is for, if that is known.
    fn refuse(service: Option<&Self>, request_id: &str, fault: &Fault<'_>) -> Response<Body>
    where
        Self: Sized;
}

/// A service as a protocol sees it.
#[derive(Debug)]
pub(super) struct Named<'s, P> {
    /// As in an ARN: `ecs`.
    pub(super) name: &'static str,
    pub(super) protocol: &'s P,
}

/// What a request names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// The service's name.
    pub(super) service: &'static str,
    pub(super) operation: String,
}

/// The error for a request that names no operation, and the service that it is for, if that is known.
#[derive(Debug)]
pub(super) struct Refused<'s, P> {
    pub(super) service: Option<Named<'s, P>>,
    pub(super) error: Error,
}

impl<P> From<Error> for Refused<'_, P> {
    fn from(error: Error) -> Self {
        Self { service: None, error }
    }
}

/// An error as the client sees it.
#[derive(Debug)]
pub(super) struct Fault<'f> {
    pub(super) status: StatusCode,
    pub(super) code: ErrorCode,
    pub(super) message: &'f str,
    /// Further members of the error's shape.
    pub(super) members: Option<&'f Map<String, Value>>,
}
