//! Neargate's own paths beside AWS's and `cost`: health for whoever waits for the server, reset for test suites.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;

use super::aws_json;
use super::error::Error;
use super::router::Wire;
use crate::runtime;

/// The answer of `GET /_neargate/health`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    version: &'static str,
    /// Names the data directory; containers carry it as `neargate.instance`.
    instance: String,
    region: String,
    account: String,
    /// Whether what an earlier process left is adopted and tasks can be placed.
    ready: bool,
    runtime: Engine,
    running_tasks_count: u32,
    pending_tasks_count: u32,
}

/// The container engine, or why it does not answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Engine {
    #[serde(rename_all = "camelCase")]
    Answers {
        name: String,
        cpu_architecture: String,
        limits: String,
    },
    Silent {
        error: String,
    },
}

/// 200 as long as the container engine answers, else 503; the body says which.
pub(super) async fn health(State(wire): State<Wire>) -> Response {
    let emulator = &wire.emulator;
    let engine = &emulator.engine;
    let (status, runtime) = match engine.runtime().info().await {
        Ok(runtime::Info { name, cpu_architecture, limits }) => {
            (StatusCode::OK, Engine::Answers { name, cpu_architecture, limits })
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Engine::Silent { error: error.to_string() }),
    };
    let counts = engine.total();
    let health = Health {
        version: env!("CARGO_PKG_VERSION"),
        instance: engine.store().instance_id().to_owned(),
        region: emulator.region.to_string(),
        account: emulator.account.to_string(),
        ready: engine.is_ready(),
        runtime,
        running_tasks_count: counts.running_tasks_count,
        pending_tasks_count: counts.pending_tasks_count,
    };
    (status, Json(health)).into_response()
}

/// Throws everything away; 204 when it is gone.
pub(super) async fn reset(State(wire): State<Wire>) -> Response {
    match wire.emulator.engine.reset().await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => aws_json::refusal(None, &Error::failure(error)).map(axum::body::Body::from),
    }
}
