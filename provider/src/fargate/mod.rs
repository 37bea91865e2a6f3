//! The AWS side: ECS and CloudWatch Logs through AWS's own SDK.
//!
//! ```text
//! pods --Definition, Run--> Ecs (trait) --convert--> aws-sdk-ecs --> AWS
//!                            |  '-- quota: one token bucket per kind of request
//!                            '----- health: how every call ended --> the node's Ready condition
//! ```

mod client;
mod convert;
pub mod ecs;
mod health;
pub mod logs;
mod quota;

pub use self::{
    client::Client,
    ecs::Ecs,
    health::{Health, Outcome},
};
