//! The SigV4 credential scope of a signature, which is read and not verified.
//!
//! `Authorization: AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-west-1/ecs/aws4_request, SignedHeaders=…, Signature=…`

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::error::{Error, common};

/// What a request is signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope<'h> {
    pub(super) region: &'h str,
    /// As in an ARN: `ecs`, `ec2`.
    pub(super) service: &'h str,
}

/// The request's credential scope; `None` if the request is not signed.
///
/// Source: AWS general reference, "Elements of an AWS API request signature". A region goes into ARNs, so text that
/// cannot be a region's name is refused.
pub(super) fn scope(headers: &HeaderMap) -> Result<Option<Scope<'_>>, Error> {
    let scope = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once("Credential="))
        .map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default());
    let mut parts = scope.unwrap_or_default().rsplit('/').skip(1);
    let (Some(service), Some(region)) = (parts.next(), parts.next()) else { return Ok(None) };
    let plausible = !region.is_empty()
        && region.len() <= 32
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plausible {
        Ok(Some(Scope { region, service }))
    } else {
        Err(Error::new(common::INVALID_SIGNATURE, "Credential should be scoped to a valid region."))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn region_and_service_are_those_of_the_credential_scope() {
        let header = |credential: &str| {
            let value = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00");
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
        };
        let signed = |region, service| Some(Scope { region, service });
        let plain = header("AKID/20261121/eu-west-1/ecs/aws4_request");
        assert_eq!(scope(&plain).unwrap(), signed("eu-west-1", "ecs"));
        let with_slash = header("a/b/20261121/us-east-1/logs/aws4_request");
        assert_eq!(scope(&with_slash).unwrap(), signed("us-east-1", "logs"));
        assert_eq!(scope(&header("AKID")).unwrap(), None);
        assert_eq!(scope(&HeaderMap::new()).unwrap(), None);
        assert!(scope(&header("AKID/20261121/EU:1/ecs/aws4_request")).is_err());
    }
}
