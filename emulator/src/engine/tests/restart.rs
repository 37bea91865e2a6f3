//! The engine killed at any time, and started again over the same store and runtime.

use super::*;

#[tokio::test]
async fn a_restart_adopts_what_runs_and_reports_what_died_meanwhile() {
    let mut world = World::new().await;
    let survivor = world.run(vec![container("app", &[])]).await.arn.clone();
    let casualty = world.run(vec![container("app", &[])]).await.arn.clone();
    world.running(&survivor).await;
    let died = world.running(&casualty).await;
    world.kill().await;
    world.runtime.exit(died.containers[0].container_id.as_deref().expect("it ran"), 9, false);
    world.start_again().await;

    assert_eq!(
        world.engine.task(&survivor).map(|task| task.last_status),
        Some(Status::Running),
        "shown at once"
    );
    let stopped = world.stopped(&casualty).await;
    assert_eq!(stopped.containers[0].exit_code, Some(9));
    world.engine.stop(&survivor, StopCode::UserInitiated, String::new()).await.expect("it is adopted");
    let stopped = world.stopped(&survivor).await;
    assert_eq!(stopped.containers[0].exit_code, Some(143));
}

#[tokio::test]
async fn killed_at_any_moment_every_accepted_task_reaches_its_end_and_none_runs_twice() {
    let mut world = World::new().await;
    let init = ContainerSpec { essential: false, ..container("init", &[("SIMULATED_EXIT_CODE", "0")]) };
    let app = ContainerSpec {
        depends_on: vec![Dependency { container: "init".into(), condition: Condition::Success }],
        ..container("app", &[("SIMULATED_EXIT_CODE", "3"), ("SIMULATED_EXIT_AFTER_MS", "5")])
    };
    let mut arns = Vec::new();
    for round in 0..40u32 {
        arns.push(world.run(vec![init.clone(), app.clone()]).await.arn.clone());
        for _ in 0..round * 5 {
            tokio::task::yield_now().await;
        }
        world.kill().await;
        world.start_again().await;
    }
    for arn in &arns {
        let stopped = world.stopped(arn).await;
        let codes: Vec<Option<i64>> =
            stopped.containers.iter().map(|container| container.exit_code).collect();
        assert_eq!(codes, [Some(0), Some(3)]);
        assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
    }
    assert!(world.runtime.inventory().await.expect("an inventory").containers.is_empty());
}

#[tokio::test]
async fn every_line_is_stored_once_and_in_order_before_the_task_is_stopped_whenever_it_is_killed() {
    let mut world = World::new().await;
    let environment =
        [("SIMULATED_LINES", "20000"), ("SIMULATED_EXIT_CODE", "0"), ("SIMULATED_EXIT_AFTER_MS", "200")];
    let task = world.run(vec![work::logging(&environment)]).await;
    for round in 0..10u64 {
        tokio::time::sleep(Duration::from_millis(5 * round)).await;
        world.kill().await;
        world.start_again().await;
    }
    world.stopped(&task.arn).await;
    let messages = world.messages("/app", &format!("app/app/{}", task.id)).await;
    let expected: Vec<String> = (1..=20_000).map(|line| format!("line {line}")).collect();
    assert_eq!(messages.len(), expected.len());
    assert_eq!(messages, expected);
}

#[tokio::test]
async fn tags_survive_a_restart_on_running_and_on_stopped_tasks() {
    let mut world = World::new().await;
    let running = world.run(vec![container("app", &[])]).await.arn.clone();
    let stopped = world.run(vec![container("app", &[("SIMULATED_EXIT_CODE", "0")])]).await.arn.clone();
    world.running(&running).await;
    world.stopped(&stopped).await;
    let tags = vec![Tag { key: "team".into(), value: "blue".into() }];
    for arn in [&running, &stopped] {
        let tagged = world.engine.tag(arn, tag::Change::Set(tags.clone())).await.expect("it is kept");
        assert_eq!(tagged.tags, tags);
    }
    world.kill().await;
    world.start_again().await;
    for arn in [&running, &stopped] {
        assert_eq!(world.engine.task(arn).map(|task| task.tags.clone()), Some(tags.clone()));
    }
}

#[tokio::test]
async fn a_stop_that_comes_before_the_task_is_adopted_is_carried_out() {
    let mut world = World::new().await;
    let arn = world.run(vec![container("app", &[])]).await.arn.clone();
    world.running(&arn).await;
    world.kill().await;
    world.faulty.on_call(|call, _| (call == faulty::Call::Inventory).then_some(faulty::Fault::Fail));
    world.start_again().await;
    assert!(!world.engine.is_ready());
    world.engine.stop(&arn, StopCode::UserInitiated, "early".into()).await.expect("the stop is taken");
    world.faulty.calm();
    assert_eq!(world.stopped(&arn).await.stopped_reason.as_deref(), Some("early"));
}
