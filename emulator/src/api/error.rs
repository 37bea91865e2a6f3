//! The one error of the wire: what an operation answers when it does not answer.

use serde::Serialize;

use crate::store;

/// Why an operation failed, in the terms that the caller sees; what only the log may see is the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of AWS's: HTTP 400, and code and message in the protocol's own shape.
    #[error("{code}: {message}")]
    Answer {
        code: &'static str,
        message: String,
        /// Further members of the error's shape, such as `resourceIds`.
        members: serde_json::Map<String, serde_json::Value>,
    },
    /// The request breaks constraints of the service model. Answered with the service's own code.
    #[error("{0}")]
    Invalid(String),
    /// Ours to mend: HTTP 500 with the service's own code and a message that says nothing; the source is logged.
    #[error("the operation failed")]
    Failure(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An error of AWS's by its name.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self::Answer { code, message: message.into(), members: serde_json::Map::new() }
    }

    /// ECS's `ClientException`.
    pub fn client(message: impl Into<String>) -> Self {
        Self::new("ClientException", message)
    }

    /// `InvalidParameterException`, which ECS and CloudWatch Logs both have.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
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

    /// AWS's name of the error; `None` where the service gives it.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Answer { code, .. } => Some(code),
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
