//! Neargate: AWS Fargate on your own machine.
//!
//! [`api`] is the wire and knows neither Docker nor SQL; [`engine`] runs the tasks; [`runtime`] is where containers
//! run; [`store`] keeps everything in SQLite. Dependencies point one way: `api → engine → {runtime, store}`.

pub mod admin;
pub mod api;
pub mod ask;
pub mod clean;
pub mod clock;
pub mod cost;
pub mod doctor;
pub mod engine;
pub mod options;
pub mod runtime;
pub mod server;
pub mod signals;
pub mod store;
