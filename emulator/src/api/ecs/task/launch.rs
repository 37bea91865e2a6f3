//! Where a task is launched: launch type, capacity provider, platform version. Pure.

use crate::api::Error;
use crate::api::model::ecs::{CapacityProviderStrategyItem, LaunchType, error};

const FARGATE: &str = "FARGATE";
const FARGATE_SPOT: &str = "FARGATE_SPOT";

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    /// `None` where the launch type was named.
    pub(super) capacity_provider: Option<String>,
}

impl Launch {
    /// Decides by the request, else by the cluster's default strategy, else EC2, as ECS does.
    ///
    /// One RunTask runs on one provider: the one with a base, else the one of the largest weight.
    ///
    /// # Errors
    /// EC2 and EXTERNAL, for there are no container instances; providers that the cluster does not have.
    pub(super) fn decide(
        launch_type: Option<&LaunchType>,
        strategy: &[CapacityProviderStrategyItem],
        cluster_strategy: &[CapacityProviderStrategyItem],
        cluster_providers: &[String],
    ) -> Result<Self, Error> {
        if let Some(launch_type) = launch_type {
            return match launch_type {
                LaunchType::Fargate => Ok(Self { capacity_provider: None }),
                _ => Err(no_instances()),
            };
        }
        let strategy = if strategy.is_empty() { cluster_strategy } else { strategy };
        for item in strategy {
            let name = item.capacity_provider.as_deref().unwrap_or_default();
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
        let chosen = strategy
            .iter()
            .max_by_key(|item| (item.base.unwrap_or_default().min(1), item.weight.unwrap_or_default()));
        chosen.map(|item| Self { capacity_provider: item.capacity_provider.clone() }).ok_or_else(no_instances)
    }
}

fn no_instances() -> Error {
    Error::invalid_parameter("No Container Instances were found in your cluster.")
}

/// The platform version that `requested` means.
///
/// Source: developer guide, "Fargate platform versions for Amazon ECS": LATEST is 1.4.0, 1.3.0 can still be named.
pub(super) fn platform_version(requested: Option<&str>) -> Result<&'static str, Error> {
    match requested {
        None | Some("" | "LATEST" | "1.4.0") => Ok("1.4.0"),
        Some("1.3.0") => Ok("1.3.0"),
        Some(_) => Err(Error::new(error::PLATFORM_UNKNOWN, "The specified platform does not exist.")),
    }
}

/// The error for a task that a platform version is too old for.
///
/// Source: developer guide, "Fargate platform versions for Amazon ECS": 8 and 16 vCPU, ephemeral storage beyond 20 GiB
/// and EFS volumes came with 1.4.0.
pub(super) fn too_old(platform_version: &str, cpu: u32, ephemeral_storage: Option<u32>) -> Option<Error> {
    let needs_1_4_0 = cpu > 4096 || ephemeral_storage.is_some();
    (needs_1_4_0 && platform_version == "1.3.0").then(|| {
        Error::new(
            error::PLATFORM_TASK_DEFINITION_INCOMPATIBILITY,
            "The specified platform does not satisfy the task definition's required capabilities.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(provider: &str, base: i32, weight: i32) -> CapacityProviderStrategyItem {
        CapacityProviderStrategyItem {
            capacity_provider: Some(provider.to_owned()),
            base: Some(base),
            weight: Some(weight),
        }
    }

    #[test]
    fn the_request_decides_before_the_cluster_and_ec2_has_no_instances() {
        let both = ["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()];
        let spot = [item("FARGATE_SPOT", 0, 1)];
        let mixed = [item("FARGATE_SPOT", 0, 4), item("FARGATE", 1, 1)];
        let on = |provider: &str| Ok(Some(provider.to_owned()));
        let none = || {
            Err("InvalidParameterException: No Container Instances were found in your cluster.".to_owned())
        };
        for (launch_type, strategy, default, expected) in [
            (Some(LaunchType::Fargate), &[][..], &spot[..], Ok(None)),
            (Some(LaunchType::Ec2), &[], &spot, none()),
            (Some(LaunchType::External), &[], &[], none()),
            (None, &[], &[], none()),
            (None, &[], &spot, on("FARGATE_SPOT")),
            (None, &mixed, &spot, on("FARGATE")),
        ] {
            let decided = Launch::decide(launch_type.as_ref(), strategy, default, &both);
            let decided = decided.map(|launch| launch.capacity_provider).map_err(|error| error.to_string());
            assert_eq!(decided, expected, "{launch_type:?}");
        }
        assert!(Launch::decide(None, &spot, &[], &both[..1]).is_err(), "not the cluster's");
        assert!(Launch::decide(None, &[item("mine", 0, 1)], &[], &both).is_err(), "unknown");
    }

    #[test]
    fn latest_is_1_4_0_and_unknown_platforms_are_refused() {
        for version in [None, Some("LATEST"), Some("1.4.0")] {
            assert_eq!(platform_version(version).unwrap(), "1.4.0");
        }
        assert_eq!(platform_version(Some("1.3.0")).unwrap(), "1.3.0");
        let code = platform_version(Some("9.9.9")).unwrap_err().code();
        assert_eq!(code, Some("PlatformUnknownException"));
    }

    #[test]
    fn what_came_with_1_4_0_is_not_run_on_1_3_0() {
        for (version, cpu, storage, fits) in [
            ("1.4.0", 16384, Some(200), true),
            ("1.3.0", 4096, None, true),
            ("1.3.0", 8192, None, false),
            ("1.3.0", 256, Some(21), false),
        ] {
            let code = too_old(version, cpu, storage).and_then(|error| error.code());
            let expected = (!fits).then_some("PlatformTaskDefinitionIncompatibilityException");
            assert_eq!(code, expected, "{version} {cpu} {storage:?}");
        }
    }
}
