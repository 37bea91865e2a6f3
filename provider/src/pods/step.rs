//! One pod, one step: look, decide, write the status, act.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    runtime::{controller::Action, reflector::ObjectRef},
};

use super::{
    act,
    context::{Context, Error},
    decide::{
        self, Decision, Facts, NextAction, Question, Readiness, TaskView, annotations,
        outcome::{self, Outcome},
        refusal::Refusal,
        status, task,
    },
    memory::Remembered,
};
use crate::{background, translate};

/// Pauses after a step that failed: doubled from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Until a pod that is to be run again is reconciled again, while AWS fails.
const TROUBLE: Duration = Duration::from_secs(1);

/// Until a pod that was removed is reconciled again, if it still exists.
const DELETED: Duration = Duration::from_secs(30);

/// One step of the pod. A panic affects only this pod.
pub(super) async fn reconcile(pod: Arc<Pod>, context: Arc<Context>) -> Result<Action, Error> {
    let uid = pod.uid().unwrap_or_default();
    let newest = context.memory.of(&uid, |remembered| remembered.newest(pod.clone()));
    let step = AssertUnwindSafe(step(newest.unwrap_or(pod), &context)).catch_unwind();
    let result =
        step.await.unwrap_or_else(|panic| Err(Error::Panic(background::message(&*panic).to_owned())));
    if result.is_ok() {
        context.memory.of(&uid, |remembered| remembered.failures = 0);
    }
    result
}

async fn step(mut pod: Arc<Pod>, context: &Context) -> Result<Action, Error> {
    let uid = pod.uid().unwrap_or_default();
    let now = context.clock.now();
    let view = context.table.view(&pod);
    if let TaskView::Task(task) = &view {
        let annotations = annotations::for_task(&pod, task, context.settings.fargate.deletion_cost);
        pod = act::annotate(context, pod, annotations).await?;
    }
    context.probing.follow(&pod, &view);
    let seen = context.memory.of(&uid, |remembered| {
        remembered.seen.look(&pod, &view, now);
        remembered.seen
    });
    let readiness = |container: &str| context.probing.readiness(&uid, container);
    let condemned = context.probing.condemned(&pod);
    let question = Question {
        pod: &pod,
        view: &view,
        readiness: &readiness,
        condemned: condemned.as_ref(),
        answered: context.hooks.answered(&uid),
        node: &context.settings.node,
        init: context.settings.fargate.init.is_some(),
        seen: seen.unwrap_or_default(),
        now,
    };
    let Decision { status, events, then } = decide::decide(&question);

    if let NextAction::Run { .. } = then {
        let left = context.memory.of(&uid, |remembered| remembered.refusal?.left(now));
        if let Some(left) = left.flatten() {
            return Ok(Action::requeue(left));
        }
        // The next attempt is on the status before its RunTask: it waits until that can follow.
        if status.is_some() && context.ecs.is_in_trouble() {
            return Ok(Action::requeue(TROUBLE));
        }
    }
    if let Some(status) = status {
        pod = act::write_status(context, pod, status).await?;
    }
    let action = match then {
        NextAction::Wait(None) => Action::await_change(),
        NextAction::Wait(Some(again)) => Action::requeue(again),
        NextAction::Run { attempt } => run(context, pod.clone(), attempt).await?,
        NextAction::PreStop { left } => {
            let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).unwrap_or_default();
            if let Some(spec) = &pod.spec {
                context.hooks.begin(&uid, spec, ip, left);
            }
            Action::requeue(left)
        }
        NextAction::Stop { arn, reason } => {
            tracing::info!(task = arn, reason, "stopping the task");
            match context.ecs.stop_task(&arn, &reason).await.map_err(Error::Aws)? {
                Some(task) => {
                    context.table.put(&uid, ObjectRef::from_obj(pod.as_ref()), None, task);
                }
                // ECS has forgotten it; the next DescribeTasks calls it MISSING.
                None => tracing::info!(task = arn, "ECS no longer knows the task to stop"),
            }
            Action::await_change()
        }
        NextAction::Delete => {
            act::delete(context, &pod).await?;
            context.memory.of(&uid, |remembered| {
                remembered.following = None;
                remembered.forget_written();
            });
            // Its finalizers may hold it, or the API server may have refused without an error.
            Action::requeue(DELETED)
        }
    };
    // Sent once the step is done: a failed step is retried.
    context.publisher.send(&pod, &events);
    Ok(action)
}

/// Runs the attempt, and records its task on the pod.
async fn run(context: &Context, pod: Arc<Pod>, attempt: u32) -> Result<Action, Error> {
    let uid = pod.uid().unwrap_or_default();
    let now = context.clock.now();
    let readiness = |_: &str| Readiness { started: false, ready: false };
    let facts = Facts { pod: &pod, node: &context.settings.node, now, readiness: &readiness };
    let translation = match translate::translate(&pod, attempt, &context.settings) {
        Ok(translation) => translation,
        Err(unsupported) => {
            let status = status::unsupported(&facts, &unsupported.to_string());
            act::write_status(context, pod.clone(), status).await?;
            return Ok(Action::await_change());
        }
    };
    let error = match act::run(context, &uid, attempt, &translation).await {
        Ok(task) => {
            tracing::info!(task = task::arn(&task), attempt, size = %translation.size, "started the pod's task");
            let annotations = annotations::for_task(&pod, &task, context.settings.fargate.deletion_cost);
            context.memory.of(&uid, |remembered| remembered.refusal = None);
            if !context.table.put(&uid, ObjectRef::from_obj(pod.as_ref()), Some(attempt), task) {
                context.vanished.notify_one();
                return Ok(Action::await_change());
            }
            let pod = act::annotate(context, pod, annotations).await?;
            if attempt == 0 {
                context.publisher.send(&pod, &act::notes(&translation.notes));
            }
            return Ok(Action::requeue(Duration::ZERO));
        }
        Err(error) => error,
    };
    let outcome =
        context.memory.of(&uid, |remembered| outcome::of(&facts, attempt, &error, &mut remembered.seen));
    match outcome.unwrap_or(Outcome::Trouble) {
        Outcome::Trouble => Err(Error::Aws(error)),
        Outcome::Spent => {
            tracing::warn!(
                %error,
                attempt,
                "ECS no longer knows the task of the attempt; its exit codes are unknown"
            );
            let is_there = context.table.spent(&uid, ObjectRef::from_obj(pod.as_ref()), attempt);
            Ok(if is_there { Action::requeue(Duration::ZERO) } else { Action::await_change() })
        }
        Outcome::Refused { status, event } => {
            let refused = context.memory.of(&uid, |remembered| {
                let (refusal, pause) = Refusal::after(remembered.refusal, now);
                remembered.refusal = Some(refusal);
                pause
            });
            let pod = act::write_status(context, pod.clone(), *status).await?;
            context.publisher.send(&pod, &[event]);
            Ok(refused.map_or_else(Action::await_change, Action::requeue))
        }
    }
}

/// When a failed step is retried.
pub(super) fn retry(pod: Arc<Pod>, error: &Error, context: Arc<Context>) -> Action {
    let uid = pod.uid().unwrap_or_default();
    if let Error::WriteStatus(kube::Error::Api(status)) | Error::Annotate(kube::Error::Api(status)) = error {
        match status.code {
            404 => return Action::await_change(),
            // The pod has changed since it was read: the watch will deliver a newer one.
            409 => {
                context.memory.of(&uid, Remembered::forget_written);
            }
            _ => {}
        }
    }
    let pause = context.memory.of(&uid, |remembered| {
        let pause = RETRY.0.saturating_mul(2u32.saturating_pow(remembered.failures)).min(RETRY.1);
        remembered.failures = remembered.failures.saturating_add(1);
        pause
    });
    let Some(pause) = pause else { return Action::await_change() };
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(pod = %pod.name_any(), %error, source, ?pause, "a step of the pod failed; retrying after the pause");
    Action::requeue(pause)
}
