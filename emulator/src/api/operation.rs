//! An operation: typed input and output, AWS's rules, and what it does.
//!
//! ```text
//! Request ─▶ decode Input ─▶ RULES ─▶ the model's constraints ─▶ handle ─▶ respond
//! ```

use std::future::Future;

use axum::body::Body;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::Context;
use super::error::Error;
use super::protocol::{Protocol, Request};
use super::shape::{Validate, Violations};

/// One operation of a service: a unit struct per operation.
pub(super) trait Operation: Send + Sync + 'static {
    /// As after the dot in `X-Amz-Target`, or as the value of `Action`.
    const NAME: &'static str;

    /// Bytes of a request's body at most. ECS's largest request registers a task definition, which AWS limits to 64 KiB;
    /// JSON may write a byte of it as several.
    const LARGEST_BODY: usize = 256 << 10;

    type Input: DeserializeOwned + Validate + Send;

    /// `()` if the model has no output: the response has an empty body.
    type Output: Output;

    /// The rules that only AWS's documentation states, in the order in which they are checked. They come before the
    /// model's own constraints, so that a rule can report a missing member in the service's own wording.
    const RULES: &'static [Rule<Self::Input>] = &[];

    /// Performs it. The input is valid by [`Operation::RULES`] and by the model, so all required members are present.
    fn handle(
        context: &Context,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}

/// What an operation returns. A value is written by its protocol; a stream of events writes itself.
pub(super) trait Output: Send {
    fn respond<P: Protocol>(
        self,
        protocol: &P,
        operation: &'static str,
        request_id: &str,
    ) -> Result<Response<Body>, Error>;
}

impl<T: Serialize + Send> Output for T {
    fn respond<P: Protocol>(
        self,
        protocol: &P,
        operation: &'static str,
        request_id: &str,
    ) -> Result<Response<Body>, Error> {
        protocol.encode(operation, request_id, &self)
    }
}

/// A rule of AWS's documentation.
#[derive(Debug)]
pub(super) struct Rule<I> {
    /// Where AWS documents it.
    pub(super) source: &'static str,
    /// AWS's error if the input breaks the rule.
    pub(super) broken: fn(&I) -> Option<Error>,
}

/// An operation whose types are erased: from a request to its response.
pub(super) type Handler<P> =
    for<'a> fn(&'a Context, &'a P, Request) -> BoxFuture<'a, Result<Response<Body>, Error>>;

pub(super) fn handler<'a, P: Protocol, O: Operation>(
    context: &'a Context,
    protocol: &'a P,
    request: Request,
) -> BoxFuture<'a, Result<Response<Body>, Error>> {
    async move {
        let input: O::Input = protocol.decode(O::NAME, &request)?;
        drop(request);
        for rule in O::RULES {
            if let Some(error) = (rule.broken)(&input) {
                tracing::debug!(source = rule.source, %error, "refused the request: it breaks a rule of AWS");
                return Err(error);
            }
        }
        if let Some(message) = Violations::of(&input) {
            return Err(Error::Invalid(message));
        }
        O::handle(context, input).await?.respond(protocol, O::NAME, &context.request_id)
    }
    .boxed()
}
