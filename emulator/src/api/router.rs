//! HTTP: which request goes where, and what every answer carries.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use http::header::HeaderName;
use http::{HeaderValue, Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use uuid::Uuid;

use super::context::Emulator;
use super::error::{Error, common};
use super::guard::Guard;
use super::operation::Table;
use super::{admin, aws_json, cost, query};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Bytes of a request's body at most. The largest legal one is PutLogEvents': 1 MiB of messages, of which JSON may
/// write each byte as six (`\u0000`), and some 50 bytes around each of 10,000 events.
const LARGEST_BODY: usize = 8 << 20;

/// Bytes of a body too large that are still read: a client that is not heard out sees a broken connection and not
/// the error.
const LARGEST_DRAINED: usize = 64 << 20;

/// A body that has not arrived after so long is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What every handler shares.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    table: Arc<Table>,
    pub(super) emulator: Emulator,
    guard: Arc<Guard>,
}

/// Everything that the server answers.
pub fn router(emulator: Emulator, guard: Guard) -> Router {
    let wire = Wire { table: Arc::new(super::table()), emulator, guard: Arc::new(guard) };
    Router::new()
        .route("/", post(answer))
        .route("/_neargate/health", get(admin::health))
        .route("/_neargate/cost", get(cost::report))
        .route("/_neargate/reset", post(admin::reset))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(wire.clone(), at_the_door))
        .with_state(wire)
}

/// The id of a request, made at the door.
#[derive(Clone, Debug)]
struct RequestId(String);

/// Guards, and marks every answer with its request's id.
async fn at_the_door(State(wire): State<Wire>, mut request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().to_string();
    let header = HeaderValue::from_str(&id);
    let mut response = match wire.guard.check(request.uri(), request.headers()) {
        Ok(()) => {
            request.extensions_mut().insert(RequestId(id));
            next.run(request).await
        }
        Err(refused) => {
            aws_json::http_refusal(StatusCode::FORBIDDEN, common::ACCESS_DENIED, &refused.to_string())
                .map(Body::from)
        }
    };
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

async fn answer(State(wire): State<Wire>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let id = parts.extensions.get::<RequestId>().map(|id| id.0.as_str()).unwrap_or_default();
    let body = match tokio::time::timeout(BODY_TIMEOUT, read(body)).await {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => {
            let message = format!("The request body is larger than {LARGEST_BODY} bytes.");
            return aws_json::http_refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                common::REQUEST_ENTITY_TOO_LARGE,
                &message,
            )
            .map(Body::from);
        }
        Ok(Err(_)) => Err(Error::new(common::SERIALIZATION, "The request body ended too early.")),
        Err(_) => Err(Error::new(common::REQUEST_TIMEOUT, "The request body did not arrive in time.")),
    };
    let answer = if query::speaks(&parts.headers) {
        query::answer(&wire.table, &wire.emulator, id, &parts.headers, body).await
    } else {
        aws_json::answer(&wire.table, &wire.emulator, id, &parts.headers, body).await
    };
    answer.map(Body::from)
}

/// The whole body; `None` where it is too large.
async fn read(mut body: Body) -> Result<Option<Bytes>, axum::Error> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut whole = BytesMut::with_capacity(announced.min(LARGEST_BODY));
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len();
        if length <= LARGEST_BODY {
            whole.extend_from_slice(&data);
        } else if length > LARGEST_DRAINED {
            break;
        }
    }
    Ok((length <= LARGEST_BODY).then(|| whole.freeze()))
}

async fn not_found(method: Method, uri: Uri) -> Response {
    let message = format!("There is no {method} {}: AWS's operations are POST /.", uri.path());
    aws_json::http_refusal(StatusCode::NOT_FOUND, common::UNKNOWN_OPERATION, &message)
        .map(Body::from)
        .into_response()
}

async fn not_allowed(method: Method, uri: Uri) -> Response {
    let message = format!("{method} {} is not allowed: AWS's operations are POST /.", uri.path());
    aws_json::http_refusal(StatusCode::METHOD_NOT_ALLOWED, common::UNKNOWN_OPERATION, &message)
        .map(Body::from)
        .into_response()
}
