//! The engine's cluster as the wire shows it, and the parts of the wire that it keeps. Pure.

use serde::Deserialize as _;

use crate::api::model::ecs::{
    CapacityProviderStrategyItem, Cluster, ClusterConfiguration, ClusterServiceConnectDefaults,
    ClusterSetting, ClusterSettingName, Tag,
};
use crate::engine::Counts;
use crate::engine::cluster::{self as model, Setting, StrategyItem};

/// The wire's cluster with everything that it has.
pub(super) fn of(cluster: &model::Cluster, counts: Counts) -> Cluster {
    let model::Cluster {
        arn,
        account: _,
        region: _,
        name,
        status,
        settings,
        capacity_providers,
        default_capacity_provider_strategy,
        configuration,
        service_connect_namespace,
        tags,
    } = cluster;
    let setting = |Setting { name, value }: &Setting| ClusterSetting {
        name: Some(ClusterSettingName::from(name.clone())),
        value: Some(value.clone()),
    };
    let item =
        |StrategyItem { capacity_provider, base, weight }: &StrategyItem| CapacityProviderStrategyItem {
            capacity_provider: Some(capacity_provider.clone()),
            base: i32::try_from(*base).ok(),
            weight: i32::try_from(*weight).ok(),
        };
    Cluster {
        cluster_arn: Some(arn.clone()),
        cluster_name: Some(name.clone()),
        status: Some(status.as_str().to_owned()),
        settings: Some(settings.iter().map(setting).collect()),
        capacity_providers: Some(capacity_providers.clone()),
        default_capacity_provider_strategy: Some(
            default_capacity_provider_strategy.iter().map(item).collect(),
        ),
        // It had that shape when it was received.
        configuration: configuration
            .as_ref()
            .and_then(|configuration| ClusterConfiguration::deserialize(configuration).ok()),
        service_connect_defaults: service_connect_namespace
            .clone()
            .map(|namespace| ClusterServiceConnectDefaults { namespace: Some(namespace) }),
        tags: Some(tags.iter().cloned().map(Tag::from).collect()),
        registered_container_instances_count: Some(0),
        running_tasks_count: i32::try_from(counts.running_tasks_count).ok(),
        pending_tasks_count: i32::try_from(counts.pending_tasks_count).ok(),
        active_services_count: Some(0),
        statistics: Some(Vec::new()),
        ..Cluster::default()
    }
}

pub(super) fn settings(settings: Vec<ClusterSetting>) -> Vec<Setting> {
    let setting = |setting: ClusterSetting| Setting {
        name: setting.name.map(|name| name.to_string()).unwrap_or_default(),
        value: setting.value.unwrap_or_default(),
    };
    settings.into_iter().map(setting).collect()
}

/// The items of a strategy; the model allows only a base and a weight that are not negative.
pub(in crate::api::ecs) fn strategy(items: &[CapacityProviderStrategyItem]) -> Vec<StrategyItem> {
    let number =
        |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
    let item = |item: &CapacityProviderStrategyItem| StrategyItem {
        capacity_provider: item.capacity_provider.clone().unwrap_or_default(),
        base: number(item.base),
        weight: number(item.weight),
    };
    items.iter().map(item).collect()
}
