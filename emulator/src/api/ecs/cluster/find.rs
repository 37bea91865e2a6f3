//! Which cluster a caller means, and whether it exists.

use std::sync::Arc;

use crate::api::ecs::reference;
use crate::api::model::ecs::error;
use crate::api::{Context, Error};
use crate::engine::cluster::{Cluster, Setting, Status};

/// The name of the default cluster, which is used if none is named.
pub(super) const DEFAULT: &str = "default";

/// Name and ARN of the cluster that is meant, whether or not it exists.
pub(in crate::api::ecs) fn named(
    context: &Context,
    cluster: Option<&str>,
) -> Result<(String, String), Error> {
    let text = cluster.unwrap_or(DEFAULT);
    let name = reference::resource(context, "cluster", text)?.unwrap_or(text);
    Ok((name.to_owned(), context.arn("ecs", format_args!("cluster/{name}"))))
}

/// A new cluster: the defaults that ECS uses if CreateCluster gives no value.
pub(super) fn new(context: &Context, name: &str) -> Cluster {
    Cluster {
        arn: context.arn("ecs", format_args!("cluster/{name}")),
        account: context.account().to_owned(),
        region: context.region.clone(),
        name: name.to_owned(),
        status: Status::Active,
        settings: vec![Setting { name: "containerInsights".to_owned(), value: "disabled".to_owned() }],
        capacity_providers: Vec::new(),
        default_capacity_provider_strategy: Vec::new(),
        configuration: None,
        service_connect_namespace: None,
        tags: Vec::new(),
    }
}

/// Finds a cluster by name or ARN, deleted ones too. The default one is created if it does not exist yet.
pub(in crate::api::ecs) async fn find(
    context: &Context,
    cluster: Option<&str>,
) -> Result<Option<Arc<Cluster>>, Error> {
    let (name, arn) = named(context, cluster)?;
    let clusters = context.engine().clusters();
    match clusters.get(&arn).await? {
        Some(found) => Ok(Some(found)),
        None if name == DEFAULT => {
            // As the console creates it, so that a strategy with FARGATE_SPOT works at once.
            let providers = ["FARGATE", "FARGATE_SPOT"].map(str::to_owned).to_vec();
            let default = Cluster { capacity_providers: providers, ..new(context, DEFAULT) };
            Ok(Some(Arc::new(clusters.ensure(default).await?)))
        }
        None => Ok(None),
    }
}

/// [`find`], for clusters that can be used.
///
/// # Errors
/// `ClusterNotFoundException` if it does not exist or is deleted.
pub(in crate::api::ecs) async fn find_active(
    context: &Context,
    cluster: Option<&str>,
) -> Result<Arc<Cluster>, Error> {
    find(context, cluster).await?.filter(|cluster| cluster.is_active()).ok_or_else(not_found)
}

pub(in crate::api::ecs) fn not_found() -> Error {
    Error::new(error::CLUSTER_NOT_FOUND, "Cluster not found.")
}
