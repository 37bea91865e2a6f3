//! Carries out a decision: the writes to Kubernetes and the calls to ECS. No decision is made here.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_sdk_ecs::types::Task;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use super::{
    context::{Context, Error},
    decide::{
        events::{self, Event},
        task,
    },
    describe,
};
use crate::{
    fargate::ecs,
    translate::{Note, Translation},
};

/// How long the API server may take for a write before the step is given up and retried.
const DEADLINE: Duration = Duration::from_secs(30);

/// Writes the pod's status, if it differs, with the version that it was made from, and sends the events of the change.
/// Returns the pod as it is afterwards.
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
    // The watch's pods may lack what the API server requires in the body for the pod of that URL.
    written.metadata.managed_fields = None;
    let name = pod.name_any();
    let api = api(context, &pod);
    let answer = in_time(api.replace_status(&name, &PostParams::default(), &written))
        .await
        .map_err(Error::WriteStatus)?;
    let events = events::between(&pod, &status);
    let pod = context.note(answer);
    context.publisher.send(&pod, &events);
    Ok(pod)
}

/// Writes annotations, if there are any to write. Returns the pod as it is afterwards.
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
    let (name, patch) = (pod.name_any(), Patch::Merge(&patch));
    let api = api(context, &pod);
    let answer = in_time(api.patch(&name, &PatchParams::default(), &patch)).await.map_err(Error::Annotate)?;
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
    match in_time(api(context, pod).delete(&pod.name_any(), &parameters)).await {
        // Gone already, or replaced by another pod of that name.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(Error::Delete(error)),
        Ok(_) => Ok(()),
    }
}

/// Runs the attempt of the pod of that UID, or finds the task that already runs it.
pub(super) async fn run(
    context: &Context,
    uid: &str,
    attempt: u32,
    translation: &Translation,
) -> Result<Task, ecs::Error> {
    let Translation { definition, run, .. } = translation;
    context.memory.of(uid, |remembered| remembered.family = Some(definition.family.clone()));
    let revision = context.definitions.revision(context.ecs.as_ref(), definition).await?;
    match context.ecs.run_task(&revision, run).await {
        // The token was used already with another request (a label has changed since): that task is the pod's, if it is ours.
        Err(ecs::Error::Conflict { resource_ids }) => {
            let described = describe::tasks(context.ecs.as_ref(), &resource_ids).await?;
            let ours = |task: &Task| context.table.is_of(task, uid) && task::attempt(task) == Some(attempt);
            described.tasks.into_iter().find(ours).ok_or(ecs::Error::Spent)
        }
        Err(error @ ecs::Error::Refused { .. }) => {
            context.definitions.forget(&definition.family);
            Err(error)
        }
        result => result,
    }
}

/// The notes of the translation, as events.
pub(super) fn notes(notes: &[Note]) -> Vec<Event> {
    notes.iter().map(events::noted).collect()
}

/// The API server's response, within [`DEADLINE`]. The client itself has no timeout for a server that has accepted the
/// request.
async fn in_time<T>(answer: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    tokio::time::timeout(DEADLINE, answer)
        .await
        .unwrap_or_else(|_| Err(kube::Error::Service("the API server did not respond within 30 s".into())))
}

fn api(context: &Context, pod: &Pod) -> Api<Pod> {
    Api::namespaced(context.client.clone(), &pod.namespace().unwrap_or_default())
}
