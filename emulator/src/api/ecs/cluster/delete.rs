//! DeleteCluster.

use super::find::{find, named, not_found};
use crate::api::model::ecs::{DeleteClusterRequest, DeleteClusterResponse, error};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::cluster::Undeletable;
use crate::engine::update;

/// Makes a cluster INACTIVE, if nothing is in it.
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
        let name = input.cluster.as_deref();
        // Creates the default one if no request has used it yet.
        find(context, name).await?;
        let (_, arn) = named(context, name)?;
        let deleted = context.engine().clusters().delete(&arn).await.map_err(|failed| match failed {
            update::Error::NotFound | update::Error::Refused(Undeletable::Inactive) => not_found(),
            update::Error::Refused(Undeletable::HasTasks) => Error::new(
                error::CLUSTER_CONTAINS_TASKS,
                "The Cluster cannot be deleted while Tasks are active.",
            ),
            update::Error::Store(source) => source.into(),
            update::Error::Unanswered(source) => Error::failure(source),
        })?;
        Ok(DeleteClusterResponse { cluster: Some(super::describe::counted(context, &deleted)) })
    }
}
