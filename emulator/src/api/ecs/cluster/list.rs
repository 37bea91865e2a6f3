//! ListClusters.

use super::find::{DEFAULT, find};
use crate::api::ecs::page;
use crate::api::model::ecs::{ListClustersRequest, ListClustersResponse};
use crate::api::{Context, Error, Operation};

/// Lists the ARNs of the clusters that are not deleted.
#[derive(Debug)]
pub(in crate::api::ecs) struct List;

impl Operation for List {
    const NAME: &'static str = "ListClusters";

    type Input = ListClustersRequest;
    type Output = ListClustersResponse;

    async fn handle(context: &Context, input: ListClustersRequest) -> Result<ListClustersResponse, Error> {
        let ListClustersRequest { max_results, next_token } = input;
        let size = page::Size::new(max_results)?;
        let after: Option<String> = page::position(Self::NAME, next_token.as_deref())?;
        // Creates it if no request has used it yet.
        find(context, Some(DEFAULT)).await?;
        let (account, region) = (context.account(), &context.region);
        let clusters = context.engine().clusters();
        let mut found = clusters.list(account, region, after.as_deref(), size.asked()).await?;
        let next_token = size.cut(&mut found, Self::NAME, |(name, _)| name.clone());
        let arns = found.into_iter().map(|(_, arn)| arn).collect();
        Ok(ListClustersResponse { cluster_arns: Some(arns), next_token })
    }
}
