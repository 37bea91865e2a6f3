//! The VPC as EC2's Describes show it, also while the engine is not ready.

use super::engine::{Engine, Error};
use super::readiness::MAX_WAIT;
use super::vpc::{Addresses, Vpc};
use super::work::boot;
use crate::store::sandboxes;

impl Engine {
    /// The VPC, and how many addresses each of its subnets still has for tasks, in the subnets' order. While the engine is not
    /// ready, they come from the store.
    ///
    /// # Errors
    /// The VPC was never created, and the engine does not become ready; the store cannot be read.
    pub async fn vpc(&self) -> Result<(Vpc, Vec<usize>), Error> {
        let context = &self.0.context;
        let pool = match context.pool_now() {
            Some(pool) => pool,
            None => match boot::known_vpc(context).await? {
                Some(vpc) => {
                    let free = self.free_by_rows(&vpc).await?;
                    return Ok((vpc, free));
                }
                None => context.ready(MAX_WAIT).await?,
            },
        };
        let vpc = Vpc::clone(&pool.vpc());
        let free = vpc.subnets.iter().map(|subnet| pool.free(&subnet.subnet_id)).collect();
        Ok((vpc, free))
    }

    async fn free_by_rows(&self, vpc: &Vpc) -> Result<Vec<usize>, Error> {
        let rows = sandboxes::load_all(self.store().readers()).await?;
        let free = vpc.subnets.iter().map(|subnet| {
            let claimed = rows.iter().filter(|row| {
                row.subnet_id == subnet.subnet_id && matches!(row.state, sandboxes::State::Claimed(_))
            });
            Addresses::new(subnet.cidr).capacity().saturating_sub(claimed.count())
        });
        Ok(free.collect())
    }
}
