//! ListTaskDefinitions.

use crate::api::ecs::page;
use crate::api::model::ecs::{
    ListTaskDefinitionsRequest, ListTaskDefinitionsResponse, SortOrder, TaskDefinitionStatus,
};
use crate::api::shape::Enumeration as _;
use crate::api::{Context, Error, Operation};
use crate::store::task_definitions as table;

/// Lists the ARNs of revisions, by family and revision.
#[derive(Debug)]
pub(in crate::api::ecs) struct List;

impl Operation for List {
    const NAME: &'static str = "ListTaskDefinitions";

    type Input = ListTaskDefinitionsRequest;
    type Output = ListTaskDefinitionsResponse;

    async fn handle(
        context: &Context,
        input: ListTaskDefinitionsRequest,
    ) -> Result<ListTaskDefinitionsResponse, Error> {
        let ListTaskDefinitionsRequest { family_prefix, max_results, next_token, sort, status } = input;
        let size = page::Size::new(max_results)?;
        let status = status.unwrap_or(TaskDefinitionStatus::Active);
        let descending = sort == Some(SortOrder::Desc);
        let scope = format!("{} {family_prefix:?} {status} {descending}", Self::NAME);
        let after: Option<(String, i64)> = page::position(&scope, next_token.as_deref())?;
        let filter = table::Filter {
            account: context.account(),
            region: &context.region,
            family: family_prefix.as_deref(),
            status: status.as_str(),
            descending,
            after: after.as_ref().map(|(family, revision)| (family.as_str(), *revision)),
            limit: size.asked(),
        };
        let mut rows = context.engine().definitions().list(filter).await?;
        let next_token = size.cut(&mut rows, &scope, |(_, family, revision)| (family.clone(), *revision));
        let arns = rows.into_iter().map(|(arn, _, _)| arn).collect();
        Ok(ListTaskDefinitionsResponse { task_definition_arns: Some(arns), next_token })
    }
}
