//! DeleteCluster.

use super::record::find_active;
use crate::api::model::ecs::{DeleteClusterRequest, DeleteClusterResponse, error};
use crate::api::{Context, Error, Operation, Rule};

/// Makes a cluster INACTIVE, as long as nothing is in it.
#[derive(Debug)]
pub(in crate::api::ecs) struct Delete;

impl Operation for Delete {
    const NAME: &'static str = "DeleteCluster";

    type Input = DeleteClusterRequest;
    type Output = DeleteClusterResponse;

    const RULES: &'static [Rule<DeleteClusterRequest>] = &[Rule {
        source: "API reference, DeleteCluster, cluster: required",
        broken: |input| {
            let blank = input.cluster.as_deref().is_none_or(str::is_empty);
            blank.then(|| Error::invalid_parameter("Cluster can not be blank."))
        },
    }];

    async fn handle(context: &Context, input: DeleteClusterRequest) -> Result<DeleteClusterResponse, Error> {
        let record = find_active(context, input.cluster.as_deref()).await?;
        if context.engine().tasks(&record.arn).iter().any(|task| !task.is_stopped()) {
            let message = "The Cluster cannot be deleted while Tasks are active.";
            return Err(Error::new(error::CLUSTER_CONTAINS_TASKS, message));
        }
        let record = record.inactive();
        record.put(context).await?;
        Ok(DeleteClusterResponse { cluster: Some(super::describe::counted(context, record)) })
    }
}
