//! DescribeClusters.

use super::find::{DEFAULT, find};
use super::view;
use crate::api::model::ecs::{
    Cluster, ClusterField, DescribeClustersRequest, DescribeClustersResponse, Failure, KeyValuePair,
};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::cluster as model;

/// Describes clusters; a missing one becomes a failure `MISSING`.
#[derive(Debug)]
pub(in crate::api::ecs) struct Describe;

impl Operation for Describe {
    const NAME: &'static str = "DescribeClusters";

    type Input = DescribeClustersRequest;
    type Output = DescribeClustersResponse;

    const RULES: &'static [Rule<DescribeClustersRequest>] = &[Rule {
        source: "API reference, DescribeClusters, clusters: up to 100",
        broken: |input| {
            let too_many = input.clusters.as_ref().is_some_and(|clusters| clusters.len() > 100);
            too_many.then(|| Error::invalid_parameter("Clusters cannot have more than 100 elements."))
        },
    }];

    async fn handle(
        context: &Context,
        input: DescribeClustersRequest,
    ) -> Result<DescribeClustersResponse, Error> {
        let DescribeClustersRequest { clusters, include } = input;
        let include = include.unwrap_or_default();
        let asked = clusters.filter(|asked| !asked.is_empty()).unwrap_or_else(|| vec![DEFAULT.to_owned()]);
        let mut found = Vec::new();
        let mut failures = Vec::new();
        for name in asked {
            match find(context, Some(&name)).await? {
                Some(cluster) => found.push(shown(context, &cluster, &include)),
                None => {
                    let arn = if name.starts_with("arn:") {
                        name
                    } else {
                        context.arn("ecs", format_args!("cluster/{name}"))
                    };
                    failures.push(Failure {
                        arn: Some(arn),
                        reason: Some("MISSING".to_owned()),
                        detail: None,
                    });
                }
            }
        }
        Ok(DescribeClustersResponse { clusters: Some(found), failures: Some(failures) })
    }
}

/// The cluster with its counts.
pub(super) fn counted(context: &Context, cluster: &model::Cluster) -> Cluster {
    let counts = context.engine().counts(&cluster.arn);
    view::of(cluster, counts)
}

/// What DescribeClusters shows: settings, tags and the rest only if `include` names them.
fn shown(context: &Context, cluster: &model::Cluster, include: &[ClusterField]) -> Cluster {
    let mut cluster = counted(context, cluster);
    let has = |field: ClusterField| include.contains(&field);
    if !has(ClusterField::Settings) {
        cluster.settings = Some(Vec::new());
    }
    if !has(ClusterField::Tags) {
        cluster.tags = Some(Vec::new());
    }
    if !has(ClusterField::Configurations) {
        cluster.configuration = None;
    }
    if has(ClusterField::Statistics) {
        cluster.statistics = Some(statistics(&cluster));
    }
    cluster
}

/// The tasks and services by launch type: all of them are Fargate's.
///
/// Source: API reference, Cluster, `statistics`.
fn statistics(cluster: &Cluster) -> Vec<KeyValuePair> {
    let running = cluster.running_tasks_count.unwrap_or_default();
    let pending = cluster.pending_tasks_count.unwrap_or_default();
    [
        ("runningEC2TasksCount", 0),
        ("runningFargateTasksCount", running),
        ("pendingEC2TasksCount", 0),
        ("pendingFargateTasksCount", pending),
        ("runningExternalTasksCount", 0),
        ("pendingExternalTasksCount", 0),
        ("activeEC2ServiceCount", 0),
        ("activeFargateServiceCount", 0),
        ("drainingEC2ServiceCount", 0),
        ("drainingFargateServiceCount", 0),
        ("activeExternalServiceCount", 0),
        ("drainingExternalServiceCount", 0),
    ]
    .into_iter()
    .map(|(name, count)| KeyValuePair { name: Some(name.to_owned()), value: Some(count.to_string()) })
    .collect()
}
