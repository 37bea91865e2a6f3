//! The lifecycle, one case per rule.

use super::*;
use crate::runtime::HealthCheck;

#[test]
fn a_natural_exit_ends_at_version_5() {
    let mut drive = Drive::new(vec![container("app")]);
    drive.settle().exit("app", 3).settle();
    assert_eq!(
        drive.statuses(),
        [
            (1, Status::Provisioning),
            (2, Status::Pending),
            (3, Status::Running),
            (4, Status::Deprovisioning),
            (5, Status::Stopped)
        ]
    );
    assert_eq!(drive.task.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(drive.task.stopped_reason.as_deref(), Some("Essential container in task exited"));
    assert_eq!(drive.exit_codes(), [Some(3)]);
    assert!(drive.task.execution_stopped_at.is_some() && drive.task.stopped_at.is_some());
    assert_eq!(drive.task.attachment.status, AttachmentStatus::Deleted);
}

#[test]
fn a_stop_is_published_before_the_first_signal_and_keeps_its_cause() {
    let mut drive = Drive::new(vec![container("app")]);
    drive.settle().event(Event::Stop { code: StopCode::UserInitiated, reason: "enough".into() });
    assert_eq!(drive.published.last(), Some(&(4, Status::Running, Desired::Stopped)));
    drive.event(Event::Stop { code: StopCode::SpotInterruption, reason: "later".into() }).settle();
    let statuses: Vec<Status> = drive.statuses().into_iter().map(|(_, status)| status).collect();
    assert_eq!(
        statuses[3..],
        [Status::Running, Status::Stopping, Status::Deprovisioning, Status::Stopped],
        "a stop passes STOPPING"
    );
    assert_eq!(drive.task.stop_code, Some(StopCode::UserInitiated));
    assert_eq!(drive.task.stopped_reason.as_deref(), Some("enough"));
    assert_eq!(drive.exit_codes(), [Some(143)]);
}

#[test]
fn activating_shows_between_pending_and_running_when_it_is_asked_for() {
    let mut drive = Drive::new(vec![container("app")]);
    drive.task.shows_activating = true;
    drive.settle();
    let statuses: Vec<Status> = drive.statuses().into_iter().map(|(_, status)| status).collect();
    assert_eq!(statuses, [Status::Provisioning, Status::Pending, Status::Activating, Status::Running]);
}

#[test]
fn an_image_that_cannot_be_pulled_fails_the_start_and_no_container_has_an_exit_code() {
    let mut drive = Drive::new(vec![container("app"), container("side")]);
    drive
        .succeed(Action::Claim)
        .event(Event::PullStarted { at: Timestamp(1500) })
        .event(Event::StartFailed { container: Some(0), reason: "CannotPullContainerError: x".into() });
    drive.settle();
    assert_eq!(drive.task.last_status, Status::Stopped);
    assert_eq!(drive.task.stop_code, Some(StopCode::TaskFailedToStart));
    assert_eq!(drive.task.stopped_reason.as_deref(), Some("CannotPullContainerError: x"));
    assert_eq!(drive.exit_codes(), [None, None]);
    assert_eq!(drive.task.containers[0].reason.as_deref(), Some("CannotPullContainerError: x"));
    assert_eq!(drive.task.containers[1].reason, None);
    assert_eq!(drive.task.started_at, None);
}

#[test]
fn a_stop_before_the_claim_takes_no_sandbox() {
    let mut drive = Drive::new(vec![container("app")]);
    drive.event(Event::Stop { code: StopCode::UserInitiated, reason: reason::STOPPED_BY_USER.into() });
    assert_eq!(plan(&drive.task), [Action::Release]);
    drive.settle();
    assert_eq!(drive.task.last_status, Status::Stopped);
    assert_eq!(drive.exit_codes(), [None]);
}

#[test]
fn a_sandbox_that_comes_after_the_stop_is_kept_for_release() {
    let mut drive = Drive::new(vec![container("app")]);
    drive.event(Event::Stop { code: StopCode::UserInitiated, reason: String::new() });
    drive.event(Event::Connected(claim()));
    assert_eq!(drive.task.last_status, Status::Deprovisioning);
    assert_eq!(drive.task.attachment.sandbox_id.as_deref(), Some("s"));
}

#[test]
fn a_container_whose_start_is_under_way_at_the_stop_is_stopped_and_has_an_exit_code() {
    let mut drive = Drive::new(vec![container("app"), depends_on("waits", &[("app", Condition::Start)])]);
    for action in [Action::Claim, Action::Pull(0), Action::Pull(1), Action::Initialize] {
        drive.succeed(action);
    }
    assert_eq!(plan(&drive.task), [Action::Start(0)]);
    drive.event(Event::Stop { code: StopCode::UserInitiated, reason: String::new() });
    drive.succeed(Action::Start(0)).settle();
    assert_eq!(drive.task.last_status, Status::Stopped);
    assert_eq!(drive.exit_codes(), [Some(143), None]);
}

#[test]
fn containers_start_in_the_order_of_their_dependencies_and_stop_in_reverse() {
    let mut drive = Drive::new(vec![
        depends_on("app", &[("db", Condition::Start), ("init", Condition::Success)]),
        container("db"),
        helper("init"),
    ]);
    for action in [Action::Claim, Action::Pull(0), Action::Pull(1), Action::Pull(2), Action::Initialize] {
        assert!(plan(&drive.task).contains(&action), "{action:?} is planned");
        drive.succeed(action);
    }
    assert_eq!(plan(&drive.task), [Action::Start(1), Action::Start(2)]);
    drive.succeed(Action::Start(1)).succeed(Action::Start(2));
    assert_eq!(plan(&drive.task), []);
    assert_eq!(drive.task.last_status, Status::Pending, "not RUNNING before every container started");
    drive.exit("init", 0);
    assert_eq!(plan(&drive.task), [Action::Start(0)]);
    drive.succeed(Action::Start(0));
    assert_eq!(drive.task.last_status, Status::Running);
    drive.event(Event::Stop { code: StopCode::UserInitiated, reason: String::new() });
    drive.succeed(Action::AnnounceStop);
    assert_eq!(plan(&drive.task), [Action::Stop(0)]);
    drive.succeed(Action::Stop(0));
    assert_eq!(plan(&drive.task), [Action::Stop(1)]);
}

#[test]
fn each_condition_is_satisfied_by_its_own_event() {
    for (condition, exit, start) in [
        (Condition::Start, None, true),
        (Condition::Complete, None, false),
        (Condition::Complete, Some(7), true),
        (Condition::Success, Some(0), true),
        (Condition::Healthy, None, false),
    ] {
        let mut drive = Drive::new(vec![depends_on("app", &[("dep", condition)]), helper("dep")]);
        for action in [Action::Claim, Action::Pull(0), Action::Pull(1), Action::Initialize, Action::Start(1)]
        {
            drive.succeed(action);
        }
        if let Some(code) = exit {
            drive.exit("dep", code);
        }
        assert_eq!(plan(&drive.task).contains(&Action::Start(0)), start, "{condition:?} after exit {exit:?}");
        if condition == Condition::Healthy {
            drive.event(Event::Health { container: 1, healthy: true });
            assert_eq!(plan(&drive.task), [Action::Start(0)]);
        }
    }
}

#[test]
fn a_dependency_that_fails_stops_the_task_and_the_dependent_never_starts() {
    let mut drive = Drive::new(vec![depends_on("app", &[("init", Condition::Success)]), helper("init")]);
    drive.settle().exit("init", 2).settle();
    assert_eq!(drive.task.last_status, Status::Stopped);
    assert_eq!(drive.task.stop_code, Some(StopCode::TaskFailedToStart));
    assert_eq!(drive.task.containers[0].started_at, None);
    let reason = drive.task.containers[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("[init] for target [app] as dependency did not exit successfully."), "{reason}");
    assert_eq!(drive.exit_codes(), [Some(143), Some(2)]);
}

#[test]
fn start_timeout_counts_from_the_start_of_the_dependency() {
    let dependency = ContainerSpec { start_timeout: Some(60), ..helper("dep") };
    let mut drive = Drive::new(vec![depends_on("app", &[("dep", Condition::Complete)]), dependency]);
    drive.settle();
    let started = drive.task.containers[1].started_at.expect("it runs");
    let deadline = deadline(&drive.task).expect("a deadline");
    assert_eq!(deadline.since(started).as_secs(), 60);
    drive.now = deadline.millis();
    drive.event(Event::Tick);
    assert_eq!(drive.task.desired_status, Desired::Stopped);
    assert!(
        drive.task.containers[0].reason.as_deref().is_some_and(|reason| reason.ends_with("has timed out."))
    );
}

#[test]
fn a_container_that_is_not_essential_leaves_the_task_running() {
    let mut drive = Drive::new(vec![container("app"), helper("side")]);
    drive.settle().exit("side", 1);
    assert_eq!((drive.task.last_status, drive.task.desired_status), (Status::Running, Desired::Running));
    assert_eq!(drive.task.execution_stopped_at, None);
}

#[test]
fn an_essential_exit_stops_the_siblings_and_keeps_each_exit_code() {
    let mut drive = Drive::new(vec![container("app"), helper("side")]);
    drive.settle().exit("app", 5);
    assert_eq!((drive.task.last_status, drive.task.desired_status), (Status::Running, Desired::Stopped));
    assert!(drive.task.execution_stopped_at.is_some());
    drive.settle();
    assert_eq!(drive.exit_codes(), [Some(5), Some(143)]);
    assert_eq!(drive.task.stop_code, Some(StopCode::EssentialContainerExited));
}

#[test]
fn only_the_container_killed_for_memory_has_the_reason() {
    let mut drive = Drive::new(vec![container("app"), helper("side")]);
    drive.settle();
    let at = Timestamp(drive.now);
    drive.event(Event::Exited { container: 0, exit: Exit { code: 137, oom_killed: true, at } }).settle();
    assert_eq!(drive.task.containers[0].reason.as_deref(), Some(reason::OUT_OF_MEMORY));
    assert_eq!(drive.task.containers[1].reason, None);
}

#[test]
fn the_health_of_a_task_is_that_of_its_essential_containers_with_a_check() {
    let checked = |name: &str, essential| {
        let mut spec = ContainerSpec { essential, ..container(name) };
        spec.process.health_check = Some(HealthCheck {
            command: vec!["CMD".into(), "true".into()],
            interval: 30,
            timeout: 5,
            retries: 3,
            start_period: 0,
        });
        spec
    };
    let mut drive =
        Drive::new(vec![checked("a", true), checked("b", true), checked("side", false), container("plain")]);
    drive.settle();
    let mut health = |container, healthy| drive.event(Event::Health { container, healthy }).task.health;
    assert_eq!(health(2, false), Health::Unknown);
    assert_eq!(health(0, true), Health::Unknown);
    assert_eq!(health(1, true), Health::Healthy);
    assert_eq!(health(0, false), Health::Unhealthy);
}

#[test]
fn a_restart_policy_restarts_a_container_that_ran_long_enough_and_no_other() {
    let policy = RestartPolicy { ignored_exit_codes: vec![42], restart_attempt_period: 60 };
    let spec = ContainerSpec { restart_policy: Some(policy), ..container("app") };
    for (ran, code, restarts) in [(61, 1, true), (61, 0, true), (59, 1, false), (61, 42, false)] {
        let mut drive = Drive::new(vec![spec.clone()]);
        drive.settle();
        let at =
            drive.task.containers[0].started_at.expect("it runs").plus(std::time::Duration::from_secs(ran));
        drive.event(Event::Exited { container: 0, exit: Exit { code, oom_killed: false, at } });
        assert_eq!(plan(&drive.task) == [Action::Start(0)], restarts, "after {ran} s with exit code {code}");
        assert_eq!(drive.task.containers[0].restart_count, u32::from(restarts));
    }
}

#[test]
fn events_that_cannot_happen_are_refused_and_change_nothing() {
    let mut drive = Drive::new(vec![container("app")]);
    let now = Timestamp(0);
    assert!(next(&drive.task, &Event::Released { left: None }, now).is_err());
    assert!(next(&drive.task, &Event::Stopping, now).is_err());
    assert!(next(&drive.task, &Event::Started { container: 9, at: now }, now).is_err());
    drive.settle();
    assert!(next(&drive.task, &Event::Connected(claim()), now).is_err());
    drive.exit("app", 0).settle();
    assert!(next(&drive.task, &Event::Initialized, now).is_err());
}

#[test]
fn a_container_that_vanished_has_a_reason_and_no_exit_code() {
    let mut drive = Drive::new(vec![container("app")]);
    drive.settle().event(Event::Gone { container: 0 }).settle();
    assert_eq!(drive.exit_codes(), [None]);
    assert_eq!(drive.task.containers[0].reason.as_deref(), Some(reason::LOST));
    assert_eq!(drive.task.last_status, Status::Stopped);
}

#[test]
fn a_container_that_cannot_be_started_again_has_ended_and_its_task_did_not_fail_to_start() {
    let policy = RestartPolicy { ignored_exit_codes: Vec::new(), restart_attempt_period: 60 };
    for essential in [true, false] {
        let restarted = ContainerSpec { restart_policy: Some(policy.clone()), essential, ..container("app") };
        let mut drive = Drive::new(vec![restarted, container("other")]);
        drive.settle();
        let started = drive.task.containers[0].started_at.expect("it runs");
        let exit = Exit { code: 1, oom_killed: false, at: started.plus(std::time::Duration::from_secs(61)) };
        drive.event(Event::Exited { container: 0, exit });
        assert_eq!(plan(&drive.task), [Action::Start(0)]);
        drive.event(Event::StartFailed { container: Some(0), reason: "CannotStartContainerError: x".into() });
        let app = &drive.task.containers[0];
        assert_eq!((app.exit_code, app.reason.as_deref()), (None, Some("CannotStartContainerError: x")));
        assert_eq!(drive.task.stop_code, essential.then_some(StopCode::EssentialContainerExited));
    }
}

#[test]
fn an_exit_that_is_reported_again_neither_ends_nor_counts_a_restarted_container() {
    let policy = RestartPolicy { ignored_exit_codes: Vec::new(), restart_attempt_period: 60 };
    let mut drive = Drive::new(vec![ContainerSpec { restart_policy: Some(policy), ..container("app") }]);
    for action in [Action::Claim, Action::Pull(0), Action::Initialize] {
        drive.succeed(action);
    }
    let at = |seconds: i64| Timestamp(1_000_000 + seconds * 1000);
    let started = |seconds| Event::Started { container: 0, at: at(seconds) };
    let exited =
        |seconds| Event::Exited { container: 0, exit: Exit { code: 1, oom_killed: false, at: at(seconds) } };
    drive.event(Event::Created { container: 0, container_id: "c0".into(), runtime_id: "r".into() });
    drive.event(started(0)).event(exited(400)).event(exited(400)).event(started(0));
    assert_eq!(plan(&drive.task), [Action::Start(0)]);
    assert_eq!(drive.task.containers[0].restart_count, 1);
    drive.event(started(401)).event(exited(400));
    assert_eq!(drive.task.containers[0].last_status, ContainerStatus::Running);
    assert_eq!((drive.task.desired_status, drive.exit_codes()), (Desired::Running, vec![None]));
    drive.event(exited(402));
    assert_eq!(drive.exit_codes(), [Some(1)], "the exit of this run, which was too short to start again");
}

/// Carries the plan out until it is empty. Returns the order in which the containers started.
fn starts(drive: &mut Drive) -> Vec<Vec<usize>> {
    let mut starts = Vec::new();
    loop {
        let planned = plan(&drive.task);
        let begun: Vec<usize> = planned.iter().filter_map(|action| action.container()).collect();
        let is_start = planned.iter().all(|action| matches!(action, Action::Start(_)));
        if planned.is_empty() {
            return starts;
        }
        for action in planned {
            drive.succeed(action);
        }
        if is_start {
            starts.push(begun);
        }
    }
}

#[test]
fn with_a_shared_pid_namespace_its_holder_starts_first_and_stops_last() {
    let shared = |specs| {
        let mut drive = Drive::new(specs);
        drive.task.spec.shared_pid = true;
        drive
    };
    let mut plain = shared(vec![container("a"), container("b")]);
    assert_eq!(starts(&mut plain), [[0], [1]]);
    plain.event(Event::Stop { code: StopCode::UserInitiated, reason: String::new() });
    plain.succeed(Action::AnnounceStop);
    assert_eq!(
        plan(&plain.task),
        [Action::Stop(1)],
        "when the holder ends, the kernel ends all that joined it"
    );

    let first_waits = vec![depends_on("a", &[("b", Condition::Start)]), container("b")];
    assert_eq!(starts(&mut shared(first_waits)), [[1], [0]], "the holder is the first to start");

    let specs = vec![depends_on("app", &[("init", Condition::Success)]), helper("init"), container("side")];
    let mut drive = shared(specs);
    assert_eq!(starts(&mut drive), [[1]], "one that is to end holds nothing");
    drive.exit("init", 0);
    assert_eq!(starts(&mut drive), [[0], [2]]);
    let holders = [0, 1, 2].map(|index| depends::pid_holder(&drive.task.spec, index));
    assert_eq!(holders, [None, None, Some(0)]);
}

#[test]
fn a_container_starts_once_the_container_whose_volumes_it_mounts_exists() {
    let mut specs = vec![container("app"), helper("data")];
    specs[0].process.volumes_from = vec![("data".into(), true)];
    assert_eq!(starts(&mut Drive::new(specs)), [[1], [0]]);
}

#[test]
fn containers_that_wait_for_each_other_have_no_order() {
    assert_eq!(depends::order([("a", vec!["b"]), ("b", vec!["c", "?"]), ("c", vec![])]), Some(vec![2, 1, 0]));
    assert_eq!(depends::order([("a", vec!["b"]), ("b", vec!["a"])]), None);
}

#[test]
fn what_could_not_be_stopped_or_removed_is_named_by_the_stopped_task() {
    let mut drive = Drive::new(vec![container("app")]);
    drive.settle().event(Event::Stop { code: StopCode::UserInitiated, reason: "enough".into() });
    drive.succeed(Action::AnnounceStop);
    drive.event(Event::StopFailed { container: 0, reason: "CannotStopContainerError: x".into() });
    assert_eq!(plan(&drive.task), [Action::Release]);
    drive.event(Event::Released { left: Some("remove the volume v: in use".into()) });
    assert_eq!(drive.task.last_status, Status::Stopped);
    assert_eq!(drive.task.containers[0].reason.as_deref(), Some("CannotStopContainerError: x"));
    let reason = drive.task.stopped_reason.as_deref();
    assert_eq!(
        reason,
        Some("enough (InternalError: not everything could be removed: remove the volume v: in use)")
    );
    assert_eq!(drive.exit_codes(), [None]);
}
