//! What a signature says without being verified: its SigV4 credential scope.
//!
//! `Authorization: AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-west-1/ecs/aws4_request, SignedHeaders=…, Signature=…`

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::error::Error;

/// The region of the request's credential scope; `None` where the request is not signed.
///
/// Source: AWS general reference, "Elements of an AWS API request signature". A region goes into ARNs, so one that
/// no region could be called is refused.
pub(super) fn region(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let scope = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once("Credential="))
        .map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default());
    let Some(region) = scope.and_then(|scope| scope.rsplit('/').nth(2)) else { return Ok(None) };
    let plausible = !region.is_empty()
        && region.len() <= 32
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plausible {
        Ok(Some(region))
    } else {
        Err(Error::new("InvalidSignatureException", "Credential should be scoped to a valid region."))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_region_is_that_of_the_credential_scope() {
        let scope = |credential: &str| {
            let value = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00");
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
        };
        let signed = scope("AKID/20261121/eu-west-1/ecs/aws4_request");
        assert_eq!(region(&signed).unwrap(), Some("eu-west-1"));
        assert_eq!(region(&scope("a/b/20261121/us-east-1/logs/aws4_request")).unwrap(), Some("us-east-1"));
        assert_eq!(region(&scope("AKID")).unwrap(), None);
        assert_eq!(region(&HeaderMap::new()).unwrap(), None);
        assert!(region(&scope("AKID/20261121/EU:1/ecs/aws4_request")).is_err());
    }
}
