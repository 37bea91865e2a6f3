//! The output of a container, whole and in order.

use futures::TryStreamExt;
use neargate::runtime::logs::Cursor;
use neargate::runtime::{Error, Frame, Runtime as _, Stream};

use crate::support::{docker, exit, whole_log, with_world};

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
            let again: Vec<Frame> = world.runtime.logs(&id, &Cursor::default()).try_collect().await.unwrap();
            assert!(again == frames, "round {round}: the order of frames is the same on every read");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_on_from_every_frame() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        let id = task.run_tool("writer", &["lines", "10"]).await;
        exit(&world.runtime, &id).await;
        let all = whole_log(&world.runtime, &id).await;
        let mut cursor = Cursor::default();
        for read in 0..=all.len() {
            let rest: Vec<Frame> = world.runtime.logs(&id, &cursor).try_collect().await.unwrap();
            assert!(rest == all[read..], "after {read} frames: {rest:?}");
            all.get(read).inspect(|frame| cursor.advance(frame.timestamp));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_damaged_or_was_removed_is_unreadable() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        let id = task.run_tool("writer", &["lines", "10"]).await;
        exit(&world.runtime, &id).await;
        let mut cursor = Cursor::default();
        whole_log(&world.runtime, &id).await.iter().for_each(|frame| cursor.advance(frame.timestamp));
        let file = docker().inspect_container(&id, None).await.unwrap().log_path.unwrap();
        std::fs::remove_file(&file).unwrap();
        for damage in ["a directory in its place", "a new, empty one", "none"] {
            match damage {
                "a directory in its place" => std::fs::create_dir(&file).unwrap(),
                "a new, empty one" => std::fs::write(&file, "").unwrap(),
                _ => {}
            }
            let read: Result<Vec<Frame>, Error> = world.runtime.logs(&id, &cursor).try_collect().await;
            match read {
                Err(Error::Unreadable { reason, .. }) => assert!(!reason.is_empty(), "{damage}"),
                other => panic!("{damage}: {other:?}"),
            }
            let _ = std::fs::remove_dir(&file).or_else(|_| std::fs::remove_file(&file));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_long_line_are_returned_as_they_are() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        for terminal in [false, true] {
            let mut spec = task.spec(&format!("terminal-{terminal}"), &["long", "40000"]).await;
            spec.process.pseudo_terminal = terminal;
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
        let read: Vec<Frame> =
            world.runtime.logs(&"0".repeat(64), &Cursor::default()).try_collect().await.unwrap();
        assert_eq!(read, []);
    })
    .await;
}
