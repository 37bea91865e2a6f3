//! The engine's events as the runtime's.

use neargate::runtime::{Event, Runtime as _, State};

use crate::support::{event, observed, with_world};

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_life_is_told_by_events() {
    with_world(|world| async move {
        let mut events = world.runtime.events();
        event(&mut events, |event| (event == Event::Resync).then_some(())).await;
        let task = world.task(4, 256, 512, &[]).await;
        let id = task.run_tool("app", &["exit", "3"]).await;
        let started = event(&mut events, |event| match event {
            Event::Started { container_id, at } => Some((container_id, at)),
            _ => None,
        });
        let (started_id, started_at) = started.await;
        assert_eq!(started_id, id, "a sandbox's start is no event");
        let (exited_id, exit) = event(&mut events, |event| match event {
            Event::Exited { container_id, exit } => Some((container_id, exit)),
            _ => None,
        })
        .await;
        assert_eq!((exited_id.as_str(), exit.code, exit.oom_killed), (id.as_str(), 3, false));
        assert!(exit.at >= started_at);
        let State::Exited { exit: seen, .. } = observed(&world.runtime, &id).await.state else {
            panic!("it is not seen as exited")
        };
        assert_eq!(seen.code, 3);
    })
    .await;
}
