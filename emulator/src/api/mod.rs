//! The wire: AWS's protocols over HTTP. It knows JSON, XML and HTTP, never Docker or SQL.
//!
//! ```text
//! POST / or a path ─▶ answer ─▶ protocol (locate, decode, encode, refuse): aws_json, query, rest_json
//!                       │
//!                       └▶ service::Table ─▶ ecs::…, logs::…, ec2::…, sts::… (an `Operation` each) ─▶ engine, store
//! ```
//!
//! [`model`] holds the wire types and error codes, generated from the services' public models; [`shape`] is what they are
//! made of.

mod answer;
mod body;
mod context;
mod ec2;
mod ecs;
mod error;
mod logs;
pub mod model;
mod operation;
mod page_token;
mod protocol;
mod service;
pub mod shape;
mod signature;
mod sts;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;

use answer::answer;
pub(crate) use body::read as read_body;
pub use context::{Caller, Context, Emulator, RequestId};
pub use error::Error;
pub(crate) use error::common;
use operation::{Operation, Rule};
use protocol::aws_json::AwsJson;
use protocol::query;
use service::Table;

/// AWS's operations: those of the JSON and query protocols are `POST /`, those of REST have paths of their own.
pub fn routes(emulator: Emulator) -> Router {
    Router::new()
        .route("/", post(at_the_root))
        .fallback(at_a_path)
        .with_state(Wire { table: Arc::new(table()), emulator })
}

/// An error outside of any operation, in the shape that most of AWS's clients read.
pub fn refusal(error: &Error) -> Response {
    answer::refuse::<AwsJson>(None, "", error)
}

#[derive(Clone, Debug)]
struct Wire {
    table: Arc<Table>,
    emulator: Emulator,
}

async fn at_the_root(State(Wire { table, emulator }): State<Wire>, request: Request) -> Response {
    if query::speaks(request.headers()) {
        answer(&table.query, &emulator, request).await
    } else {
        answer(&table.aws_json, &emulator, request).await
    }
}

async fn at_a_path(State(Wire { table, emulator }): State<Wire>, request: Request) -> Response {
    answer(&table.rest_json, &emulator, request).await
}

/// Every operation of every service.
fn table() -> Table {
    Table {
        aws_json: vec![ecs::service(), logs::service()],
        query: vec![ec2::service(), sts::service()],
        rest_json: Vec::new(),
    }
}
