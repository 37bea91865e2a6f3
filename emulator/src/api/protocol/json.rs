//! What the two JSON protocols have in common: the wording for a body that does not fit the input, and the form of an error.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};
use serde_json::Value;
use serde_json::de::{Deserializer, SliceRead};

use super::Fault;
use crate::api::error::{Error, common};
use crate::api::shape::ErrorCode;

/// [`super::Protocol::CODES`] and [`super::Protocol::FAILURE`] of both.
pub(super) const CODES: [ErrorCode; 2] = [common::VALIDATION, common::INTERNAL_FAILURE];
pub(super) const FAILURE: &str = "Service Unavailable. Please try again later.";

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The error for an operation that no service has.
pub(super) fn unknown(operation: &str) -> Error {
    Error::new(common::UNKNOWN_OPERATION, format!("The operation {operation} is not known."))
}

/// Reads a request's body by `read`, which gets its length. An empty body is an empty object, as in AWS.
pub(super) fn decode<'b, T>(
    body: &'b [u8],
    read: impl FnOnce(&mut Deserializer<SliceRead<'b>>, usize) -> serde_json::Result<T>,
) -> Result<T, Error> {
    let body = body.trim_ascii();
    let body = if body.is_empty() { b"{}" } else { body };
    let mut reader = Deserializer::from_slice(body);
    let value = read(&mut reader, body.len());
    value.and_then(|value| reader.end().map(|()| value)).map_err(|error| malformed(&error))
}

/// The error for a body that is not JSON, or does not fit the input.
fn malformed(error: &serde_json::Error) -> Error {
    Error::new(common::SERIALIZATION, misfit(error))
}

/// In the wording of AWS's service framework, as users have quoted it: "STRING_VALUE can not be converted to
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

/// An error in the shape that the JSON protocols share: its code in a header and in the body.
pub(super) fn refuse(content_type: HeaderValue, fault: &Fault<'_>) -> Response<Body> {
    let mut body = fault.members.cloned().unwrap_or_default();
    body.insert("__type".to_owned(), fault.code.name().into());
    body.insert("message".to_owned(), fault.message.into());
    let mut refused = response(fault.status, content_type, Value::Object(body).to_string().into_bytes());
    refused.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(fault.code.name()));
    refused
}

pub(super) fn response(status: StatusCode, content_type: HeaderValue, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
