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

use axum::extract::Request;
use axum::response::Response;

use answer::answer;
pub(crate) use body::read as read_body;
pub use context::{Caller, Context, Emulator, RequestId};
pub use error::Error;
pub(crate) use error::common;
use operation::{Operation, Rule};
use protocol::aws_json::AwsJson;
use protocol::query;
use service::Table;

/// AWS's operations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    table: Arc<Table>,
    emulator: Emulator,
}

impl Api {
    pub fn new(emulator: Emulator) -> Self {
        Self { table: Arc::new(table()), emulator }
    }

    /// Responds to `POST /`: the operations of the JSON and query protocols.
    pub async fn at_the_root(&self, request: Request) -> Response {
        if query::speaks(request.headers()) {
            answer(&self.table.query, &self.emulator, request).await
        } else {
            answer(&self.table.aws_json, &self.emulator, request).await
        }
    }

    /// Responds to a request with a path: the operations of the REST protocols.
    pub async fn at_a_path(&self, request: Request) -> Response {
        answer(&self.table.rest_json, &self.emulator, request).await
    }
}

/// An error outside of any operation, in the shape that most of AWS's clients read.
pub fn refusal(error: &Error) -> Response {
    answer::refuse::<AwsJson>(None, "", error)
}

/// Every operation of every service.
fn table() -> Table {
    Table {
        aws_json: vec![ecs::service(), logs::service()],
        query: vec![ec2::service(), sts::service()],
        rest_json: Vec::new(),
    }
}
