//! Where a task is launched: launch type, capacity provider, platform version. Pure.

use fargate_facts::platform;

use super::overrides::Merged;
use crate::api::Error;
use crate::api::model::ecs::{LaunchType, error};
use crate::engine::cluster::StrategyItem;

const FARGATE: &str = "FARGATE";
const FARGATE_SPOT: &str = "FARGATE_SPOT";

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Launch {
    /// By launch type.
    Fargate,
    /// By capacity provider: one for each task, in order.
    Providers(Vec<String>),
}

impl Launch {
    /// Decides for `count` tasks by the request, else by the cluster's default strategy, else EC2, as ECS does.
    ///
    /// # Errors
    /// EC2 and EXTERNAL, because there are no container instances; providers that the cluster does not have.
    pub(super) fn decide(
        count: u32,
        launch_type: Option<&LaunchType>,
        strategy: &[StrategyItem],
        cluster_strategy: &[StrategyItem],
        cluster_providers: &[String],
    ) -> Result<Self, Error> {
        if let Some(launch_type) = launch_type {
            return match launch_type {
                LaunchType::Fargate => Ok(Self::Fargate),
                _ => Err(no_instances()),
            };
        }
        let strategy = if strategy.is_empty() { cluster_strategy } else { strategy };
        for item in strategy {
            let name = item.capacity_provider.as_str();
            if ![FARGATE, FARGATE_SPOT].contains(&name) {
                let message = format!("The specified capacity provider '{name}' was not found.");
                return Err(Error::invalid_parameter(message));
            }
            if !cluster_providers.iter().any(|provider| provider == name) {
                return Err(Error::invalid_parameter(
                    "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.",
                ));
            }
        }
        if strategy.is_empty() {
            return Err(no_instances());
        }
        Ok(Self::Providers(spread(strategy, count)))
    }
}

/// The provider of each of `count` tasks: first the bases, then by weight. The strategy is not empty.
///
/// Source: API reference, CapacityProviderStrategyItem: "Base value characteristics", "Weight value characteristics"
/// (weights 1 and 4: for every task on the first, four on the second).
fn spread(strategy: &[StrategyItem], count: u32) -> Vec<String> {
    // How many tasks each has beyond its base.
    let mut beyond = vec![0_u64; strategy.len()];
    let mut based = strategy.iter().flat_map(|item| (0..item.base).map(|_| &item.capacity_provider));
    (0..count)
        .map(|_| {
            if let Some(provider) = based.next() {
                return provider.clone();
            }
            // The one that is furthest behind its share; a weight of 0 has none, unless no other has one.
            let share = |index: usize| (beyond[index] + 1, u64::from(strategy[index].weight));
            let behind = |&left: &usize, &right: &usize| {
                let ((left, left_weight), (right, right_weight)) = (share(left), share(right));
                (left * right_weight).cmp(&(right * left_weight))
            };
            let weighed = (0..strategy.len()).filter(|index| strategy[*index].weight > 0);
            let chosen = weighed.min_by(behind).unwrap_or_default();
            beyond[chosen] += 1;
            strategy[chosen].capacity_provider.clone()
        })
        .collect()
}

fn no_instances() -> Error {
    Error::invalid_parameter("No Container Instances were found in your cluster.")
}

/// The platform version that `requested` means.
pub(super) fn platform_version(requested: Option<&str>) -> Result<&'static str, Error> {
    platform::version(requested)
        .ok_or_else(|| Error::new(error::PLATFORM_UNKNOWN, "The specified platform does not exist."))
}

/// The error for a task for which a platform version is too old: because of its size, the storage that it requests, or
/// a file system that it mounts.
///
/// Source: developer guide, "Fargate platform versions for Amazon ECS"; the wording as users of ECS have reported it.
pub(super) fn too_old(platform_version: &str, merged: &Merged) -> Option<Error> {
    let volumes = merged.definition.volumes.iter().flatten();
    let efs = volumes.into_iter().any(|volume| volume.efs_volume_configuration.is_some());
    let asks_for_storage = merged.ephemeral_storage.is_some();
    let runs = platform::runs(platform_version, merged.size, asks_for_storage || efs);
    (!runs).then(|| {
        Error::new(
            error::PLATFORM_TASK_DEFINITION_INCOMPATIBILITY,
            "One or more of the requested capabilities are not supported.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(provider: &str, base: u32, weight: u32) -> StrategyItem {
        StrategyItem { capacity_provider: provider.to_owned(), base, weight }
    }

    #[test]
    fn the_request_decides_before_the_cluster_and_ec2_has_no_instances() {
        let both = ["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()];
        let spot = [item("FARGATE_SPOT", 0, 1)];
        let mixed = [item("FARGATE_SPOT", 0, 4), item("FARGATE", 1, 1)];
        let on = |provider: &str| Ok(Launch::Providers(vec![provider.to_owned()]));
        let none = || {
            Err("InvalidParameterException: No Container Instances were found in your cluster.".to_owned())
        };
        for (launch_type, strategy, default, expected) in [
            (Some(LaunchType::Fargate), &[][..], &spot[..], Ok(Launch::Fargate)),
            (Some(LaunchType::Ec2), &[], &spot, none()),
            (Some(LaunchType::External), &[], &[], none()),
            (None, &[], &[], none()),
            (None, &[], &spot, on("FARGATE_SPOT")),
            (None, &mixed, &spot, on("FARGATE")),
        ] {
            let decided = Launch::decide(1, launch_type.as_ref(), strategy, default, &both);
            assert_eq!(decided.map_err(|error| error.to_string()), expected, "{launch_type:?}");
        }
        assert!(Launch::decide(1, None, &spot, &[], &both[..1]).is_err(), "not the cluster's");
        assert!(Launch::decide(1, None, &[item("mine", 0, 1)], &[], &both).is_err(), "unknown");
    }

    #[test]
    fn tasks_are_spread_over_the_providers_by_base_and_weight() {
        let (on_demand, spot) = ("FARGATE", "FARGATE_SPOT");
        for (strategy, count, expected) in [
            (vec![item(on_demand, 0, 1), item(spot, 0, 1)], 10, (5, 5)),
            (vec![item(on_demand, 0, 1), item(spot, 0, 4)], 10, (2, 8)),
            (vec![item(on_demand, 2, 1), item(spot, 0, 3)], 10, (4, 6)),
            (vec![item(on_demand, 2, 0), item(spot, 0, 1)], 10, (2, 8)),
            (vec![item(on_demand, 20, 1), item(spot, 0, 1)], 10, (10, 0)),
            (vec![item(on_demand, 0, 1), item(spot, 0, 1000)], 10, (0, 10)),
            (vec![item(on_demand, 0, 0)], 3, (3, 0)),
            (vec![item(on_demand, 1, 0), item(spot, 0, 0)], 3, (3, 0)),
        ] {
            let spread = spread(&strategy, count);
            let on = |provider: &str| spread.iter().filter(|chosen| *chosen == provider).count();
            assert_eq!((on(on_demand), on(spot)), expected, "{strategy:?}");
        }
    }
}
