//! TagResource, UntagResource, ListTagsForResource: of a cluster, a task or a task definition.

use std::sync::Arc;

use super::rules::{broken, duplicate, is_reserved, reserved, too_many};
use crate::api::ecs::{cluster, task, task_definition};
use crate::api::model::ecs::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};
use crate::api::{Context, Error, Operation, Rule};
use crate::engine::cluster::Cluster;
use crate::engine::definition::Definition;
use crate::engine::tag::{Broken, Change};
use crate::engine::task::{self as model, Task};
use crate::engine::update;

/// A resource that has tags.
enum Resource {
    Cluster(Arc<Cluster>),
    Task(Arc<Task>),
    TaskDefinition(Box<Definition>),
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
                Some(definition) => Ok(Self::TaskDefinition(Box::new(definition))),
                None => Err(not_found("task definition")),
            },
            Some("service" | "container-instance" | "task-set" | "capacity-provider") => {
                Err(Error::invalid_parameter(format!("The specified resource was not found: {arn}")))
            }
            _ => Err(Error::invalid_parameter(format!("Invalid identifier: {arn}"))),
        }
    }

    fn tags(&self) -> &[model::Tag] {
        match self {
            Self::Cluster(cluster) => &cluster.tags,
            Self::Task(task) => &task.tags,
            Self::TaskDefinition(definition) => &definition.tags,
        }
    }

    /// Applies `change` to the current tags: it may be one of several at once.
    async fn change(self, context: &Context, change: Change) -> Result<(), Error> {
        let engine = context.engine();
        let (changed, missing) = match self {
            Self::Cluster(cluster) => {
                let clusters = engine.clusters();
                let changed = clusters.update(&cluster.arn, move |cluster| {
                    cluster.tags = change.apply(&cluster.tags)?;
                    Ok(())
                });
                (changed.await, cluster::not_found())
            }
            Self::Task(task) => (engine.tag(&task.arn, change).await.map(|_| ()), not_found("task")),
            Self::TaskDefinition(definition) => {
                let definitions = engine.definitions();
                let changed = definitions.update(&definition.arn, move |definition| {
                    definition.tags = change.apply(&definition.tags)?;
                    Ok(())
                });
                (changed.await, not_found("task definition"))
            }
        };
        changed.map_err(|error| match error {
            update::Error::NotFound => missing,
            update::Error::Refused(Broken::TooMany) => too_many(),
            update::Error::Refused(Broken::Duplicate) => duplicate(),
            update::Error::Store(source) => source.into(),
            update::Error::Unanswered(source) => Error::failure(source),
        })
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
        let tags = tags.unwrap_or_default().into_iter().map(Into::into).collect();
        resource.change(context, Change::Set(tags)).await?;
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

    const RULES: &'static [Rule<UntagResourceRequest>] = &[Rule {
        source: "API reference, Tag: \"You cannot edit or delete tag keys or values with this prefix\"",
        broken: |input| input.tag_keys.iter().flatten().any(|key| is_reserved(key)).then(reserved),
    }];

    async fn handle(context: &Context, input: UntagResourceRequest) -> Result<UntagResourceResponse, Error> {
        let UntagResourceRequest { resource_arn, tag_keys } = input;
        let resource = Resource::find(context, resource_arn.as_deref()).await?;
        resource.change(context, Change::Remove(tag_keys.unwrap_or_default())).await?;
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
        let tags = resource.tags().iter().cloned().map(Into::into).collect();
        Ok(ListTagsForResourceResponse { tags: Some(tags) })
    }
}
