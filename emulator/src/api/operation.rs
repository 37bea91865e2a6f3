//! An operation, and the table of all of them.
//!
//! ```text
//! X-Amz-Target, or Action and Version ─▶ Table ─▶ Service ─▶ Handler:
//!     decode Input ─▶ RULES ─▶ the model's constraints ─▶ handle ─▶ encode
//! ```

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::{Context, Emulator};
use super::error::Error;
use super::query::Dialect;
use super::shape::{ErrorCode, Validate, Violations};
use super::{aws_json, query, signature};

/// One operation of a service: a unit struct a piece.
pub trait Operation: Send + Sync + 'static {
    /// As after the dot in `X-Amz-Target`, or as `Action` says it.
    const NAME: &'static str;

    type Input: DeserializeOwned + Validate + Send;

    /// `()` where the model has no output: the answer has an empty body.
    type Output: Serialize + Send;

    /// The rules that stand in AWS's prose alone, in the order in which they are asked. They come before the
    /// model's own constraints, so that a rule may give a missing member the service's own wording.
    const RULES: &'static [Rule<Self::Input>] = &[];

    /// Does it. The input is valid by [`Operation::RULES`] and by the model: what the model requires is there.
    fn handle(
        context: &Context,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}

/// A rule of prose.
#[derive(Debug)]
pub struct Rule<I> {
    /// Where AWS says so.
    pub source: &'static str,
    /// AWS's error where the input breaks the rule.
    pub broken: fn(&I) -> Option<Error>,
}

/// How a service is spoken to: what leads to it, and how values look on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    AwsJson {
        /// What stands before the dot in `X-Amz-Target`.
        target_prefix: &'static str,
    },
    Query(Dialect),
}

impl Protocol {
    fn decode<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, Error> {
        match self {
            Self::AwsJson { .. } => aws_json::decode(body),
            Self::Query(_) => query::decode(body),
        }
    }

    fn encode<T: Serialize>(self, operation: &str, context: &Context, output: &T) -> Result<Vec<u8>, Error> {
        match self {
            Self::AwsJson { .. } => aws_json::encode(output),
            Self::Query(dialect) => query::encode(dialect, operation, &context.request_id, output),
        }
    }
}

/// An operation whose types are erased: from the bytes of the request to those of the answer.
pub(super) type Handler =
    for<'a> fn(&'a Context, Protocol, &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Error>>;

fn handler<'a, O: Operation>(
    context: &'a Context,
    protocol: Protocol,
    body: &'a [u8],
) -> BoxFuture<'a, Result<Vec<u8>, Error>> {
    async move {
        let input: O::Input = protocol.decode(body)?;
        if let Some(error) = O::RULES.iter().find_map(|rule| (rule.broken)(&input)) {
            return Err(error);
        }
        if let Some(message) = Violations::of(&input) {
            return Err(Error::Invalid(message));
        }
        protocol.encode(O::NAME, context, &O::handle(context, input).await?)
    }
    .boxed()
}

/// A service: its place on the wire and the operations that are built.
#[derive(Debug)]
pub struct Service {
    /// As in an ARN and a policy: `ecs`, `logs`.
    pub name: &'static str,
    pub(super) protocol: Protocol,
    /// All operations of the model, sorted.
    pub operations: &'static [&'static str],
    /// The code for a request that breaks a constraint of the model.
    pub invalid: ErrorCode,
    /// The code for a failure of ours.
    pub failure: ErrorCode,
    built: BTreeMap<&'static str, Handler>,
}

impl Service {
    pub(super) fn new(
        name: &'static str,
        protocol: Protocol,
        operations: &'static [&'static str],
        [invalid, failure]: [ErrorCode; 2],
    ) -> Self {
        Self { name, protocol, operations, invalid, failure, built: BTreeMap::new() }
    }

    /// The same service with one more operation built.
    #[must_use]
    pub(super) fn with<O: Operation>(mut self) -> Self {
        self.built.insert(O::NAME, handler::<O>);
        self
    }

    /// Does a built operation for the request: the bytes of its answer.
    pub(super) async fn perform(
        &self,
        handler: Handler,
        emulator: &Emulator,
        request_id: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let scope = signature::scope(headers)?;
        let region = scope.map_or(&*emulator.region, |scope| scope.region).to_owned();
        let context = Context { emulator: emulator.clone(), region, request_id: request_id.to_owned() };
        // The last resort: a panic costs its own request and no other.
        AssertUnwindSafe(handler(&context, self.protocol, body))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Error::failure("the operation panicked")))
    }

    /// What is built and what is known of that name.
    pub(super) fn find(&self, operation: &str) -> Found<'_> {
        match self.built.get(operation) {
            Some(handler) => Found::Built(self, *handler),
            None if self.operations.binary_search(&operation).is_ok() => Found::NotBuilt(self),
            None => Found::Unknown,
        }
    }
}

/// What a request names.
#[derive(Debug)]
pub(super) enum Found<'t> {
    Built(&'t Service, Handler),
    /// The model has it, Neargate does not.
    NotBuilt(&'t Service),
    Unknown,
}

/// The one table of operations.
#[derive(Debug)]
pub struct Table(Vec<Service>);

impl Table {
    pub(super) fn new(services: Vec<Service>) -> Self {
        Self(services)
    }

    /// Looks `prefix.operation` of AWS JSON up.
    pub(super) fn find_target(&self, prefix: &str, operation: &str) -> Found<'_> {
        let service = self.0.iter().find(|service| {
            matches!(service.protocol, Protocol::AwsJson { target_prefix } if target_prefix == prefix)
        });
        service.map_or(Found::Unknown, |service| service.find(operation))
    }

    /// The service of a query: that of the signature's scope, else the one with this `Version`.
    pub(super) fn find_query(&self, name: Option<&str>, version: &str) -> Option<(&Service, Dialect)> {
        let mut queries = self.0.iter().filter_map(|service| match service.protocol {
            Protocol::Query(dialect) => Some((service, dialect)),
            Protocol::AwsJson { .. } => None,
        });
        queries
            .find(|(service, dialect)| name.map_or(dialect.version == version, |name| service.name == name))
    }
}

#[cfg(test)]
mod tests {
    use crate::api;

    #[test]
    fn every_operation_that_is_built_is_one_of_its_model() {
        for service in &api::table().0 {
            assert!(service.operations.is_sorted(), "{} is looked up by bisection", service.name);
            for name in service.built.keys() {
                assert!(service.operations.contains(name), "{}:{name}", service.name);
            }
        }
    }
}
