//! EC2's query protocol and AWS's own: the request is a form, the response is XML.
//!
//! ```text
//! POST /  Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-… ─▶ form ─▶ Operation ─▶ xml
//! ```
//!
//! The two differ only in their responses ([`Flavor`]). Source: Smithy, "AWS EC2 query protocol" and "AWS query
//! protocol".

mod form;
mod xml;

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::aws_json::TARGET;
use super::{Fault, Located, Named, Protocol, Refused, Request};
use crate::api::error::{Error, common};
use crate::api::shape::ErrorCode;
use crate::api::signature;

const XML: HeaderValue = HeaderValue::from_static("text/xml;charset=UTF-8");

/// The largest form, in bytes. The largest legal one names 1,000 ids.
const LARGEST_FORM: usize = 64 << 10;

/// A service of this protocol.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Query {
    pub(in crate::api) flavor: Flavor,
    /// A request's `Version`.
    pub(in crate::api) version: &'static str,
    /// Of a response's root element.
    pub(in crate::api) namespace: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Flavor {
    Ec2,
    Aws,
}

/// Whether the request is in this protocol.
pub(in crate::api) fn speaks(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") && !headers.contains_key(TARGET)
}

impl Protocol for Query {
    const NAMED_IN_BODY: Option<usize> = Some(LARGEST_FORM);
    const NOT_BUILT: ErrorCode = common::UNSUPPORTED_OPERATION;
    const CODES: [ErrorCode; 2] = [common::VALIDATION_ERROR, common::INTERNAL_FAILURE];
    const FAILURE: &'static str = "An internal error has occurred";

    /// The service is that of the signature's scope, else the one with this `Version`.
    fn locate<'s>(
        mut services: impl Iterator<Item = Named<'s, Self>>,
        request: &Request,
    ) -> Result<Located, Refused<'s, Self>> {
        let scope = signature::scope(&request.parts.headers)?;
        let value = |wanted: &str| form::value(&request.body, wanted);
        let (Some(operation), Some(version)) = (value("Action"), value("Version")) else {
            let message = "The request must contain the parameters Action and Version";
            return Err(Error::new(common::MISSING_PARAMETER, message).into());
        };
        let name = scope.map(|scope| scope.service);
        let is_meant = |service: &Named<'s, Self>| {
            name.map_or(service.protocol.version == version, |name| service.name == name)
        };
        let Some(service) = services.find(is_meant) else {
            let asked = name.unwrap_or("a service");
            let message = format!("neargate does not serve {asked} of version {version}.");
            return Err(Error::new(common::INVALID_ACTION, message).into());
        };
        let served = service.protocol.version;
        if version != served {
            let message = format!("The requested version ({version}) is not supported: use {served}.");
            let error = Error::new(common::NO_SUCH_VERSION, message);
            return Err(Refused { service: Some(service), error });
        }
        Ok(Located { service: service.name, operation })
    }

    fn unknown(&self, operation: &str) -> Error {
        let message = match self.flavor {
            Flavor::Ec2 => format!("The action {operation} is not valid for this web service."),
            Flavor::Aws => format!("Could not find operation {operation} for version {}", self.version),
        };
        Error::new(common::INVALID_ACTION, message)
    }

    fn decode<T: DeserializeOwned>(&self, _: &str, request: &Request) -> Result<T, Error> {
        form::decode(&request.body)
    }

    fn encode<T: Serialize>(
        &self,
        operation: &str,
        request_id: &str,
        output: &T,
    ) -> Result<Response<Body>, Error> {
        Ok(response(StatusCode::OK, xml::encode(*self, operation, request_id, output)?))
    }

    fn refuse(service: Option<&Self>, request_id: &str, fault: &Fault<'_>) -> Response<Body> {
        let flavor = service.map_or(Flavor::Aws, |service| service.flavor);
        response(fault.status, xml::error(flavor, fault, request_id))
    }
}

fn response(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, XML);
    response
}
