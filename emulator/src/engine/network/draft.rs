//! A sandbox that has no row yet: it is being created, or is created and not committed. If it is dropped before it is kept,
//! for any reason, it is removed and its slot is free again.

use std::time::Duration;

use uuid::Uuid;

use super::leaving::Leaving;
use super::pool::{Error, Pool};
use super::subnet::Slot;
use crate::engine::vpc::private_dns_name;
use crate::runtime::{self, Resolver, SandboxSpec};
use crate::store::sandboxes;

/// The time limit for creating one. A working engine reports its own time-outs before this one.
const BOUND: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(in crate::engine) struct Draft {
    pool: Pool,
    /// Complete once the sandbox is created.
    row: sandboxes::Row,
    slot: Slot,
    kept: bool,
}

impl Draft {
    /// The row that it is to have.
    pub(in crate::engine) fn row(&self) -> &sandboxes::Row {
        &self.row
    }

    /// Its row is committed.
    pub(super) fn keep(&mut self) {
        self.kept = true;
        self.pool.0.drafts.lock().remove(&self.row.sandbox_id);
    }

    fn leaving(&self) -> Leaving {
        let sandboxes::Row { sandbox_id, subnet_id, .. } = &self.row;
        Leaving { sandbox_id: sandbox_id.clone(), subnet_id: subnet_id.clone(), slot: self.slot }
    }

    /// Removes it from the pool's numbers, except the slot.
    fn strike(&mut self) {
        self.kept = true;
        self.pool.strike(&self.row);
    }

    /// Removes it now, so that the slot is free for the next attempt.
    async fn discard(mut self) {
        self.strike();
        // A removal that fails is retried.
        let _ = self.pool.remove(self.leaving()).await;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            self.strike();
            self.pool.leave(self.leaving());
        }
        self.pool.0.drafts.lock().remove(&self.row.sandbox_id);
    }
}

impl Pool {
    /// Creates a sandbox in a slot that was taken for it, which is free again if that fails.
    pub(super) async fn make(
        &self,
        subnet_id: &str,
        slot: Slot,
        state: sandboxes::State,
        security_groups: &[String],
    ) -> Result<Draft, Error> {
        let row = sandboxes::Row {
            sandbox_id: Uuid::new_v4().simple().to_string(),
            subnet_id: subnet_id.to_owned(),
            address: String::new(),
            mac_address: String::new(),
            state,
            created_at: self.0.clock.now(),
        };
        self.0.drafts.lock().insert(row.sandbox_id.clone());
        let mut draft = Draft { pool: self.clone(), row, slot, kept: false };
        // The semaphore is never closed, so a permit always comes.
        let _maker = self.0.makers.acquire().await;
        let vpc = self.vpc();
        let subnet = vpc.subnets.iter().find(|subnet| subnet.subnet_id == subnet_id);
        let spec = SandboxSpec {
            sandbox_id: draft.row.sandbox_id.clone(),
            network: self.0.network.clone(),
            address: slot,
            // If the runtime assigns the address, it is not known in time.
            hostname: slot.map(|address| private_dns_name(address, &self.0.region)),
            resolver: Resolver {
                name_servers: vpc.dhcp_options.domain_name_servers.clone(),
                search_domains: vpc.dhcp_options.domain_names.clone(),
            },
            routes: subnet.map(|subnet| vpc.routes(subnet).to_vec()).unwrap_or_default(),
            filter: self.0.filters.at_first(security_groups),
        };
        let attempted = || format!("create the sandbox {}", spec.sandbox_id);
        let created = self.0.runtime.create_sandbox(&spec);
        let sandbox = match runtime::within(&self.0.clock, BOUND, attempted, created).await {
            Ok(sandbox) => sandbox,
            Err(error) => {
                draft.discard().await;
                return Err(Error::Make(error));
            }
        };
        self.with(subnet_id, |ledger| ledger.made(slot, sandbox.address));
        draft.slot = Some(sandbox.address);
        draft.row.address = sandbox.address.to_string();
        draft.row.mac_address = sandbox.mac_address;
        self.0.filters.made(&sandbox.sandbox_id, spec.filter);
        Ok(draft)
    }
}
