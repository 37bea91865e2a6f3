//! EC2's query protocol and AWS's own: a form in, XML out.
//!
//! ```text
//! POST /  Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-… ─▶ form ─▶ Operation ─▶ xml
//! ```
//!
//! The two differ in their answers alone ([`Dialect`]). Source: Smithy, "AWS EC2 query protocol" and "AWS query
//! protocol".

mod form;
mod xml;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use super::aws_json::TARGET;
use super::context::Emulator;
use super::error::{Chain, Error, common};
use super::operation::{Found, Service, Table};
use super::signature;
pub(super) use xml::encode;

const XML: HeaderValue = HeaderValue::from_static("text/xml;charset=UTF-8");

/// A query service's place on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) flavor: Flavor,
    /// A request's `Version`.
    pub(super) version: &'static str,
    /// Of an answer's root element.
    pub(super) namespace: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    Ec2,
    Aws,
}

/// Whether the request is in this protocol.
pub(super) fn speaks(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") && !headers.contains_key(TARGET)
}

/// Answers a request of this protocol.
pub(super) async fn answer(
    table: &Table,
    emulator: &Emulator,
    request_id: &str,
    headers: &HeaderMap,
    body: Result<Bytes, Error>,
) -> Response<Bytes> {
    let mut refuse = Refusal { service: None, flavor: Flavor::Aws, request_id };
    let (body, scope) = match (body, signature::scope(headers)) {
        (Ok(body), Ok(scope)) => (body, scope),
        (Err(error), _) | (_, Err(error)) => return refuse.answer(&error),
    };
    let value = |wanted: &str| form::value(&body, wanted);
    let (Some(action), Some(version)) = (value("Action"), value("Version")) else {
        let message = "The request must contain the parameters Action and Version";
        return refuse.answer(&Error::new(common::MISSING_PARAMETER, message));
    };
    let name = scope.map(|scope| scope.service);
    let Some((service, dialect)) = table.find_query(name, &version) else {
        let asked = name.unwrap_or("a service");
        let message = format!("neargate does not serve {asked} of version {version}.");
        return refuse.answer(&Error::new(common::INVALID_ACTION, message));
    };
    refuse = Refusal { service: Some(service), flavor: dialect.flavor, request_id };
    if version != dialect.version {
        let message = format!("The requested version ({version}) is not supported: use {}.", dialect.version);
        return refuse.answer(&Error::new(common::NO_SUCH_VERSION, message));
    }
    let handler = match service.find(&action) {
        Found::Built(_, handler) => handler,
        Found::NotBuilt(_) => {
            let message = format!("neargate does not implement {}:{action} yet", service.name);
            return refuse.answer(&Error::new(common::UNSUPPORTED_OPERATION, message));
        }
        Found::Unknown => {
            let message = match dialect.flavor {
                Flavor::Ec2 => format!("The action {action} is not valid for this web service."),
                Flavor::Aws => format!("Could not find operation {action} for version {version}"),
            };
            return refuse.answer(&Error::new(common::INVALID_ACTION, message));
        }
    };
    let span = tracing::info_span!("request", op = %action, id = request_id);
    async {
        match service.perform(handler, emulator, request_id, headers, &body).await {
            Ok(body) => answer_of(StatusCode::OK, body),
            Err(error) => refuse.answer(&error),
        }
    }
    .instrument(span)
    .await
}

/// Reads a request's form.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    form::decode(body)
}

/// How a request is refused.
struct Refusal<'r> {
    service: Option<&'r Service>,
    flavor: Flavor,
    request_id: &'r str,
}

impl Refusal<'_> {
    /// An error as an answer; a failure of ours is logged here and nowhere else.
    fn answer(&self, error: &Error) -> Response<Bytes> {
        let (status, code, message) = match error {
            Error::Answer { code, message, .. } => (code.status(), *code, message.as_str()),
            Error::Invalid(message) => {
                let code = self.service.map_or(common::VALIDATION_ERROR, |service| service.invalid);
                (StatusCode::BAD_REQUEST, code, message.as_str())
            }
            Error::Failure(source) => {
                tracing::error!(error = %Chain(source.as_ref()), "the operation failed");
                let code = self.service.map_or(common::INTERNAL_FAILURE, |service| service.failure);
                (StatusCode::INTERNAL_SERVER_ERROR, code, "An internal error has occurred")
            }
        };
        answer_of(status, xml::error(self.flavor, status, code.name(), message, self.request_id))
    }
}

fn answer_of(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, XML);
    answer
}
