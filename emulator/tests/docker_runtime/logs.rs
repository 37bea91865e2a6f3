//! The output of a container, whole and in order.

use futures::TryStreamExt;
use neargate::runtime::{Frame, Runtime as _, Stream};

use crate::support::{exit, whole_log, with_world};

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_has_every_line_to_the_end_each_time() {
    with_world(|world| async move {
        let task = world.task(4, 1024, 512, &[]).await;
        for round in 0..20 {
            let id = task.run_tool(&format!("writer-{round}"), &["lines", "5000"]).await;
            let frames = whole_log(&world.runtime, &id).await;
            for (stream, first) in [(Stream::Stdout, 0), (Stream::Stderr, 1)] {
                let lines: Vec<&[u8]> = frames
                    .iter()
                    .filter(|frame| frame.stream == stream)
                    .map(|frame| &frame.bytes[..])
                    .collect();
                let expected: Vec<String> =
                    (first..5000).step_by(2).map(|number| format!("line {number}\n")).collect();
                assert!(
                    lines == expected.iter().map(String::as_bytes).collect::<Vec<_>>(),
                    "round {round} {stream:?}"
                );
            }
            let again: Vec<Frame> = world.runtime.logs(&id, 0, false).try_collect().await.unwrap();
            assert!(again == frames, "round {round}: the order of frames is the same on every read");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_from_a_second_on_inclusively() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        let id = task.run_tool("writer", &["lines", "10"]).await;
        exit(&world.runtime, &id).await;
        let all: Vec<Frame> = world.runtime.logs(&id, 0, false).try_collect().await.unwrap();
        let second = all.last().unwrap().timestamp / 1_000_000_000;
        for (since, expected) in [
            (second, all.iter().filter(|frame| frame.timestamp / 1_000_000_000 >= second).count()),
            (second + 1, 0),
        ] {
            let read: Vec<Frame> = world.runtime.logs(&id, since, true).try_collect().await.unwrap();
            assert_eq!(read.len(), expected, "since {since} of {all:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_long_line_come_as_they_are() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        for terminal in [false, true] {
            let mut spec = task.spec(&format!("terminal-{terminal}"), &["long", "40000"]).await;
            spec.pseudo_terminal = terminal;
            let id = task.run(spec).await;
            let frames = whole_log(&world.runtime, &id).await;
            let text: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes.to_vec()).collect();
            let end = if terminal { "\r\n" } else { "\n" };
            assert!(text == format!("{}{end}", "x".repeat(40_000)).into_bytes(), "terminal {terminal}");
            assert!(frames.len() >= 3, "terminal {terminal}: {} frames", frames.len());
            let (last, parts) = frames.split_last().unwrap();
            assert!(last.bytes.ends_with(b"\n") && parts.iter().all(|part| !part.bytes.ends_with(b"\n")));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_container_that_is_gone_is_empty() {
    with_world(|world| async move {
        let read: Vec<Frame> = world.runtime.logs(&"0".repeat(64), 0, true).try_collect().await.unwrap();
        assert_eq!(read, []);
    })
    .await;
}
