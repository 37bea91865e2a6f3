//! What holds for the status of any task.

use aws_sdk_ecs::types::{Task, TaskStopCode};
use aws_smithy_types::DateTime;
use neargate_provider::pods::decide::NextAction;
use proptest::prelude::*;

use super::{ENDED, STARTED, container, decide_at, pod, summary, task, view};

fn any_task() -> impl Strategy<Value = Task> {
    let last = prop::sample::select(vec![
        "PROVISIONING",
        "PENDING",
        "ACTIVATING",
        "RUNNING",
        "DEACTIVATING",
        "STOPPING",
        "DEPROVISIONING",
        "STOPPED",
        "DELETED",
        "NEW",
    ]);
    let code = prop::option::of(prop::sample::select(vec![0, 1, 137, 143]));
    let stop = prop::option::of(prop::sample::select(vec![
        TaskStopCode::EssentialContainerExited,
        TaskStopCode::TaskFailedToStart,
        TaskStopCode::UserInitiated,
        TaskStopCode::SpotInterruption,
    ]));
    (last, code, stop, any::<bool>(), any::<bool>()).prop_map(|(last, code, stop, started, ended)| {
        task(last)
            .set_stop_code(stop)
            .set_started_at(started.then(|| DateTime::from_secs(STARTED)))
            .set_stopped_at(ended.then(|| DateTime::from_secs(ENDED)))
            .containers(container("app", code, None))
            .build()
    })
}

proptest! {
    /// A status that is written is read back by the next decision: it must give the same status for the same task, or the pod
    /// would be written for ever.
    #[test]
    fn a_status_is_stable(task in any_task(), policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]), late in 0i64..1000) {
        let mut pod = pod(policy, &["app"]);
        let view = view(task);
        let first = decide_at(&pod, &view, ENDED + late);
        prop_assume!(!matches!(first.then, NextAction::Run { .. }));
        pod.status = first.status.or(pod.status);
        let second = decide_at(&pod, &view, ENDED + late);
        pod.status = second.status.or(pod.status);
        let third = decide_at(&pod, &view, ENDED + late);
        if let Some(third) = third.status {
            prop_assert_eq!(Some(third), pod.status);
        }
    }

    /// Never ready while its task is not RUNNING and wanted so; never Failed nor Succeeded under Always for an end of its own.
    #[test]
    fn a_status_never_lies(task in any_task()) {
        let decision = decide_at(&pod("Always", &["app"]), &view(task.clone()), ENDED + 1);
        if let Some(status) = decision.status {
            let line = summary(&status);
            if line.contains("ready=True") {
                prop_assert_eq!(task.last_status(), Some("RUNNING"));
                prop_assert_eq!(task.desired_status(), Some("RUNNING"));
            }
            if line.starts_with("Failed") || line.starts_with("Succeeded") {
                prop_assert_eq!(task.stop_code(), Some(&TaskStopCode::SpotInterruption));
            }
        }
    }
}
