//! An operation, and the table of all of them.
//!
//! ```text
//! X-Amz-Target ─▶ Table ─▶ Service ─▶ Handler: decode Input ─▶ RULES ─▶ the model's constraints ─▶ handle ─▶ encode
//! ```

use std::collections::BTreeMap;
use std::future::Future;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::aws_json;
use super::context::Context;
use super::error::Error;
use super::shape::{Validate, Violations};

/// One operation of a service: a unit struct a piece.
pub trait Operation: Send + Sync + 'static {
    /// As after the dot in `X-Amz-Target`.
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

/// An operation whose types are erased: from the bytes of the request to those of the answer.
pub(super) type Handler = for<'a> fn(&'a Context, &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Error>>;

fn handler<'a, O: Operation>(context: &'a Context, body: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Error>> {
    async move {
        let input: O::Input = aws_json::decode(body)?;
        if let Some(error) = O::RULES.iter().find_map(|rule| (rule.broken)(&input)) {
            return Err(error);
        }
        if let Some(message) = Violations::of(&input) {
            return Err(Error::Invalid(message));
        }
        aws_json::encode(&O::handle(context, input).await?)
    }
    .boxed()
}

/// A service: its place on the wire and the operations that are built.
#[derive(Debug)]
pub struct Service {
    /// As in an ARN and a policy: `ecs`, `logs`.
    pub name: &'static str,
    /// What stands before the dot in `X-Amz-Target`.
    pub target_prefix: &'static str,
    /// All operations of the model, sorted.
    pub operations: &'static [&'static str],
    /// The code for a request that breaks a constraint of the model.
    pub invalid: &'static str,
    /// The code for a failure of ours.
    pub failure: &'static str,
    built: BTreeMap<&'static str, Handler>,
}

impl Service {
    pub(super) fn new(
        name: &'static str,
        target_prefix: &'static str,
        operations: &'static [&'static str],
        [invalid, failure]: [&'static str; 2],
    ) -> Self {
        Self { name, target_prefix, operations, invalid, failure, built: BTreeMap::new() }
    }

    /// The same service with one more operation built.
    #[must_use]
    pub(super) fn with<O: Operation>(mut self) -> Self {
        self.built.insert(O::NAME, handler::<O>);
        self
    }
}

/// What a target names.
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

    /// Looks `prefix.operation` up.
    pub(super) fn find(&self, prefix: &str, operation: &str) -> Found<'_> {
        let Some(service) = self.0.iter().find(|service| service.target_prefix == prefix) else {
            return Found::Unknown;
        };
        match service.built.get(operation) {
            Some(handler) => Found::Built(service, *handler),
            None if service.operations.binary_search(&operation).is_ok() => Found::NotBuilt(service),
            None => Found::Unknown,
        }
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
