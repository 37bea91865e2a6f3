//! TagResource, UntagResource, ListTagsForResource: of a cluster, a task or a task definition.

use std::sync::Arc;

use super::rules::{broken, merged};
use crate::api::ecs::{cluster, task, task_definition};
use crate::api::model::ecs::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, Tag as Pair, TagResourceRequest,
    TagResourceResponse, UntagResourceRequest, UntagResourceResponse,
};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::task::Task;

/// A resource that has tags.
enum Resource {
    Cluster(cluster::Record),
    Task(Arc<Task>),
    TaskDefinition(task_definition::Record),
}

impl Resource {
    async fn find(context: &Context, arn: Option<&str>) -> Result<Self, Error> {
        let arn = arn.unwrap_or_default();
        let kind = arn.splitn(6, ':').nth(5).and_then(|resource| resource.split('/').next());
        match kind {
            Some("cluster") => cluster::find_active(context, Some(arn)).await.map(Self::Cluster),
            Some("task") => {
                let task::Identity { arn } = task::Identity::read(context, "default", arn)?;
                context.engine().task(&arn).map(Self::Task).ok_or_else(|| not_found("task"))
            }
            Some("task-definition") => match task_definition::find(context, arn).await? {
                Some(record) => Ok(Self::TaskDefinition(record)),
                None => Err(not_found("task definition")),
            },
            Some("service" | "container-instance" | "task-set" | "capacity-provider") => {
                Err(Error::invalid_parameter(format!("The specified resource was not found: {arn}")))
            }
            _ => Err(Error::invalid_parameter(format!("Invalid identifier: {arn}"))),
        }
    }

    fn tags(&self) -> Vec<Pair> {
        match self {
            Self::Cluster(record) => record.cluster.tags.clone().unwrap_or_default(),
            Self::Task(task) => task.tags.iter().cloned().map(Pair::from).collect(),
            Self::TaskDefinition(record) => record.tags.clone(),
        }
    }

    async fn put(self, context: &Context, tags: Vec<Pair>) -> Result<(), Error> {
        match self {
            Self::Cluster(mut record) => {
                record.cluster.tags = Some(tags);
                record.put(context).await
            }
            Self::Task(task) => {
                let tags = tags.into_iter().map(Into::into).collect();
                let changed = context.engine().set_tags(&task.arn, tags).await.map_err(Error::failure)?;
                changed.map(|_| ()).ok_or_else(|| not_found("task"))
            }
            Self::TaskDefinition(mut record) => {
                record.tags = tags;
                record.put(context).await
            }
        }
    }
}

fn not_found(what: &str) -> Error {
    Error::invalid_parameter(format!(
        "The specified {what} was not found. Specify a valid ARN and try again."
    ))
}

/// Adds tags, or replaces those of the same keys.
#[derive(Debug)]
pub(in crate::api::ecs) struct Tag;

impl Operation for Tag {
    const NAME: &'static str = "TagResource";

    type Input = TagResourceRequest;
    type Output = TagResourceResponse;

    const RULES: &'static [Rule<TagResourceRequest>] =
        &[Rule { source: "API reference, Tag", broken: |input| broken(input.tags.as_deref()) }];

    async fn handle(context: &Context, input: TagResourceRequest) -> Result<TagResourceResponse, Error> {
        let TagResourceRequest { resource_arn, tags } = input;
        let resource = Resource::find(context, resource_arn.as_deref()).await?;
        let tags = merged(resource.tags(), tags.unwrap_or_default());
        if let Some(error) = broken(Some(&tags)) {
            return Err(error);
        }
        resource.put(context, tags).await?;
        Ok(TagResourceResponse {})
    }
}

/// Removes tags by their keys.
#[derive(Debug)]
pub(in crate::api::ecs) struct Untag;

impl Operation for Untag {
    const NAME: &'static str = "UntagResource";

    type Input = UntagResourceRequest;
    type Output = UntagResourceResponse;

    async fn handle(context: &Context, input: UntagResourceRequest) -> Result<UntagResourceResponse, Error> {
        let UntagResourceRequest { resource_arn, tag_keys } = input;
        let gone = tag_keys.unwrap_or_default();
        let resource = Resource::find(context, resource_arn.as_deref()).await?;
        let mut tags = resource.tags();
        tags.retain(|tag| !tag.key.as_ref().is_some_and(|key| gone.contains(key)));
        resource.put(context, tags).await?;
        Ok(UntagResourceResponse {})
    }
}

/// Lists the tags of a resource.
#[derive(Debug)]
pub(in crate::api::ecs) struct List;

impl Operation for List {
    const NAME: &'static str = "ListTagsForResource";

    type Input = ListTagsForResourceRequest;
    type Output = ListTagsForResourceResponse;

    async fn handle(
        context: &Context,
        input: ListTagsForResourceRequest,
    ) -> Result<ListTagsForResourceResponse, Error> {
        let resource = Resource::find(context, input.resource_arn.as_deref()).await?;
        Ok(ListTagsForResourceResponse { tags: Some(resource.tags()) })
    }
}
