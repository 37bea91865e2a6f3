//! Neargate's own paths beside AWS's: health for programs that wait for the server, reset for test suites, cost.

mod cost;
mod health;
mod reset;

use axum::Router;
use axum::routing::{get, post};

use crate::api::Emulator;

/// What these paths begin with.
pub const PREFIX: &str = "/_neargate/";

pub fn routes(emulator: Emulator) -> Router {
    Router::new()
        .route("/_neargate/health", get(health::health))
        .route("/_neargate/cost", get(cost::report))
        .route("/_neargate/reset", post(reset::reset))
        .with_state(emulator)
}
