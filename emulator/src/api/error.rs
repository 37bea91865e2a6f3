//! The error type of the API: what an operation returns if it fails.

use serde::Serialize;

use super::model::ecs;
use super::shape::ErrorCode;
use crate::store;

/// Why an operation failed, as the caller sees it. The source is only logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of AWS's: code and message in the protocol's own shape.
    #[error("{}: {message}", code.name())]
    Answer {
        code: ErrorCode,
        message: String,
        /// Further members of the error's shape, such as `resourceIds`.
        members: serde_json::Map<String, serde_json::Value>,
    },
    /// The request violates constraints of the service model. Reported with the service's own code.
    #[error("{0}")]
    Invalid(String),
    /// A failure of ours: HTTP 500 with the service's own code and a message without details; the source is logged.
    #[error("the operation failed")]
    Failure(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An error of AWS's by its code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Answer { code, message: message.into(), members: serde_json::Map::new() }
    }

    /// ECS's `ClientException`.
    pub fn client(message: impl Into<String>) -> Self {
        Self::new(ecs::error::CLIENT, message)
    }

    /// `InvalidParameterException`, which ECS and CloudWatch Logs both have.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(ecs::error::INVALID_PARAMETER, message)
    }

    /// A failure of ours.
    pub fn failure(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failure(source.into())
    }

    /// The same error with one more member of its shape.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Serialize) -> Self {
        if let (Self::Answer { members, .. }, Ok(value)) = (&mut self, serde_json::to_value(value)) {
            members.insert(member.to_owned(), value);
        }
        self
    }

    /// AWS's name of the error; `None` if it is the service's own.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Answer { code, .. } => Some(code.name()),
            Self::Invalid(_) | Self::Failure(_) => None,
        }
    }
}

impl From<store::Error> for Error {
    fn from(source: store::Error) -> Self {
        Self::failure(source)
    }
}

/// An error and all its sources in one line.
pub(super) struct Chain<'e>(pub(super) &'e (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// The errors that no service model lists, because the protocols and their frameworks have them.
///
/// Source: "Common Errors" of each API reference; Smithy, "AWS JSON 1.1 protocol" and "AWS Query protocol".
pub(crate) mod common {
    use crate::api::shape::ErrorCode;

    pub(crate) const ACCESS_DENIED: ErrorCode = ErrorCode::new("AccessDeniedException", 403);
    pub(in crate::api) const INTERNAL_FAILURE: ErrorCode = ErrorCode::new("InternalFailure", 500);
    pub(in crate::api) const INVALID_SIGNATURE: ErrorCode = ErrorCode::new("InvalidSignatureException", 400);
    pub(in crate::api) const REQUEST_ENTITY_TOO_LARGE: ErrorCode =
        ErrorCode::new("RequestEntityTooLargeException", 413);
    pub(in crate::api) const REQUEST_TIMEOUT: ErrorCode = ErrorCode::new("RequestTimeout", 400);

    /// Of HTTP, before there is an operation.
    pub(in crate::api) const NOT_FOUND: ErrorCode = ErrorCode::new("UnknownOperationException", 404);
    pub(crate) const METHOD_NOT_ALLOWED: ErrorCode = ErrorCode::new("UnknownOperationException", 405);

    /// Of the JSON protocols.
    pub(in crate::api) const NOT_IMPLEMENTED: ErrorCode = ErrorCode::new("NotImplementedException", 400);
    pub(in crate::api) const SERIALIZATION: ErrorCode = ErrorCode::new("SerializationException", 400);
    pub(in crate::api) const UNKNOWN_OPERATION: ErrorCode = ErrorCode::new("UnknownOperationException", 400);
    pub(in crate::api) const VALIDATION: ErrorCode = ErrorCode::new("ValidationException", 400);

    /// Of the query protocols.
    pub(in crate::api) const INVALID_ACTION: ErrorCode = ErrorCode::new("InvalidAction", 400);
    pub(in crate::api) const INVALID_PARAMETER_VALUE: ErrorCode =
        ErrorCode::new("InvalidParameterValue", 400);
    pub(in crate::api) const MALFORMED_QUERY_STRING: ErrorCode = ErrorCode::new("MalformedQueryString", 400);
    pub(in crate::api) const MISSING_PARAMETER: ErrorCode = ErrorCode::new("MissingParameter", 400);
    pub(in crate::api) const NO_SUCH_VERSION: ErrorCode = ErrorCode::new("NoSuchVersion", 400);
    pub(in crate::api) const UNKNOWN_PARAMETER: ErrorCode = ErrorCode::new("UnknownParameter", 400);
    pub(in crate::api) const UNSUPPORTED_OPERATION: ErrorCode = ErrorCode::new("UnsupportedOperation", 400);
    pub(in crate::api) const VALIDATION_ERROR: ErrorCode = ErrorCode::new("ValidationError", 400);
}
