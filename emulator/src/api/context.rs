//! What an operation may use, and who asks.

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

/// One request's surroundings.
#[derive(Clone, Debug)]
pub struct Context {
    pub emulator: Emulator,
    /// Of the request's SigV4 credential scope, else the emulator's own.
    pub region: String,
    /// What `x-amzn-RequestId` says.
    pub request_id: String,
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
