//! AWS JSON 1.1: targets, bodies and errors.
//!
//! A request is `POST /` with `X-Amz-Target: <prefix>.<operation>` and a JSON object; an error is HTTP 400 (500 where
//! it is ours) with `{"__type": …, "message": …}`.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use super::context::Emulator;
use super::error::{Error, common};
use super::operation::{Found, Service, Table};
use super::shape::ErrorCode;

pub(super) const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const JSON_1_1: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// Answers a request of this protocol.
pub(super) async fn answer(
    table: &Table,
    emulator: &Emulator,
    request_id: &str,
    headers: &HeaderMap,
    body: Result<Bytes, Error>,
) -> Response<Bytes> {
    let found = match target(headers) {
        Ok((prefix, operation)) => (table.find_target(prefix, operation), operation),
        Err(error) => return refusal(None, &error),
    };
    let (service, handler, operation) = match found {
        (Found::Built(service, handler), operation) => (service, handler, operation),
        (Found::NotBuilt(service), operation) => {
            let message = format!("neargate does not implement {}:{operation} yet", service.name);
            return refusal(Some(service), &Error::new(common::NOT_IMPLEMENTED, message));
        }
        (Found::Unknown, operation) => {
            let message = format!("The operation {operation} is not known.");
            return refusal(None, &Error::new(common::UNKNOWN_OPERATION, message));
        }
    };

    let span = tracing::info_span!("request", op = operation, id = request_id);
    async {
        let work = async { service.perform(handler, emulator, request_id, headers, &body?).await };
        match work.await {
            Ok(body) => answer_of(StatusCode::OK, body),
            Err(error) => refusal(Some(service), &error),
        }
    }
    .instrument(span)
    .await
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

/// Reads a request's body. An empty one is an empty object, as AWS takes it.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let body = body.trim_ascii();
    let body = if body.is_empty() { b"{}" } else { body };
    // A structure would also be read from a list of its members.
    if body.first() == Some(&b'[') {
        return Err(serialization("Start of list found where not expected"));
    }
    serde_json::from_slice(body).map_err(|error| serialization(&misfit(&error)))
}

fn serialization(message: &str) -> Error {
    Error::new(common::SERIALIZATION, message)
}

/// In the words of AWS's service framework, as callers have reported them: "STRING_VALUE can not be converted to
/// an Integer", "Start of list found where not expected", "Expected list or null".
fn misfit(error: &serde_json::Error) -> String {
    if !error.is_data() {
        return "Unexpected character or end of input in the request body: it is not JSON.".to_owned();
    }
    let text = error.to_string();
    let of_kind = text.split_once(": ").and_then(|(kind, rest)| {
        (kind == "invalid type" || kind == "invalid value").then_some(rest)?.split_once(", expected ")
    });
    let Some((found, expected)) = of_kind else { return text };
    let expected = expected.split(" at line ").next().unwrap_or(expected);
    let token = match found.split(' ').next().unwrap_or(found) {
        "string" => "STRING_VALUE",
        "boolean" if found.contains("true") => "TRUE_VALUE",
        "boolean" => "FALSE_VALUE",
        "integer" | "floating" => "NUMBER_VALUE",
        "null" => "NULL_VALUE",
        "sequence" => return "Start of list found where not expected".to_owned(),
        _ if expected.starts_with("a sequence") => return "Expected list or null".to_owned(),
        _ => return "Start of structure or map found where not expected.".to_owned(),
    };
    let wanted = match expected {
        "i32" => "an Integer",
        "i64" => "a Long",
        "f64" => "a Double",
        "a boolean" => "a Boolean",
        "a timestamp" => "a Timestamp",
        "a sequence" => return "Expected list or null".to_owned(),
        "a map" => return "Expected map or null".to_owned(),
        other if other.starts_with("struct") => return "Expected structure or null".to_owned(),
        _ => "a String",
    };
    format!("{token} can not be converted to {wanted}")
}

/// Writes an answer's body.
pub(super) fn encode<T: Serialize>(output: &T) -> Result<Vec<u8>, Error> {
    let body = serde_json::to_vec(output).map_err(Error::failure)?;
    Ok(if body == b"null" { Vec::new() } else { body })
}

/// An error as an answer; a failure of ours is logged here and nowhere else.
pub(super) fn refusal(service: Option<&Service>, error: &Error) -> Response<Bytes> {
    let (status, code, message) = match error {
        Error::Answer { code, message, .. } => (code.status(), *code, message.as_str()),
        Error::Invalid(message) => {
            let code = service.map_or(common::VALIDATION, |service| service.invalid);
            (StatusCode::BAD_REQUEST, code, message.as_str())
        }
        Error::Failure(source) => {
            tracing::error!(error = %super::error::Chain(source.as_ref()), "the operation failed");
            let code = service.map_or(common::INTERNAL_FAILURE, |service| service.failure);
            (StatusCode::INTERNAL_SERVER_ERROR, code, "Service Unavailable. Please try again later.")
        }
    };
    error_answer(status, code, message, error)
}

/// An error of HTTP's, before there is an operation.
pub(super) fn http_refusal(status: StatusCode, code: ErrorCode, message: &str) -> Response<Bytes> {
    error_answer(status, code, message, &Error::new(code, message))
}

fn error_answer(status: StatusCode, code: ErrorCode, message: &str, error: &Error) -> Response<Bytes> {
    let mut body = serde_json::Map::new();
    body.insert("__type".to_owned(), code.name().into());
    body.insert("message".to_owned(), message.into());
    if let Error::Answer { members, .. } = error {
        body.extend(members.clone());
    }
    let mut answer = answer_of(status, serde_json::Value::Object(body).to_string().into_bytes());
    answer.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(code.name()));
    answer
}

fn answer_of(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON_1_1);
    answer
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::model::{ecs, logs};
    use crate::api::operation::Protocol;
    use crate::api::{Context, Operation};
    use crate::clock::Clock;
    use crate::engine::{self, Engine};
    use crate::runtime::simulated;
    use crate::store::Store;

    #[test]
    fn what_does_not_fit_is_told_as_aws_tells_it() {
        let told = |body: &str| match decode::<ecs::RunTaskRequest>(body.as_bytes()) {
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
            ("[]", "Start of list found where not expected"),
            ("{", "Unexpected character or end of input in the request body: it is not JSON."),
            ("\u{7f}", "Unexpected character or end of input in the request body: it is not JSON."),
        ] {
            assert_eq!(told(body), message, "{body}");
        }
        let timestamp = decode::<logs::PutLogEventsRequest>(br#"{"logEvents": [{"timestamp": "now"}]}"#);
        assert!(
            matches!(&timestamp, Err(Error::Answer { message, .. }) if message == "STRING_VALUE can not be converted to a Long"),
            "{timestamp:?}"
        );
    }

    /// An operation with a mistake in it.
    struct ListClusters;

    impl Operation for ListClusters {
        const NAME: &'static str = "ListClusters";
        type Input = ecs::ListClustersRequest;
        type Output = ();

        async fn handle(_: &Context, input: ecs::ListClustersRequest) -> Result<(), Error> {
            assert!(input.next_token.is_none(), "a mistake");
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_request_and_no_other() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path()).await.unwrap();
        let clock = Clock::system();
        let options = engine::Options {
            region: "us-east-1".to_owned(),
            vpc: engine::vpc::Choice::Builtin { strict: false },
            activating: false,
            sandbox_pool: 0,
            ephemeral: true,
            publish_ports: false,
        };
        let runtime = Arc::new(simulated::Runtime::new(clock.clone()));
        let engine = Engine::start(options, store, runtime, clock).await.unwrap();
        let emulator = Emulator {
            engine,
            account: "000000000000".into(),
            region: "us-east-1".into(),
            prices: crate::cost::Prices::builtin(),
        };
        let codes = [ecs::error::INVALID_PARAMETER, ecs::error::SERVER];
        let protocol = Protocol::AwsJson { target_prefix: ecs::TARGET_PREFIX };
        let service = Service::new("ecs", protocol, ecs::OPERATIONS, codes).with::<ListClusters>();
        let table = Table::new(vec![service]);
        let target = format!("{}.ListClusters", ecs::TARGET_PREFIX);
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, JSON_1_1),
            (TARGET, HeaderValue::from_str(&target).unwrap()),
        ]);
        let ask = async |body: &'static str| {
            let answer = answer(&table, &emulator, "id", &headers, Ok(Bytes::from(body))).await;
            (answer.status().as_u16(), String::from_utf8(answer.into_body().to_vec()).unwrap())
        };
        let (status, body) = ask(r#"{"nextToken": "x"}"#).await;
        assert_eq!(status, 500);
        assert!(body.contains(r#""__type":"ServerException""#) && !body.contains("mistake"), "{body}");
        assert_eq!(ask("{}").await, (200, String::new()));
    }

    #[test]
    fn neither_bad_utf_8_nor_deep_nesting_is_more_than_a_serialization_error() {
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
