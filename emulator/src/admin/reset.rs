//! `POST /_neargate/reset`: removes every task, cluster, task definition and log.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use crate::api::{self, Emulator, Error, read_body};

/// Bytes of a body at most: the request has no parameters.
const LARGEST_BODY: usize = 4 << 10;

/// 204 once it is done. The request is read to its end first.
pub(super) async fn reset(State(emulator): State<Emulator>, body: Body) -> Response {
    if let Err(error) = read_body(body, LARGEST_BODY).await {
        return api::refusal(&error);
    }
    match emulator.engine.reset().await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => api::refusal(&Error::failure(error)),
    }
}
