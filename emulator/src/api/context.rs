//! What an operation may use, and its caller.

use std::sync::Arc;

use crate::clock::Clock;
use crate::cost::Prices;
use crate::engine::Engine;
use crate::store::Store;

/// The emulator as its operations see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Emulator {
    pub engine: Engine,
    /// 12 digits.
    pub account: Arc<str>,
    /// The region of a request whose signature names none.
    pub region: Arc<str>,
    /// What tasks cost.
    pub prices: Prices,
}

/// The sender of a request. It is determined from the connection and set as an extension of each of its requests, because a
/// header can be forged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// A program that reaches the address that the server listens on.
    #[default]
    Host,
    /// A container of a task, through the task's sandbox.
    Task {
        arn: Arc<str>,
        /// The ARN of the task's role, if it has one.
        role: Option<Arc<str>>,
    },
}

/// The id of a request, created when it arrives.
#[derive(Clone, Debug, Default)]
pub struct RequestId(pub String);

/// The context of one request.
#[derive(Clone, Debug)]
pub struct Context {
    pub emulator: Emulator,
    /// Of the request's SigV4 credential scope, else the emulator's own.
    pub region: String,
    /// The value of `x-amzn-RequestId`.
    pub request_id: String,
    pub caller: Caller,
}

impl Context {
    pub fn engine(&self) -> &Engine {
        &self.emulator.engine
    }

    pub fn store(&self) -> &Store {
        self.emulator.engine.store()
    }

    pub fn clock(&self) -> &Clock {
        self.emulator.engine.clock()
    }

    /// 12 digits.
    pub fn account(&self) -> &str {
        &self.emulator.account
    }

    /// `arn:aws:<service>:<region>:<account>:<resource>`, of this request's region.
    pub fn arn(&self, service: &str, resource: impl std::fmt::Display) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account())
    }
}
