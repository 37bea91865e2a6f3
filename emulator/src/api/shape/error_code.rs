//! AWS's names for errors.

/// An error's name as a client reads it, and its HTTP status.
///
/// The codes of a service's model are generated (`model::ecs::error::CLUSTER_NOT_FOUND`). Those that only AWS's
/// documentation names are in one list per service, and those that all services share in `api::error::common`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode {
    name: &'static str,
    status: u16,
}

impl ErrorCode {
    pub(in crate::api) const fn new(name: &'static str, status: u16) -> Self {
        Self { name, status }
    }

    /// As on the wire: `ClusterNotFoundException`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The HTTP status.
    pub fn status(self) -> http::StatusCode {
        http::StatusCode::from_u16(self.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use crate::api::model::{ecs, logs, sts};

    #[test]
    fn a_generated_code_has_the_models_name_and_status() {
        let wire = |code: super::ErrorCode| (code.name(), code.status().as_u16());
        assert_eq!(wire(ecs::error::CLUSTER_NOT_FOUND), ("ClusterNotFoundException", 400));
        assert_eq!(wire(ecs::error::SERVER), ("ServerException", 500));
        assert_eq!(wire(logs::error::TOO_MANY_TAGS), ("TooManyTagsException", 400));
        assert_eq!(wire(sts::error::IDP_REJECTED_CLAIM), ("IDPRejectedClaim", 403));
    }
}
