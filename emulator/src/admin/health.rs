//! `GET /_neargate/health`: whether the container engine responds and tasks can start.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;

use crate::api::Emulator;
use crate::{engine, runtime};

/// How long the container engine may take. The whole response has 2 s.
const TIMEOUT: Duration = Duration::from_millis(1500);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    version: &'static str,
    /// Identifies the data directory; containers carry it as `neargate.instance`.
    instance: String,
    region: String,
    account: String,
    /// Whether tasks can be placed; if not, why and since when; and what the engine's loops have done.
    #[serde(flatten)]
    engine: engine::Health,
    runtime: Engine,
    running_tasks_count: u32,
    pending_tasks_count: u32,
}

/// The container engine, or why it does not respond.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Engine {
    #[serde(rename_all = "camelCase")]
    Responds {
        name: String,
        cpu_architecture: String,
        limits: String,
    },
    Silent {
        error: String,
    },
}

/// 200 as long as the container engine responds, else 503; the body has the reason.
pub(super) async fn health(State(emulator): State<Emulator>) -> Response {
    let engine = &emulator.engine;
    let (status, runtime) = match engine.clock().timeout(TIMEOUT, engine.runtime().info()).await {
        Ok(Ok(runtime::Info { name, cpu_architecture, limits })) => {
            (StatusCode::OK, Engine::Responds { name, cpu_architecture, limits })
        }
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, Engine::Silent { error: error.to_string() }),
        Err(_) => {
            let error = "the container engine does not respond in time".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, Engine::Silent { error })
        }
    };
    let counts = engine.total();
    let health = Health {
        version: env!("CARGO_PKG_VERSION"),
        instance: engine.store().instance_id().to_owned(),
        region: emulator.region.to_string(),
        account: emulator.account.to_string(),
        engine: engine.health(),
        runtime,
        running_tasks_count: counts.running_tasks_count,
        pending_tasks_count: counts.pending_tasks_count,
    };
    (status, Json(health)).into_response()
}
