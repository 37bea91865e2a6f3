//! What a decision asks for, carried out: the writes to Kubernetes and the calls to ECS. No decision is taken here.

use std::{collections::BTreeMap, sync::Arc};

use aws_sdk_ecs::types::Task;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use super::{
    context::{Context, Error},
    decide::events::{self, Event},
};
use crate::{
    fargate::ecs,
    translate::{Note, Translation},
};

/// Writes the pod's status, if it differs, with the version that it was made from, and sends the events of the change.
/// The pod as it is afterwards.
pub(super) async fn write_status(
    context: &Context,
    pod: Arc<Pod>,
    status: PodStatus,
) -> Result<Arc<Pod>, Error> {
    if pod.status.as_ref() == Some(&status) {
        return Ok(pod);
    }
    let mut written = pod.as_ref().clone();
    written.status = Some(status.clone());
    // The watch's pods may lack what the API server demands of a body to be the pod of that URL.
    written.metadata.managed_fields = None;
    let answer = api(context, &pod)
        .replace_status(&pod.name_any(), &PostParams::default(), &written)
        .await
        .map_err(Error::WriteStatus)?;
    let events = events::between(&pod, &status);
    let pod = context.note(answer);
    context.publisher.send(&pod, &events);
    Ok(pod)
}

/// Writes annotations, if there are any to write. The pod as it is afterwards.
pub(super) async fn annotate(
    context: &Context,
    pod: Arc<Pod>,
    annotations: BTreeMap<&'static str, String>,
) -> Result<Arc<Pod>, Error> {
    if annotations.is_empty() {
        return Ok(pod);
    }
    // The UID is a precondition: another pod of that name is not this one.
    let patch = json!({ "metadata": { "uid": pod.uid(), "annotations": annotations } });
    let answer = api(context, &pod)
        .patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(Error::Annotate)?;
    Ok(context.note(answer))
}

/// Removes the pod object at once, if it is still this one.
pub(super) async fn delete(context: &Context, pod: &Pod) -> Result<(), Error> {
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let parameters = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    match api(context, pod).delete(&pod.name_any(), &parameters).await {
        // Gone already, or another pod of that name has come.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(Error::Delete(error)),
        Ok(_) => Ok(()),
    }
}

/// Runs the attempt, or finds the task that already runs it.
pub(super) async fn run(context: &Context, translation: &Translation) -> Result<Task, ecs::Error> {
    let Translation { definition, run, .. } = translation;
    let revision = context.definitions.revision(context.ecs.as_ref(), definition).await?;
    match context.ecs.run_task(&revision, run).await {
        // The token has run already with other words (a label has changed since): that task is the pod's.
        Err(ecs::Error::Conflict { resource_ids }) => {
            let mut described = context.ecs.describe_tasks(&resource_ids).await?;
            described.tasks.pop().ok_or_else(|| ecs::Error::Refused {
                operation: "RunTask",
                code: "ConflictException".to_owned(),
                message: format!("the task that the client token has run is gone: {resource_ids:?}"),
            })
        }
        Err(error @ ecs::Error::Refused { .. }) => {
            context.definitions.forget(&definition.family);
            Err(error)
        }
        result => result,
    }
}

/// What is worth saying of the translation, as events.
pub(super) fn notes(notes: &[Note]) -> Vec<Event> {
    notes.iter().map(events::noted).collect()
}

fn api(context: &Context, pod: &Pod) -> Api<Pod> {
    Api::namespaced(context.client.clone(), &pod.namespace().unwrap_or_default())
}
