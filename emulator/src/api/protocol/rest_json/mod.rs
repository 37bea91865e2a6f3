//! AWS's REST-JSON: the path names the operation, and members are in the path, the query string, headers and a JSON body.
//!
//! ```text
//! GET /clusters/shop/fargate-profiles?maxResults=5 ─▶ route ─▶ bound + body ─▶ Operation ─▶ status, headers, body
//! ```
//!
//! Source: Smithy, "AWS restJson1 protocol".

mod bound;
mod route;
#[cfg(test)]
mod tests;

use axum::body::Body;
use axum::response::Response;
use http::header::HeaderName;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Fault, Located, Named, Protocol, Refused, Request, budget, json};
use crate::api::error::{Error, common};
use crate::api::shape::{ErrorCode, Location, Route};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A service of this protocol.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct RestJson {
    /// All operations of the model.
    pub(in crate::api) routes: &'static [Route],
}

impl RestJson {
    fn route(&self, operation: &str) -> Result<&'static Route, Error> {
        let found = self.routes.iter().find(|route| route.operation == operation);
        found.ok_or_else(|| self.unknown(operation))
    }
}

impl Protocol for RestJson {
    const NAMED_IN_BODY: Option<usize> = None;
    const NOT_BUILT: ErrorCode = common::NOT_IMPLEMENTED;
    const CODES: [ErrorCode; 2] = json::CODES;
    const FAILURE: &'static str = json::FAILURE;

    fn locate<'s>(
        mut services: impl Iterator<Item = Named<'s, Self>>,
        request: &Request,
    ) -> Result<Located, Refused<'s, Self>> {
        let (method, path) = (&request.parts.method, request.parts.uri.path());
        let found = services.find_map(|service| {
            let matches =
                |route: &&Route| route.method == method.as_str() && route::labels(route.uri, path).is_some();
            let route = service.protocol.routes.iter().find(matches)?;
            Some(Located { service: service.name, operation: route.operation.to_owned() })
        });
        found.ok_or_else(|| {
            let message = format!("There is no {method} {path}: most of AWS's operations are POST /.");
            Error::new(common::NOT_FOUND, message).into()
        })
    }

    fn unknown(&self, operation: &str) -> Error {
        json::unknown(operation)
    }

    fn decode<T: DeserializeOwned>(&self, operation: &str, request: &Request) -> Result<T, Error> {
        let route = self.route(operation)?;
        let values = bound::values(route, &request.parts)?;
        let uri = request.parts.uri.path_and_query().map_or(0, |uri| uri.as_str().len());
        json::decode(&request.body, |body, length| {
            budget::decode(bound::Input { values, body }, length + uri)
        })
    }

    fn encode<T: Serialize>(&self, operation: &str, _: &str, output: &T) -> Result<Response<Body>, Error> {
        let route = self.route(operation)?;
        let mut output = serde_json::to_value(output).map_err(Error::failure)?;
        let mut status = StatusCode::from_u16(route.status).map_err(Error::failure)?;
        let mut headers = Vec::new();
        for member in route.output {
            let Some(value) = output.as_object_mut().and_then(|members| members.remove(member.name)) else {
                continue;
            };
            match (member.location, value) {
                (Location::Status, value) => {
                    let code = value.as_u64().and_then(|code| u16::try_from(code).ok());
                    status = code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(status);
                }
                (Location::Header(name), Value::String(text)) => headers.push((name, text)),
                (Location::Header(name), value) => headers.push((name, value.to_string())),
                // A model has these only in inputs.
                (Location::Path(_) | Location::Query(_), _) => {}
            }
        }
        let body = if output.is_null() { Vec::new() } else { output.to_string().into_bytes() };
        let mut response = json::response(status, JSON, body);
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(Error::failure)?;
            response.headers_mut().insert(name, HeaderValue::from_str(&value).map_err(Error::failure)?);
        }
        Ok(response)
    }

    fn refuse(_: Option<&Self>, _: &str, fault: &Fault<'_>) -> Response<Body> {
        json::refuse(JSON, fault)
    }
}
