//! The start: makes store and runtime agree on what an earlier process of this instance left.
//!
//! Adopts what still runs, reports what ended meanwhile, removes what belongs to no live task.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::observation::{ByTask, Observation};
use super::strangers;
use crate::clock::Elapsed;
use crate::engine::context::Context;
use crate::engine::network::pool::Pool;
use crate::engine::task::Task;
use crate::engine::vpc::{self, Vpc};
use crate::runtime::{self, Cidr, Network, NetworkSpec};
use crate::store::{self, meta, sandboxes};

/// The VPC's block, once it is chosen.
const CIDR: &str = "vpc.cidr";

#[derive(Debug, thiserror::Error)]
pub(in crate::engine) enum Error {
    #[error("could not create the VPC's network")]
    Network(#[source] runtime::Error),
    #[error(
        "the VPC is configured with the block {described}, but its network {network} already exists with {real} and tasks of \
         this data directory use it: stop those tasks, or choose another --data-dir"
    )]
    OtherBlock { network: String, described: Cidr, real: Cidr },
    #[error("could not list what the container engine runs")]
    Inventory(#[source] runtime::Error),
    #[error("could not read the store")]
    Store(#[source] store::Error),
    #[error("the container engine did not respond in time")]
    Unanswered(#[from] Elapsed),
}

impl Error {
    /// Whether a retry may succeed.
    pub(in crate::engine) fn may_pass(&self) -> bool {
        match self {
            Self::Network(error) | Self::Inventory(error) => error.may_pass(),
            Self::Unanswered(_) => true,
            Self::OtherBlock { .. } | Self::Store(_) => false,
        }
    }
}

/// The pool, and what the runtime holds of the tasks of an earlier process.
pub(in crate::engine) struct Booted {
    pub(in crate::engine) pool: Pool,
    pub(in crate::engine) observations: Vec<(Arc<Task>, Observation)>,
}

/// Compares the tasks that have not stopped with the runtime, and creates the network.
pub(in crate::engine) async fn boot(context: &Context) -> Result<Booted, Error> {
    let tasks = context.registry.live();
    let inventory = context.inventory().await.map_err(Error::Inventory)?;
    let rows = sandboxes::load_all(context.store.readers()).await.map_err(Error::Store)?;
    let sandboxes = rows.into_iter().map(|row| row.sandbox_id).collect();
    // Before the network: it can't be given another block while something is on it.
    strangers::remove_of_tasks(context, &inventory).await;
    strangers::remove_sandboxes(context, &sandboxes, &inventory).await;
    let (vpc, network) = vpc(context).await?;
    let pool = Pool::new(
        context.store.clone(),
        Arc::clone(&context.runtime),
        context.clock.clone(),
        vpc,
        network,
        &context.options,
    );
    pool.adopt().await.map_err(Error::Store)?;
    for task in &tasks {
        match task.attachment.sandbox_id {
            Some(_) => pool.join(task),
            // The task was accepted before; a full subnet is detected at its claim.
            None => pool.promise_anyway(&pool.subnet_of(task)),
        }
    }
    pool.observe(&inventory).await.map_err(Error::Store)?;
    let by_task = ByTask::new(&inventory);
    let observations = tasks.into_iter().map(|task| {
        let observation = by_task.of(&task);
        (task, observation)
    });
    Ok(Booted { pool, observations: observations.collect() })
}

/// The VPC, if it is known without the runtime: from the options, or from an earlier start.
pub(in crate::engine) async fn known_vpc(context: &Context) -> Result<Option<Vpc>, store::Error> {
    match &context.options.vpc {
        vpc::Choice::Given(vpc) => Ok(Some(Vpc::clone(vpc))),
        vpc::Choice::Builtin { strict } => {
            Ok(kept_cidr(context).await?.map(|cidr| Vpc::builtin(cidr, *strict)))
        }
    }
}

async fn kept_cidr(context: &Context) -> Result<Option<Cidr>, store::Error> {
    let kept = meta::get(context.store.readers(), CIDR).await?;
    Ok(kept.and_then(|cidr| cidr.parse().ok()))
}

/// Creates or finds the VPC's network. Returns the VPC and the network's name.
pub(in crate::engine) async fn vpc(context: &Context) -> Result<(Vpc, String), Error> {
    match &context.options.vpc {
        vpc::Choice::Builtin { strict } => {
            let network = builtin_network(context).await?;
            let vpc = Vpc::builtin(network.cidr, *strict);
            give_up_elsewhere(context, &vpc).await?;
            Ok((vpc, network.name))
        }
        vpc::Choice::Given(vpc) => {
            // First, because a network can't be given another block while something is on it.
            give_up_elsewhere(context, vpc).await?;
            let name = ensure_network(context, vpc).await?;
            Ok((Vpc::clone(vpc), name))
        }
    }
}

async fn builtin_network(context: &Context) -> Result<Network, Error> {
    let kept = kept_cidr(context).await.map_err(Error::Store)?;
    let candidates = kept.into_iter().chain(vpc::candidates()).collect();
    let spec = NetworkSpec::Own { vpc_id: vpc::VPC_ID.to_owned(), candidates };
    let network = context.runtime.ensure_network(&spec).await.map_err(Error::Network)?;
    if kept != Some(network.cidr) {
        let text = network.cidr.to_string();
        context
            .store
            .write(move |connection| Box::pin(async move { meta::put(connection, CIDR, &text).await }))
            .await
            .map_err(Error::Store)?;
    }
    Ok(network)
}

/// Removes the idle sandboxes that are in no subnet of the VPC: they were created for an earlier one.
async fn give_up_elsewhere(context: &Context, vpc: &Vpc) -> Result<(), Error> {
    let rows = sandboxes::load_all(context.store.readers()).await.map_err(Error::Store)?;
    let here = |row: &sandboxes::Row| {
        row.address.parse().is_ok_and(|address: Ipv4Addr| {
            let mut subnets = vpc.subnets.iter().filter(|subnet| subnet.subnet_id == row.subnet_id);
            subnets.any(|subnet| subnet.cidr.block().contains(&address))
        })
    };
    let elsewhere = |row: &sandboxes::Row| row.state == sandboxes::State::Idle && !here(row);
    let elsewhere: Vec<String> = rows.into_iter().filter(elsewhere).map(|row| row.sandbox_id).collect();
    // The rows first, so that no task claims one of them. The audit removes what cannot be removed now, as it has no row.
    forget(context, elsewhere.clone()).await?;
    strangers::remove_these(context, &elsewhere).await;
    Ok(())
}

/// Creates the VPC's network if it does not exist, and returns its name.
///
/// # Errors
/// It could not be created, or exists with another block than the VPC's.
pub(in crate::engine) async fn ensure_network(context: &Context, vpc: &Vpc) -> Result<String, Error> {
    let spec = match &vpc.network {
        vpc::Network::Own => NetworkSpec::Own { vpc_id: vpc.vpc_id.clone(), candidates: vec![vpc.cidr] },
        vpc::Network::Borrowed { name } => NetworkSpec::Borrowed { name: name.clone() },
    };
    let Network { name, cidr } = context.runtime.ensure_network(&spec).await.map_err(Error::Network)?;
    if cidr != vpc.cidr {
        return Err(Error::OtherBlock { network: name, described: vpc.cidr, real: cidr });
    }
    Ok(name)
}

async fn forget(context: &Context, sandbox_ids: Vec<String>) -> Result<(), Error> {
    context
        .store
        .write(move |connection| {
            Box::pin(async move {
                for sandbox_id in &sandbox_ids {
                    sandboxes::delete(connection, sandbox_id).await?;
                }
                Ok(())
            })
        })
        .await
        .map_err(Error::Store)
}
