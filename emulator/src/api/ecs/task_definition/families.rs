//! ListTaskDefinitionFamilies.

use crate::api::ecs::page;
use crate::api::model::ecs::{
    ListTaskDefinitionFamiliesRequest, ListTaskDefinitionFamiliesResponse, TaskDefinitionFamilyStatus,
};
use crate::api::{Context, Error, Operation};
use crate::store::task_definitions::FamilyStatus;

/// Lists families by name.
#[derive(Debug)]
pub(in crate::api::ecs) struct ListFamilies;

impl Operation for ListFamilies {
    const NAME: &'static str = "ListTaskDefinitionFamilies";

    type Input = ListTaskDefinitionFamiliesRequest;
    type Output = ListTaskDefinitionFamiliesResponse;

    async fn handle(
        context: &Context,
        input: ListTaskDefinitionFamiliesRequest,
    ) -> Result<ListTaskDefinitionFamiliesResponse, Error> {
        let ListTaskDefinitionFamiliesRequest { family_prefix, max_results, next_token, status } = input;
        let size = page::Size::new(max_results)?;
        // Source: API reference, ListTaskDefinitionFamilies, status: all if it is not given.
        let status = match status {
            Some(TaskDefinitionFamilyStatus::Active) => FamilyStatus::Active,
            Some(TaskDefinitionFamilyStatus::Inactive) => FamilyStatus::Inactive,
            _ => FamilyStatus::All,
        };
        let prefix = family_prefix.unwrap_or_default();
        let scope = format!("{} {prefix:?} {status:?}", Self::NAME);
        let after: Option<String> = page::position(&scope, next_token.as_deref())?;
        let (account, region) = (context.account(), &context.region);
        let definitions = context.engine().definitions();
        let mut families =
            definitions.families(account, region, &prefix, status, after.as_deref(), size.asked()).await?;
        let next_token = size.cut(&mut families, &scope, Clone::clone);
        Ok(ListTaskDefinitionFamiliesResponse { families: Some(families), next_token })
    }
}
