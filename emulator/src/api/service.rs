//! The services: which operations of each are built, and the one table of all.

use std::collections::BTreeMap;

use super::operation::{Handler, Operation, handler};
use super::protocol::aws_json::AwsJson;
use super::protocol::query::Query;
use super::protocol::rest_json::RestJson;
use super::protocol::{Named, Protocol};
use super::shape::ErrorCode;

/// A service: its place on the wire and the operations that are built.
#[derive(Debug)]
pub(super) struct Service<P> {
    /// As in an ARN and a policy: `ecs`, `logs`.
    pub(super) name: &'static str,
    pub(super) protocol: P,
    /// All operations of the model, sorted.
    operations: &'static [&'static str],
    /// The codes for a request that breaks a constraint of the model, and for a failure of ours.
    pub(super) codes: [ErrorCode; 2],
    built: BTreeMap<&'static str, Built<P>>,
}

/// An operation that is built.
#[derive(Debug)]
pub(super) struct Built<P> {
    pub(super) name: &'static str,
    /// Bytes.
    pub(super) largest_body: usize,
    pub(super) handler: Handler<P>,
}

/// What is known of an operation's name.
#[derive(Debug)]
pub(super) enum Found<'s, P> {
    Built(&'s Built<P>),
    /// The model has it, Neargate does not.
    NotBuilt,
    Unknown,
}

impl<P: Protocol> Service<P> {
    pub(super) fn new(
        name: &'static str,
        protocol: P,
        operations: &'static [&'static str],
        codes: [ErrorCode; 2],
    ) -> Self {
        Self { name, protocol, operations, codes, built: BTreeMap::new() }
    }

    /// The same service with one more operation built.
    #[must_use]
    pub(super) fn with<O: Operation>(mut self) -> Self {
        let built = Built { name: O::NAME, largest_body: O::LARGEST_BODY, handler: handler::<P, O> };
        self.built.insert(O::NAME, built);
        self
    }

    pub(super) fn find(&self, operation: &str) -> Found<'_, P> {
        match self.built.get(operation) {
            Some(built) => Found::Built(built),
            None if self.operations.binary_search(&operation).is_ok() => Found::NotBuilt,
            None => Found::Unknown,
        }
    }

    pub(super) fn named(&self) -> Named<'_, P> {
        Named { name: self.name, protocol: &self.protocol }
    }
}

/// Every service, by its protocol.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) aws_json: Vec<Service<AwsJson>>,
    pub(super) query: Vec<Service<Query>>,
    pub(super) rest_json: Vec<Service<RestJson>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    #[test]
    fn every_operation_that_is_built_is_one_of_its_model() {
        fn check<P: Protocol>(services: &[Service<P>]) {
            for service in services {
                assert!(service.operations.is_sorted(), "{} is looked up by bisection", service.name);
                for name in service.built.keys() {
                    assert!(service.operations.contains(name), "{}:{name}", service.name);
                }
            }
        }
        let api::Table { aws_json, query, rest_json } = api::table();
        check(&aws_json);
        check(&query);
        check(&rest_json);
        assert!(!aws_json.is_empty() && !query.is_empty());
    }
}
