//! Log groups: deleted at once, their events piece by piece.

use std::time::Duration;

use neargate::clock::Timestamp;
use neargate::store::logs;

use crate::{open, put};

#[tokio::test]
async fn a_deleted_log_group_is_gone_at_once_and_its_events_go_in_pieces_and_free_their_room() {
    const EVENTS: usize = 3000;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let make = async || {
        store
            .write(|connection| {
                Box::pin(async move {
                    let now = Timestamp(1);
                    logs::ensure_stream(connection, "0", "r", "/large", "stream", true, now).await
                })
            })
            .await
            .unwrap()
            .unwrap()
    };
    let stream = make().await;
    for chunk in 0..EVENTS / 100 {
        // Too large to share a block: 30 KiB each.
        let events: Vec<logs::Event> = (0..100)
            .map(|n| logs::Event {
                timestamp: Timestamp(i64::try_from(chunk * 100 + n).unwrap()),
                message: format!("{n}").repeat(30_000 / format!("{n}").len()),
            })
            .collect();
        store
            .write(move |connection| {
                Box::pin(async move { logs::append(connection, stream, &events, Timestamp(2)).await })
            })
            .await
            .unwrap();
    }
    let group = logs::group(store.readers(), "0", "r", "/large").await.unwrap().unwrap();
    let blocks = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM log_blocks").fetch_one(store.readers()).await.unwrap()
    };
    let before = blocks().await;
    assert!(before >= 1000, "{before} blocks");
    let size = || std::fs::metadata(dir.path().join("neargate.db")).unwrap().len();

    store
        .write(move |connection| Box::pin(async move { logs::delete_group(connection, group.id).await }))
        .await
        .unwrap();
    assert_eq!(logs::group(store.readers(), "0", "r", "/large").await.unwrap(), None);
    assert_eq!(blocks().await, before, "the deletion itself takes no block");
    // A late write gets an error, and the name is free.
    let late = logs::Event { timestamp: Timestamp(1), message: "late".into() };
    let appended = store
        .write(move |connection| {
            Box::pin(async move { logs::append(connection, stream, &[late], Timestamp(3)).await })
        })
        .await
        .unwrap();
    assert_eq!(appended, logs::Appended::StreamMissing);
    assert_ne!(make().await, stream);

    store.purge();
    let mut seen = Vec::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while blocks().await > 0 {
        // Each of these waits for at most one piece; this shows that they are served in between.
        put(&store, "between", "pieces").await.unwrap();
        seen.push(blocks().await);
        assert!(tokio::time::Instant::now() < deadline, "{seen:?}");
    }
    seen.dedup();
    assert!(seen.len() > 3, "the blocks went in one piece: {seen:?}");
    let all = size();
    // Closing waits for none of the leftovers, and merges the write-ahead log into the file.
    store.close().await;
    let store = open(dir.path()).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(store.readers()).await.unwrap();
        if free < 8192 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{free} pages are free");
        tokio::task::yield_now().await;
    }
    store.close().await;
    assert!(size() < all / 2, "{} bytes of {all} are left", size());
}
