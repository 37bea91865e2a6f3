//! How long a pod waits before it is run again, regardless of its annotations and of AWS's clock.

use std::time::Duration;

use neargate_provider::clock::Clock;
use serde_json::json;

use super::world::{World, pod};

/// The pod's latest task runs for a moment and exits with 1.
async fn crash(world: &World, tasks: usize) {
    let arn = world.until_tasks("uid-web", tasks).await;
    world.ecs.start(&arn);
    world.until_status("web", "/containerStatuses/0/started", json!(true)).await;
    world.ecs.exit(&arn, 1);
}

/// Seconds until the pod has so many tasks.
async fn until_next(world: &World, tasks: usize) -> i64 {
    let since = world.clock.now();
    world.until_tasks("uid-web", tasks).await;
    world.clock.now().duration_since(since).as_secs()
}

#[tokio::test(start_paused = true)]
async fn no_annotation_switches_the_back_off_off() {
    let world = World::new();
    let mut impatient = pod("web", "Always");
    impatient["metadata"]["annotations"] = json!({ "neargate.dev/backoff-since": "4294967295" });
    world.kubernetes.create(impatient, "uid-web");
    crash(&world, 1).await;
    assert!(until_next(&world, 2).await <= 1);
    for (tasks, wait) in [(2, 10), (3, 20), (4, 40)] {
        crash(&world, tasks).await;
        let waited = until_next(&world, tasks + 1).await;
        assert!((wait - 1..=wait + 1).contains(&waited), "{waited} s, not {wait}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_of_ten_minutes_is_forgiven_and_a_start_that_fails_after_it_is_not() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    for tasks in 1..=3 {
        crash(&world, tasks).await;
    }
    let long = world.until_tasks("uid-web", 4).await;
    world.ecs.start(&long);
    for _ in 0..3 {
        world.until_passed(Duration::from_secs(201)).await;
    }
    world.ecs.exit(&long, 1);
    assert!(until_next(&world, 5).await <= 1);
    for (tasks, wait) in [(5, 20), (6, 40), (7, 80)] {
        let arn = world.until_tasks("uid-web", tasks).await;
        world.ecs.fail_to_start(&arn, "CannotPullContainerError: not found");
        let waited = until_next(&world, tasks + 1).await;
        assert!((wait - 1..=wait + 1).contains(&waited), "{waited} s, not {wait}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_ahead_by_awss_clock_makes_no_wait_longer() {
    let world = World::new();
    world.ecs.clock_is_ahead(Duration::from_secs(280));
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    crash(&world, 1).await;
    crash(&world, 2).await;
    let waited = until_next(&world, 3).await;
    assert!((9..=11).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_lost_before_its_pod_ever_ran_is_run_again_in_time() {
    let world = World::new();
    world.kubernetes.create(pod("web", "Always"), "uid-web");
    let first = world.until_tasks("uid-web", 1).await;
    world.ecs.fail_to_start(&first, "CannotPullContainerError: not found");
    let second = world.until_tasks("uid-web", 2).await;
    world.ecs.lose(&second);
    world.until("the third attempt", |world| (world.ecs.calls("RunTask").len() == 3).then_some(())).await;
}
