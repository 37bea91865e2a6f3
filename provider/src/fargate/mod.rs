//! The AWS side: ECS and CloudWatch Logs through AWS's own SDK.

mod client;
mod health;

pub mod logs;

pub use self::{
    client::Client,
    health::{Health, Outcome},
};
