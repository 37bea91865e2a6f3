//! Tags of log groups, by ARN, and by name as in the older operations.

use std::collections::BTreeMap;

use super::group_name;
use crate::api::model::logs::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, ListTagsLogGroupRequest,
    ListTagsLogGroupResponse, TagLogGroupRequest, TagResourceRequest, UntagLogGroupRequest,
    UntagResourceRequest, error as codes,
};
use crate::api::{Context, Error, Operation};
use crate::store::logs;

/// Source: TagResource: "You can associate as many as 50 tags with a CloudWatch Logs resource."
const MOST: usize = 50;

pub(super) struct TagResource;

impl Operation for TagResource {
    const NAME: &'static str = "TagResource";
    type Input = TagResourceRequest;
    type Output = ();

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        let TagResourceRequest { resource_arn, tags } = input;
        let name = group_name::of_arn(context, &resource_arn.unwrap_or_default())?;
        change(context, name, Change::Set(tags.unwrap_or_default())).await
    }
}

pub(super) struct UntagResource;

impl Operation for UntagResource {
    const NAME: &'static str = "UntagResource";
    type Input = UntagResourceRequest;
    type Output = ();

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        let UntagResourceRequest { resource_arn, tag_keys } = input;
        let name = group_name::of_arn(context, &resource_arn.unwrap_or_default())?;
        change(context, name, Change::Remove(tag_keys.unwrap_or_default())).await
    }
}

pub(super) struct ListTagsForResource;

impl Operation for ListTagsForResource {
    const NAME: &'static str = "ListTagsForResource";
    type Input = ListTagsForResourceRequest;
    type Output = ListTagsForResourceResponse;

    async fn handle(context: &Context, input: Self::Input) -> Result<Self::Output, Error> {
        let name = group_name::of_arn(context, &input.resource_arn.unwrap_or_default())?;
        let tags = group_name::find(context, &name).await?.tags;
        Ok(ListTagsForResourceResponse { tags: Some(tags) })
    }
}

pub(super) struct TagLogGroup;

impl Operation for TagLogGroup {
    const NAME: &'static str = "TagLogGroup";
    type Input = TagLogGroupRequest;
    type Output = ();

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        let TagLogGroupRequest { log_group_name, tags } = input;
        change(context, log_group_name.unwrap_or_default(), Change::Set(tags.unwrap_or_default())).await
    }
}

pub(super) struct UntagLogGroup;

impl Operation for UntagLogGroup {
    const NAME: &'static str = "UntagLogGroup";
    type Input = UntagLogGroupRequest;
    type Output = ();

    async fn handle(context: &Context, input: Self::Input) -> Result<(), Error> {
        let UntagLogGroupRequest { log_group_name, tags } = input;
        change(context, log_group_name.unwrap_or_default(), Change::Remove(tags.unwrap_or_default())).await
    }
}

pub(super) struct ListTagsLogGroup;

impl Operation for ListTagsLogGroup {
    const NAME: &'static str = "ListTagsLogGroup";
    type Input = ListTagsLogGroupRequest;
    type Output = ListTagsLogGroupResponse;

    async fn handle(context: &Context, input: Self::Input) -> Result<Self::Output, Error> {
        let tags = group_name::find(context, &input.log_group_name.unwrap_or_default()).await?.tags;
        Ok(ListTagsLogGroupResponse { tags: Some(tags) })
    }
}

enum Change {
    Set(BTreeMap<String, String>),
    Remove(Vec<String>),
}

impl Change {
    fn apply(self, tags: &mut BTreeMap<String, String>) {
        match self {
            Self::Set(more) => tags.extend(more),
            Self::Remove(keys) => tags.retain(|key, _| !keys.contains(key)),
        }
    }
}

async fn change(context: &Context, name: String, change: Change) -> Result<(), Error> {
    let arn = group_name::arn(context, &name);
    let fits = group_name::update(context, name, move |connection, group| {
        Box::pin(async move {
            let mut tags = group.tags;
            change.apply(&mut tags);
            let fits = tags.len() <= MOST;
            if fits {
                logs::set_tags(connection, group.id, &tags).await?;
            }
            Ok(fits)
        })
    })
    .await?;
    if fits {
        return Ok(());
    }
    let message = format!("The resource can have no more than {MOST} tags.");
    Err(Error::new(codes::TOO_MANY_TAGS, message).with("resourceName", arn))
}
