//! The wire: AWS's protocols over HTTP. It knows JSON, XML and HTTP, never Docker or SQL.
//!
//! ```text
//! HTTP ─▶ router (guard, request id, body) ─▶ aws_json (target, codec, errors): ECS, CloudWatch Logs
//!            │                              └▶ query (action, codec, errors): EC2, STS
//!            └▶ operation::Table ─▶ ecs::…, logs::…, ec2::…, sts::… (an `Operation` each) ─▶ engine, store
//! ```
//!
//! [`model`] holds the wire types, generated from the services' public models; [`shape`] is what they are made of.

mod admin;
mod aws_json;
mod context;
mod cost;
mod ec2;
mod ecs;
mod error;
mod guard;
mod logs;
pub mod model;
mod operation;
mod page_token;
mod query;
mod router;
pub mod shape;
mod signature;
mod sts;

pub use context::{Context, Emulator};
pub use error::Error;
pub use guard::Guard;
pub use operation::{Operation, Rule, Service, Table};
pub use router::router;

/// Every operation of every service.
fn table() -> Table {
    Table::new(vec![ecs::service(), logs::service(), ec2::service(), sts::service()])
}
