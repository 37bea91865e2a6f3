//! AWS JSON 1.1: targets, bodies and errors.
//!
//! A request is `POST /` with `X-Amz-Target: <prefix>.<operation>` and a JSON object; an error is HTTP 400 (500 if it is
//! ours) with `{"__type": …, "message": …}`.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Fault, Located, Named, Protocol, Refused, Request, budget, json};
use crate::api::error::{Error, common};
use crate::api::shape::ErrorCode;

pub(in crate::api) const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// Bytes. A response of that size is written without growing its buffer.
const USUAL_RESPONSE: usize = 4096;

const JSON_1_1: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// A service of this protocol.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct AwsJson {
    /// The part before the dot in `X-Amz-Target`.
    pub(in crate::api) target_prefix: &'static str,
}

impl Protocol for AwsJson {
    const NAMED_IN_BODY: Option<usize> = None;
    const NOT_BUILT: ErrorCode = common::NOT_IMPLEMENTED;
    const CODES: [ErrorCode; 2] = json::CODES;
    const FAILURE: &'static str = json::FAILURE;

    fn locate<'s>(
        mut services: impl Iterator<Item = Named<'s, Self>>,
        request: &Request,
    ) -> Result<Located, Refused<'s, Self>> {
        let (prefix, operation) = target(&request.parts.headers)?;
        match services.find(|service| service.protocol.target_prefix == prefix) {
            Some(service) => Ok(Located { service: service.name, operation: operation.to_owned() }),
            None => Err(json::unknown(operation).into()),
        }
    }

    fn unknown(&self, operation: &str) -> Error {
        json::unknown(operation)
    }

    fn decode<T: DeserializeOwned>(&self, _: &str, request: &Request) -> Result<T, Error> {
        decode(&request.body)
    }

    fn encode<T: Serialize>(&self, _: &str, _: &str, output: &T) -> Result<Response<Body>, Error> {
        let mut body = Vec::with_capacity(USUAL_RESPONSE);
        serde_json::to_writer(&mut body, output).map_err(Error::failure)?;
        let body = if body == b"null" { Vec::new() } else { body };
        Ok(json::response(StatusCode::OK, JSON_1_1, body))
    }

    fn refuse(_: Option<&Self>, _: &str, fault: &Fault<'_>) -> Response<Body> {
        json::refuse(JSON_1_1, fault)
    }
}

/// Prefix and operation of the target.
fn target(headers: &HeaderMap) -> Result<(&str, &str), Error> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !["application/x-amz-json-1.1", "application/x-amz-json-1.0"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
    {
        let message =
            format!("The content type '{media_type}' is not that of AWS JSON, application/x-amz-json-1.1.");
        return Err(Error::new(common::UNKNOWN_OPERATION, message));
    }
    let target = headers
        .get(TARGET)
        .ok_or_else(|| Error::new(common::UNKNOWN_OPERATION, "The header X-Amz-Target is missing."))?;
    target.to_str().ok().and_then(|target| target.rsplit_once('.')).ok_or_else(|| {
        let message = "The header X-Amz-Target is not of the form <service>.<operation>.";
        Error::new(common::UNKNOWN_OPERATION, message)
    })
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    json::decode(body, |reader, length| budget::decode(reader, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::{ecs, logs};

    #[test]
    fn a_value_of_the_wrong_type_is_reported_in_the_wording_of_aws() {
        let error = |body: &str| match decode::<ecs::RunTaskRequest>(body.as_bytes()) {
            Err(Error::Answer { code: common::SERIALIZATION, message, .. }) => message,
            other => panic!("{body}: {other:?}"),
        };
        for (body, message) in [
            (r#"{"count": "1"}"#, "STRING_VALUE can not be converted to an Integer"),
            (r#"{"count": 99999999999}"#, "NUMBER_VALUE can not be converted to an Integer"),
            (r#"{"cluster": 1}"#, "NUMBER_VALUE can not be converted to a String"),
            (r#"{"cluster": true}"#, "TRUE_VALUE can not be converted to a String"),
            (r#"{"cluster": []}"#, "Start of list found where not expected"),
            (r#"{"cluster": {}}"#, "Start of structure or map found where not expected."),
            (r#"{"tags": "x"}"#, "Expected list or null"),
            (r#"{"tags": {}}"#, "Expected list or null"),
            (r#"{"overrides": "x"}"#, "Expected structure or null"),
            (r#"{"enableExecuteCommand": "x"}"#, "STRING_VALUE can not be converted to a Boolean"),
            (r#"{"overrides": []}"#, "Start of list found where not expected"),
            ("[]", "Start of list found where not expected"),
            ("{", "Unexpected character or end of input in the request body: it is not JSON."),
            ("\u{7f}", "Unexpected character or end of input in the request body: it is not JSON."),
        ] {
            assert_eq!(error(body), message, "{body}");
        }
        let timestamp = decode::<logs::PutLogEventsRequest>(br#"{"logEvents": [{"timestamp": "now"}]}"#);
        assert!(
            matches!(&timestamp, Err(Error::Answer { message, .. }) if message == "STRING_VALUE can not be converted to a Long"),
            "{timestamp:?}"
        );
    }

    #[test]
    fn bad_utf_8_and_deep_nesting_are_only_serialization_errors() {
        let deep = format!("{}{}", r#"{"cluster":"#.repeat(100_000), "1");
        for body in [&b"{\"cluster\": \"\xff\"}"[..], deep.as_bytes()] {
            let decoded = decode::<ecs::RunTaskRequest>(body);
            assert!(matches!(decoded, Err(Error::Answer { code: common::SERIALIZATION, .. })), "{decoded:?}");
        }
        // Members that the model does not know are skipped, however deep.
        let unknown = format!(r#"{{"unknown": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(decode::<ecs::RunTaskRequest>(unknown.as_bytes()).is_ok());
    }
}
