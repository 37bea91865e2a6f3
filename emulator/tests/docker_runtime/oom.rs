//! Which container ran out of memory, and which only was beside it.

use neargate::runtime::{Event, Exit, Runtime as _, State};

use crate::support::{World, connect, event, exit, observed, wait_for_output, with_world};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_beyond_its_own_limit_ran_out_of_memory() {
    with_world(|world| async move {
        let mut events = world.runtime.events();
        event(&mut events, |event| (event == Event::Resync).then_some(())).await;
        let task = world.task(4, 256, 512, &[]).await;
        let mut spec = task.spec("hog", &["hog", "200"]).await;
        spec.process.memory = Some(64);
        let id = task.run(spec).await;
        let exit = event(&mut events, |event| match event {
            Event::Exited { container_id, exit } if container_id == id => Some(exit),
            _ => None,
        })
        .await;
        assert_eq!((exit.code, exit.oom_killed), (137, true));
    })
    .await;
}

/// The kernel notifies every cgroup of the task, so the engine marks this sibling as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_sibling_that_exits_0_after_the_others_oom_is_not_marked() {
    with_world(|world| async move {
        for round in 0..5 {
            let (hog, sibling) = beside_an_oom(&world, round).await;
            assert_eq!((hog.code, hog.oom_killed), (137, true), "round {round}");
            assert_eq!((sibling.code, sibling.oom_killed), (0, false), "round {round}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sibling_that_is_killed_after_the_others_oom_is_not_marked() {
    with_world(|world| async move {
        let task = world.task(4, 256, 128, &[]).await;
        let sibling = task.run_tool("sibling", &["hold"]).await;
        let hog = task.run_tool("hog", &["hog", "200"]).await;
        assert!(exit(&world.runtime, &hog).await.oom_killed);
        world.runtime.stop_container(&sibling, std::time::Duration::ZERO).await.unwrap();
        let end = exit(&world.runtime, &sibling).await;
        assert_eq!((end.code, end.oom_killed), (137, false));
    })
    .await;
}

/// More OOM kills at once than the kernel logs: beyond ten in five seconds it omits the cgroup from its log.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_each_known() {
    with_world(|world| async move {
        let task = world.task(4, 1024, 2048, &[]).await;
        let mut hogs = Vec::new();
        for number in 0..14 {
            let mut spec = task.spec(&format!("hog-{number}"), &["hog", "64"]).await;
            spec.process.memory = Some(32);
            hogs.push(task.run(spec).await);
        }
        for (number, hog) in hogs.iter().enumerate() {
            let end = exit(&world.runtime, hog).await;
            assert_eq!((end.code, end.oom_killed), (137, true), "hog {number}");
        }
    })
    .await;
}

/// A task of 128 MiB, in which one container needs 200 and the other exits 0 after that one was killed.
async fn beside_an_oom(world: &World, round: u32) -> (Exit, Exit) {
    let task = world.task(10 + round, 256, 128, &[]).await;
    let sibling = task.run_tool("sibling", &["serve", "8080", "done"]).await;
    assert_eq!(task.output(task.spec("hello", &["say", "hey", "127.0.0.1:8080"]).await).await, "done\n");
    let hog = task.run_tool("hog", &["hog", "200"]).await;
    let hog = exit(&world.runtime, &hog).await;
    task.run_tool("bye", &["say", "bye", "127.0.0.1:8080"]).await;
    (hog, exit(&world.runtime, &sibling).await)
}

/// A kill while no process watched is reported correctly afterwards, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_oom_while_no_process_watched_is_known_afterwards() {
    with_world(|world| async move {
        let task = world.task(4, 256, 128, &[]).await;
        let sibling = task.run_tool("sibling", &["hog", "16"]).await;
        wait_for_output(&world.runtime, &sibling, "holds").await;
        let hog = task.run_tool("hog", &["hog", "200"]).await;
        exit(&world.runtime, &hog).await;
        let again = connect(world.options.clone()).await.unwrap();
        let hog = observed(&again, &hog).await.state;
        assert!(matches!(hog, State::Exited { exit, .. } if exit.oom_killed), "{hog:?}");
        assert!(matches!(observed(&again, &sibling).await.state, State::Running { .. }));
    })
    .await;
}
