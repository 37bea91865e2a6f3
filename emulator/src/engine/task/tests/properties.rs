//! With any events, in any order and any number of reports, a task only moves forward and ends when it is stopped.

use proptest::prelude::*;

use super::*;

/// The outcome of an action, or something that happens meanwhile.
#[derive(Clone, Debug)]
enum Step {
    /// Carry out the action at this place of the plan.
    Succeed(usize),
    /// Let it fail, if it can.
    Fail(usize),
    Exit(usize, i64),
    Healthy(usize, bool),
    Gone(usize),
    Stop,
    Tick,
    /// Report an earlier start or exit again.
    Again(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<usize>().prop_map(Step::Succeed),
        1 => any::<usize>().prop_map(Step::Fail),
        2 => (any::<usize>(), 0..3i64).prop_map(|(container, code)| Step::Exit(container, code)),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(container, healthy)| Step::Healthy(container, healthy)),
        1 => any::<usize>().prop_map(Step::Gone),
        1 => Just(Step::Stop),
        1 => Just(Step::Tick),
        2 => any::<usize>().prop_map(Step::Again),
    ]
}

/// Containers that depend only on earlier ones, so that there is no cycle; the first is essential. Some start again after
/// so many seconds.
fn specs() -> impl Strategy<Value = Vec<ContainerSpec>> {
    let condition = prop_oneof![
        Just(Condition::Start),
        Just(Condition::Complete),
        Just(Condition::Success),
        Just(Condition::Healthy)
    ];
    let dependency = prop::option::of((any::<usize>(), condition));
    let period = prop::option::of(1..20u32);
    prop::collection::vec((any::<bool>(), dependency, period), 1..5).prop_map(|containers| {
        let spec = |(index, (essential, dependency, period)): (usize, (bool, Option<(usize, _)>, _))| {
            let depends_on = dependency
                .filter(|_| index > 0)
                .map(|(on, condition)| Dependency { container: format!("c{}", on % index), condition })
                .into_iter()
                .collect();
            let policy = |restart_attempt_period| RestartPolicy {
                ignored_exit_codes: vec![2],
                restart_attempt_period,
            };
            ContainerSpec {
                essential: essential || index == 0,
                depends_on,
                restart_policy: Option::<u32>::map(period, policy),
                ..container(&format!("c{index}"))
            }
        };
        containers.into_iter().enumerate().map(spec).collect()
    })
}

fn take(drive: &mut Drive, step: &Step) {
    let count = drive.task.containers.len();
    let planned = |drive: &Drive, place: usize| {
        let actions = plan(&drive.task);
        (!actions.is_empty()).then(|| actions[place % actions.len()])
    };
    let at = Timestamp(drive.now);
    match step {
        Step::Succeed(place) => {
            if let Some(action) = planned(drive, *place) {
                drive.succeed(action);
            }
        }
        Step::Fail(place) => {
            if let Some(Action::Pull(index) | Action::Start(index)) = planned(drive, *place) {
                drive.event(Event::StartFailed { container: Some(index), reason: "no".into() });
            }
        }
        _ if drive.task.is_stopped() => {}
        Step::Exit(index, code) => {
            let container = index % count;
            if drive.task.containers[container].last_status == ContainerStatus::Running {
                drive.event(Event::Exited { container, exit: Exit { code: *code, oom_killed: false, at } });
            }
        }
        Step::Healthy(index, healthy) => {
            drive.event(Event::Health { container: index % count, healthy: *healthy });
        }
        Step::Gone(index) => {
            drive.event(Event::Gone { container: index % count });
        }
        Step::Stop => {
            drive.event(Event::Stop { code: StopCode::UserInitiated, reason: String::new() });
        }
        Step::Tick => {
            drive.event(Event::Tick);
        }
        Step::Again(_) if drive.reported.is_empty() => {}
        Step::Again(place) => {
            let again = drive.reported[place % drive.reported.len()].clone();
            let before = drive.task.clone();
            drive.event(again.clone());
            // A container that waits for its restart ends with its last exit once the task is to stop.
            if before.desired_status == Desired::Running {
                assert_eq!(drive.task, before, "reported again: {again:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_task_only_moves_forward_and_always_ends_when_it_is_stopped(
        specs in specs(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut drive = Drive::new(specs);
        for step in &steps {
            let before = drive.task.clone();
            take(&mut drive, step);
            let after = &drive.task;
            prop_assert!(after.last_status >= before.last_status, "lastStatus went back");
            prop_assert!(after.desired_status >= before.desired_status, "desiredStatus went back");
            prop_assert!(after.version >= before.version);
            for (before, after) in before.containers.iter().zip(&after.containers) {
                prop_assert!(!before.is_stopped() || before.exit_code == after.exit_code, "an exit code changed");
            }
            prop_assert_eq!(after.stop_code.is_some(), after.desired_status == Desired::Stopped);
        }
        if !drive.task.is_stopped() {
            drive.event(Event::Stop { code: StopCode::UserInitiated, reason: String::new() });
        }
        drive.settle();
        prop_assert_eq!(drive.task.last_status, Status::Stopped);
        prop_assert!(drive.task.containers.iter().all(Container::is_stopped));
        prop_assert!(plan(&drive.task).is_empty());
        let versions: Vec<i64> = drive.published.iter().map(|(version, _, _)| *version).collect();
        prop_assert!(versions.windows(2).all(|pair| pair[1] == pair[0] + 1), "each published change counts one");
    }
}
