//! CreateCluster.

use super::find::{DEFAULT, new};
use super::view;
use crate::api::ecs::{reference, tag};
use crate::api::model::ecs::{CreateClusterRequest, CreateClusterResponse};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::cluster::Cluster;

/// Creates a cluster; if one of that name exists, it is returned as it is.
#[derive(Debug)]
pub(in crate::api::ecs) struct Create;

impl Operation for Create {
    const NAME: &'static str = "CreateCluster";

    type Input = CreateClusterRequest;
    type Output = CreateClusterResponse;

    const RULES: &'static [Rule<CreateClusterRequest>] = &[
        Rule {
            source: "API reference, CreateCluster, clusterName: up to 255 letters, numbers, underscores and hyphens",
            broken: |input| {
                let bad = input.cluster_name.as_deref().is_some_and(|name| !reference::is_name(name));
                bad.then(|| Error::invalid_parameter("Invalid cluster name. It can have up to 255 letters (uppercase and lowercase), numbers, hyphens, and underscores."))
            },
        },
        Rule { source: "API reference, Tag", broken: |input| tag::broken(input.tags.as_deref()) },
        Rule {
            source: "API reference, CreateCluster, capacityProviders: FARGATE and FARGATE_SPOT exist without being created",
            broken: |input| {
                let strategy = input.default_capacity_provider_strategy.iter().flatten();
                let named = strategy.filter_map(|item| item.capacity_provider.as_ref());
                let mut all = input.capacity_providers.iter().flatten().chain(named);
                let unknown = all.find(|name| !["FARGATE", "FARGATE_SPOT"].contains(&name.as_str()))?;
                Some(Error::invalid_parameter(format!(
                    "The specified capacity provider '{unknown}' was not found."
                )))
            },
        },
        Rule {
            source: "API reference, CreateCluster, defaultCapacityProviderStrategy: its providers are the cluster's",
            broken: |input| {
                let providers: Vec<_> = input.capacity_providers.iter().flatten().collect();
                let mut strategy = input.default_capacity_provider_strategy.iter().flatten();
                let foreign = strategy.any(|item| {
                    item.capacity_provider.as_ref().is_some_and(|name| !providers.contains(&name))
                });
                foreign.then(|| Error::invalid_parameter("The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again."))
            },
        },
    ];

    async fn handle(context: &Context, input: CreateClusterRequest) -> Result<CreateClusterResponse, Error> {
        let CreateClusterRequest {
            capacity_providers,
            cluster_name,
            configuration,
            default_capacity_provider_strategy,
            service_connect_defaults,
            settings,
            tags,
        } = input;
        // Values that are not given stay as a new cluster has them.
        let given = new(context, cluster_name.as_deref().unwrap_or(DEFAULT));
        let cluster = Cluster {
            configuration: configuration.map(serde_json::to_value).transpose().map_err(Error::failure)?,
            service_connect_namespace: service_connect_defaults.and_then(|defaults| defaults.namespace),
            capacity_providers: capacity_providers.unwrap_or(given.capacity_providers),
            default_capacity_provider_strategy: view::strategy(
                &default_capacity_provider_strategy.unwrap_or_default(),
            ),
            settings: settings.map_or(given.settings, view::settings),
            tags: tags.unwrap_or_default().into_iter().map(Into::into).collect(),
            ..given
        };
        let cluster = context.engine().clusters().create(cluster).await?;
        Ok(CreateClusterResponse { cluster: Some(super::describe::counted(context, &cluster)) })
    }
}
