//! Writes: they share transactions, fail alone, and outlive a kill once they are acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use neargate::store::{Error, Store, meta};
use tokio::sync::oneshot;

use crate::{get, open, put};

/// Holds the writer inside a write until the sender is used, so that writes that arrive meanwhile share one transaction.
async fn hold(store: &Store) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Result<(), Error>>) {
    let (started, has_started) = oneshot::channel();
    let (release, released) = oneshot::channel();
    let store = store.clone();
    let held = tokio::spawn(async move {
        store
            .write(move |connection| {
                Box::pin(async move {
                    meta::put(connection, "held", "yes").await?;
                    started.send(()).unwrap();
                    released.await.unwrap();
                    Ok(())
                })
            })
            .await
    });
    has_started.await.unwrap();
    (release, held)
}

#[tokio::test]
async fn a_failing_write_is_undone_and_its_neighbours_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (release, held) = hold(&store).await;
    let fails = store.write(|connection| {
        Box::pin(async move {
            meta::put(connection, "failing", "half").await?;
            sqlx::query("SELECT * FROM no_such_table")
                .execute(connection)
                .await
                .map_err(|source| Error::Sqlite { attempted: "look for what is not there", source })?;
            Ok(())
        })
    });
    let panics = store.write::<(), _>(|connection| {
        Box::pin(async move {
            meta::put(connection, "panicking", "half").await?;
            panic!("on purpose")
        })
    });
    let release = async { release.send(()).unwrap() };
    let (before, failed, panicked, after, ()) =
        tokio::join!(put(&store, "before", "1"), fails, panics, put(&store, "after", "2"), release);

    before.unwrap();
    after.unwrap();
    held.await.unwrap().unwrap();
    assert!(
        matches!(failed, Err(Error::Sqlite { attempted: "look for what is not there", .. })),
        "{failed:?}"
    );
    assert!(matches!(panicked, Err(Error::Panicked)), "{panicked:?}");
    assert_eq!(get(&store, "before").await.as_deref(), Some("1"));
    assert_eq!(get(&store, "after").await.as_deref(), Some("2"));
    assert_eq!(get(&store, "failing").await, None);
    assert_eq!(get(&store, "panicking").await, None);
}

#[tokio::test]
async fn a_write_is_seen_by_readers_once_it_is_acknowledged_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (release, held) = hold(&store).await;
    assert_eq!(get(&store, "held").await, None, "a reader saw what is not committed");
    assert!(!held.is_finished());
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    assert_eq!(get(&store, "held").await.as_deref(), Some("yes"));
}

#[tokio::test]
async fn a_full_disk_refuses_the_write_and_the_next_small_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let limit = |pages: &'static str| {
        store.write(move |connection| {
            Box::pin(async move {
                sqlx::query(pages).execute(connection).await.unwrap();
                Ok(())
            })
        })
    };
    limit("PRAGMA max_page_count = 60").await.unwrap();
    let big = store
        .write(|connection| {
            Box::pin(async move { meta::put(connection, "big", &"x".repeat(1_000_000)).await })
        })
        .await;
    let error = big.unwrap_err();
    assert!(error.is_full(), "{error:?}");
    assert_eq!(error.to_string(), "cannot write a meta value: the disk is full");
    put(&store, "small", "fits").await.unwrap();
    assert_eq!(get(&store, "small").await.as_deref(), Some("fits"));
    assert_eq!(get(&store, "big").await, None);
}

#[tokio::test]
async fn a_transaction_lost_under_its_writes_loses_them_all_and_no_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (release, held) = hold(&store).await;
    let rolls_back = store.write(|connection| {
        Box::pin(async move {
            // As SQLite itself does for some input and output errors.
            sqlx::query("ROLLBACK").execute(connection).await.unwrap();
            Ok(())
        })
    });
    let release = async { release.send(()).unwrap() };
    let (first, lost, later, ()) =
        tokio::join!(put(&store, "first", "1"), rolls_back, put(&store, "later", "2"), release);
    held.await.unwrap().unwrap();
    assert!(matches!(first, Err(Error::NotCommitted { .. })), "{first:?}");
    assert!(matches!(lost, Err(Error::NotCommitted { .. })), "{lost:?}");
    later.unwrap();
    assert_eq!(get(&store, "first").await, None);
    assert_eq!(get(&store, "later").await.as_deref(), Some("2"));
}

/// The test runs itself as the process that is killed.
#[test]
fn what_was_acknowledged_outlives_a_kill() {
    const DIR: &str = "NEARGATE_TEST_WRITE_INTO";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let last = |store: &Store| {
        let value = runtime.block_on(meta::get(store.readers(), "last")).unwrap();
        value.map_or(0, |value| value.parse::<u64>().unwrap())
    };
    if let Ok(dir) = std::env::var(DIR) {
        let store = runtime.block_on(open(Path::new(&dir)));
        let mut number = last(&store);
        loop {
            number += 1;
            let write = store.write(move |connection| {
                Box::pin(async move { meta::put(connection, "last", &number.to_string()).await })
            });
            runtime.block_on(write).unwrap();
            writeln!(std::io::stderr(), "{number}").unwrap();
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes::what_was_acknowledged_outlives_a_kill", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut numbers = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let first: Vec<String> = numbers.by_ref().take(40 + round).collect();
        assert_eq!(first.len(), 40 + round, "the writing process ended by itself: {first:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged =
            first.into_iter().chain(numbers).map(|line| line.parse::<u64>().unwrap()).max().unwrap();
        let store = runtime.block_on(open(dir.path()));
        let kept = last(&store);
        assert!(
            (acknowledged..=acknowledged + 1).contains(&kept),
            "round {round}: {acknowledged} acknowledged, {kept} kept"
        );
        runtime.block_on(store.close());
    }
    assert!(acknowledged > 200);
}
