//! The node's heartbeat: a Lease in `kube-node-lease`, as a kubelet keeps it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{FIELD_MANAGER, LEASES};
use crate::clock;

/// How long a renewal is valid (`nodeLeaseDurationSeconds`).
const DURATION_SECONDS: i32 = 40;

/// Between two renewals: a quarter of the duration.
const PERIOD: Duration = Duration::from_secs(10);

/// How long one renewal may take, and how long until it is retried.
const TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);

/// Renews the lease for as long as it is polled. `uid` is the Node's, `None` while there is none; for a new
/// one the lease is written at once, because the old Node's lease was deleted with it.
pub(super) async fn keep(
    client: Client,
    node: String,
    clock: clock::Shared,
    mut uid: watch::Receiver<Option<String>>,
) {
    let leases = Api::<Lease>::namespaced(client, LEASES);
    loop {
        let owner = uid.borrow_and_update().clone();
        let pause = match owner {
            None => Duration::MAX,
            Some(owner) => {
                let patch = Patch::Apply(body(&node, &owner, clock.now()));
                let params = PatchParams::apply(FIELD_MANAGER).force();
                let renewal = leases.patch(&node, &params, &patch);
                match tokio::time::timeout(TIMEOUT, renewal).await {
                    Ok(Ok(_)) => PERIOD,
                    Ok(Err(error)) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "could not renew the lease of node {node}; retrying in {RETRY:?}"
                        );
                        RETRY
                    }
                    Err(_) => {
                        tracing::warn!(
                            "the API server did not renew the lease of node {node} in time; retrying in {RETRY:?}"
                        );
                        RETRY
                    }
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = uid.changed() => if changed.is_err() { return },
        }
    }
}

fn body(node: &str, owner: &str, now: Timestamp) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": node,
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": node, "uid": owner }],
        },
        "spec": {
            "holderIdentity": node,
            "leaseDurationSeconds": DURATION_SECONDS,
            // MicroTime: six digits, no more and no fewer.
            "renewTime": format!("{now:.6}"),
        },
    })
}
