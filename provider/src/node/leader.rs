//! Which of several providers of one node acts: the one that holds a Lease of its own.
//!
//! The node's lease cannot decide that: its holder is the node's name, as a kubelet's is, and every provider of the node would
//! renew it. So there is a second Lease beside it, whose holder is the process, acquired and renewed as client-go's leader
//! election does (`tools/leaderelection`):
//!
//! - Every write replaces the version that was read, so of two candidates that write at once one fails.
//! - A lease has expired if *this process* has seen the same version of it for its whole duration. The clocks of two machines are
//!   never compared.
//! - A holder counts from the moment it *sent* its last successful renewal and stops acting before others may take the lease.
//!   A machine that was suspended detects it at its next renewal, within 2 s.
//! - A holder that ends releases the lease, so that the next one need not wait.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::FIELD_MANAGER;
use crate::{clock, nodes::Node};

/// How long a renewal is valid, and how long its holder acts on it: client-go's defaults. In the difference, work in progress
/// ends.
const DURATION_SECONDS: i32 = 15;
const ACTING: Duration = Duration::from_secs(10);

/// Between two renewals, and between two reads of a lease that another process holds.
const PERIOD: Duration = Duration::from_secs(2);

/// How long one call to the API server may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A candidate: one process that would act for a node.
#[derive(Debug)]
pub struct Leader {
    leases: Api<Lease>,
    name: String,
    identity: String,
    clock: clock::Shared,
}

/// A version of the lease, and when this process first saw it; of its own renewals, when it sent them.
#[derive(Debug, Clone)]
struct Seen {
    lease: Lease,
    since: Instant,
}

/// Why an attempt to acquire or renew the lease failed; it is retried.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("calling the API server")]
    Api(#[source] kube::Error),
    #[error("the API server did not respond in time")]
    Timeout,
}

impl Leader {
    /// A candidate for `node`, with an identity that no other process has: the host's name, for people, and a random part.
    #[must_use]
    pub fn new(client: Client, node: &Node, clock: clock::Shared) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let identity = format!("{}_{}", host.trim(), uuid::Uuid::new_v4());
        Self { leases: Api::namespaced(client, super::LEASES), name: name(&node.name), identity, clock }
    }

    /// Runs `act` while this process holds the lease: from the start again each time that it has lost the lease and acquired it
    /// again, until `act` ends by itself, as it must on `shutdown`. If the lease is lost, `act` is dropped at once.
    pub async fn lead<A, E>(&self, shutdown: &CancellationToken, act: impl Fn() -> A) -> Result<(), E>
    where
        A: Future<Output = Result<(), E>>,
    {
        let mut seen = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.acquire(&mut seen) => {}
            }
            tracing::info!(lease = self.name, identity = self.identity, "this provider acts for the node");
            let ended = tokio::select! {
                ended = act() => Some(ended),
                () = self.keep(&mut seen) => None,
            };
            if let Some(ended) = ended {
                self.release(seen).await;
                return ended;
            }
            tracing::warn!(lease = self.name, "lost the lease; this provider no longer acts for the node");
        }
    }

    /// Retries until this process holds the lease.
    async fn acquire(&self, seen: &mut Option<Seen>) {
        let mut reported = None;
        loop {
            match self.attempt(seen).await {
                Ok(true) => return,
                Ok(false) => {
                    let holder = seen.as_ref().and_then(|seen| holder(&seen.lease)).map(ToOwned::to_owned);
                    if holder.is_some() && holder != reported {
                        tracing::info!(
                            lease = self.name,
                            holder,
                            "another provider acts for the node; waiting for its lease"
                        );
                        reported = holder;
                    }
                }
                Err(error) => tracing::warn!(
                    lease = self.name,
                    error = &error as &dyn std::error::Error,
                    "could not take the leader lease; retrying in {PERIOD:?}"
                ),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Renews the lease until it is lost: another process has it, or it could not be renewed for as long as its holder may act.
    async fn keep(&self, seen: &mut Option<Seen>) {
        let mut renewed = seen.as_ref().map_or_else(Instant::now, |seen| seen.since);
        let mut next = renewed + PERIOD;
        loop {
            tokio::time::sleep_until(next).await;
            let over = renewed + ACTING;
            if Instant::now() >= over {
                return;
            }
            match tokio::time::timeout_at(over, self.attempt(seen)).await {
                Err(_) => return,
                Ok(Ok(true)) => renewed = seen.as_ref().map_or(renewed, |seen| seen.since),
                // A version that this process does not know: its own, if a response was lost, else another's.
                Ok(Ok(false)) if seen.is_none() => {
                    next = Instant::now();
                    continue;
                }
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(
                    lease = self.name,
                    error = &error as &dyn std::error::Error,
                    "could not renew the leader lease; retrying in {PERIOD:?}"
                ),
            }
            next = (Instant::now() + PERIOD).min(over);
        }
    }

    /// Acquires or renews the lease, if no other process holds it. `Ok(false)`: another process does, or has just written, in
    /// which case `seen` is empty and the lease is to be read again.
    async fn attempt(&self, seen: &mut Option<Seen>) -> Result<bool, Error> {
        let sent = Instant::now();
        let known = seen.as_ref().filter(|seen| self.is_ours(&seen.lease)).map(|seen| seen.lease.clone());
        let current = match known {
            // A holder replaces its own last version without reading it first.
            Some(lease) => Some(lease),
            None => {
                let found = in_time(self.leases.get_opt(&self.name)).await?;
                *seen = found.map(|lease| match seen.take() {
                    Some(before) if before.lease.resource_version() == lease.resource_version() => before,
                    _ => Seen { lease, since: Instant::now() },
                });
                if seen.as_ref().is_some_and(|seen| !self.is_ours(&seen.lease) && !has_run_out(seen)) {
                    return Ok(false);
                }
                seen.as_ref().map(|seen| seen.lease.clone())
            }
        };
        let wanted = self.renewed(current.as_ref());
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let written = match current {
            Some(_) => in_time(self.leases.replace(&self.name, &params, &wanted)).await,
            None => in_time(self.leases.create(&params, &wanted)).await,
        };
        match written {
            Ok(lease) => {
                *seen = Some(Seen { lease, since: sent });
                Ok(true)
            }
            // Another version exists, or none any more.
            Err(Error::Api(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                *seen = None;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The lease as this process wants it to be, in place of `current`.
    fn renewed(&self, current: Option<&Lease>) -> Lease {
        let now: Timestamp = self.clock.now();
        let spec = current.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = current.is_some_and(|lease| self.is_ours(lease));
        let transitions = spec.lease_transitions.unwrap_or(0);
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: current.and_then(ResourceExt::resource_version),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(DURATION_SECONDS),
                acquire_time: spec.acquire_time.filter(|_| ours).or(Some(MicroTime(now))),
                renew_time: Some(MicroTime(now)),
                lease_transitions: Some(if ours { transitions } else { transitions.saturating_add(1) }),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Releases the lease, if this process holds it. A lease that is not released expires.
    async fn release(&self, seen: Option<Seen>) {
        let Some(Seen { mut lease, .. }) = seen.filter(|seen| self.is_ours(&seen.lease)) else { return };
        lease.metadata.managed_fields = None;
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(self.clock.now()));
        }
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        if let Err(error) = in_time(self.leases.replace(&self.name, &params, &lease)).await {
            tracing::warn!(
                lease = self.name,
                error = &error as &dyn std::error::Error,
                "could not release the leader lease; another provider can act in {DURATION_SECONDS} s"
            );
        }
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        holder(lease) == Some(self.identity.as_str())
    }
}

/// The name of a node's leader lease.
fn name(node: &str) -> String {
    format!("neargate-provider-{node}")
}

/// The holder of the lease; `None` if it was released.
fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Whether the lease's holder, as this process has seen it, has not renewed it for its whole duration.
fn has_run_out(Seen { lease, since }: &Seen) -> bool {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let duration = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    holder(lease).is_none() || since.elapsed() >= duration.unwrap_or_default()
}

async fn in_time<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(answer) => answer.map_err(Error::Api),
        Err(_) => Err(Error::Timeout),
    }
}

#[cfg(test)]
mod tests;
