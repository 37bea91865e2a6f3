//! From a request to its response, in any protocol.

use std::mem;
use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt as _;
use tracing::Instrument as _;

use super::body;
use super::context::{Caller, Context, Emulator, RequestId};
use super::error::{Chain, Error};
use super::protocol::{Fault, Protocol, Refused, Request};
use super::service::{Built, Found, Service};
use super::signature;

/// Performs a request to one of the services, all of which have the same protocol.
pub(super) async fn answer<P: Protocol>(
    services: &[Service<P>],
    emulator: &Emulator,
    request: http::Request<Body>,
) -> Response<Body> {
    let (parts, mut unread) = request.into_parts();
    let request_id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default().0;
    let mut request = Request { parts, body: Bytes::new() };
    if let Some(most) = P::NAMED_IN_BODY {
        match body::read(mem::take(&mut unread), most).await {
            Ok(body) => request.body = body,
            Err(error) => return refuse::<P>(None, &request_id, &error),
        }
    }
    let (service, operation) = match find(services, &request) {
        Ok(found) => found,
        Err(Refused { service, error }) => {
            // A client that is disconnected while it still sends sees a broken connection and not the error.
            body::drain(unread).await;
            let service =
                service.and_then(|named| services.iter().find(|service| service.name == named.name));
            log_failure("none", &request_id, &error);
            return refuse(service, &request_id, &error);
        }
    };
    // Its cost is above that of a small request: it exists only if debug logs are wanted.
    let span = tracing::debug_span!("request", op = operation.name, id = request_id);
    async {
        if P::NAMED_IN_BODY.is_none() {
            match body::read(unread, operation.largest_body).await {
                Ok(body) => request.body = body,
                Err(error) => return refuse(Some(service), &request_id, &error),
            }
        }
        match perform(service, operation, emulator, &request_id, request).await {
            Ok(response) => response,
            Err(error) => {
                log_failure(operation.name, &request_id, &error);
                refuse(Some(service), &request_id, &error)
            }
        }
    }
    .instrument(span)
    .await
}

/// The operation that the request names.
fn find<'s, P: Protocol>(
    services: &'s [Service<P>],
    request: &Request,
) -> Result<(&'s Service<P>, &'s Built<P>), Refused<'s, P>> {
    let located = P::locate(services.iter().map(Service::named), request)?;
    let name = located.operation;
    let Some(service) = services.iter().find(|service| service.name == located.service) else {
        return Err(Error::failure(format!("there is no service {}", located.service)).into());
    };
    let error = match service.find(&name) {
        Found::Built(built) => return Ok((service, built)),
        Found::NotBuilt => {
            Error::new(P::NOT_BUILT, format!("neargate does not implement {}:{name} yet", service.name))
        }
        Found::Unknown => service.protocol.unknown(&name),
    };
    Err(Refused { service: Some(service.named()), error })
}

async fn perform<P: Protocol>(
    service: &Service<P>,
    operation: &Built<P>,
    emulator: &Emulator,
    request_id: &str,
    request: Request,
) -> Result<Response<Body>, Error> {
    let scope = signature::scope(&request.parts.headers)?;
    let context = Context {
        emulator: emulator.clone(),
        region: scope.map_or(&*emulator.region, |scope| scope.region).to_owned(),
        request_id: request_id.to_owned(),
        caller: request.parts.extensions.get::<Caller>().cloned().unwrap_or_default(),
    };
    // The last resort: a panic fails its own request and no other.
    AssertUnwindSafe((operation.handler)(&context, &service.protocol, request))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(Error::failure("the operation panicked")))
}

/// The only place where a failure of ours is logged.
fn log_failure(operation: &str, request_id: &str, error: &Error) {
    if let Error::Failure(source) = error {
        tracing::error!(op = operation, id = request_id, error = %Chain(source.as_ref()), "the operation failed");
    }
}

/// The response for an error.
pub(super) fn refuse<P: Protocol>(
    service: Option<&Service<P>>,
    request_id: &str,
    error: &Error,
) -> Response<Body> {
    let [invalid, failure] = service.map_or(P::CODES, |service| service.codes);
    let (code, message, members) = match error {
        Error::Answer { code, message, members } => (*code, message.as_str(), Some(members)),
        Error::Invalid(message) => (invalid, message.as_str(), None),
        Error::Failure(_) => (failure, P::FAILURE, None),
    };
    let status = match error {
        Error::Failure(_) => http::StatusCode::INTERNAL_SERVER_ERROR,
        _ => code.status(),
    };
    let named = service.map(|service| &service.protocol);
    P::refuse(named, request_id, &Fault { status, code, message, members })
}
