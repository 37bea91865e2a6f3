//! The store's promises: isolation of writes that share a transaction, answers after the commit, one process a
//! directory, and nothing acknowledged lost to a kill.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use neargate::clock::Timestamp;
use neargate::store::{
    Body, Error, Store, client_tokens, clusters, logs, meta, reset, sandboxes, task_definitions, tasks, usage,
};
use tokio::sync::oneshot;

async fn open(dir: &Path) -> Store {
    Store::open(dir).await.unwrap()
}

async fn put(store: &Store, key: &'static str, value: &'static str) -> Result<(), Error> {
    store.write(move |connection| Box::pin(meta::put(connection, key, value))).await
}

async fn get(store: &Store, key: &str) -> Option<String> {
    meta::get(store.readers(), key).await.unwrap()
}

/// Holds the writer inside a write until the sender is used, so that what comes meanwhile shares one transaction.
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
async fn a_write_is_seen_by_readers_once_it_is_answered_and_not_before() {
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

#[tokio::test]
async fn a_second_process_is_refused_with_the_holders_pid_and_let_in_after_close() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let refused = Store::open(dir.path()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "the data directory {} is in use by another neargate (pid {})",
            dir.path().display(),
            std::process::id()
        )
    );
    let id = store.instance_id().to_owned();
    put(&store, "kept", "yes").await.unwrap();
    store.close().await;
    assert!(matches!(put(&store, "late", "no").await, Err(Error::Closed)));

    let reopened = open(dir.path()).await;
    assert_eq!(reopened.instance_id(), id);
    assert_eq!(get(&reopened, "kept").await.as_deref(), Some("yes"));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("data")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot make the data directory {}", file.join("data").display()));
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
            .args(["--exact", "what_was_acknowledged_outlives_a_kill", "--nocapture"])
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

fn cluster(name: &str, status: &str) -> clusters::Row {
    clusters::Row {
        arn: format!("arn:aws:ecs:eu-west-1:000000000000:cluster/{name}"),
        account: "000000000000".into(),
        region: "eu-west-1".into(),
        name: name.into(),
        status: status.into(),
        body: Body::new(1, &()),
    }
}

#[tokio::test]
async fn clusters_page_by_name_within_their_region_and_status() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store
        .write(|connection| {
            Box::pin(async move {
                for (name, status) in [("c", "ACTIVE"), ("a", "ACTIVE"), ("b", "INACTIVE"), ("d", "ACTIVE")] {
                    clusters::put(connection, &cluster(name, status)).await?;
                }
                clusters::put(connection, &cluster("a", "ACTIVE")).await
            })
        })
        .await
        .unwrap();
    let page = async |region: &str, after: Option<&str>| {
        let rows = clusters::list(store.readers(), "000000000000", region, "ACTIVE", after, 2).await.unwrap();
        rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    assert_eq!(page("eu-west-1", None).await, ["a", "c"]);
    assert_eq!(page("eu-west-1", Some("c")).await, ["d"]);
    assert!(page("us-east-1", None).await.is_empty());
}

#[tokio::test]
async fn a_revision_is_never_given_twice_and_lists_page_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let register = async |family: &'static str| {
        store
            .write(move |connection| {
                Box::pin(async move {
                    let revision = task_definitions::next_revision(connection, "0", "r", family).await?;
                    let row = task_definitions::Row {
                        arn: format!("arn:{family}:{revision}"),
                        account: "0".into(),
                        region: "r".into(),
                        family: family.into(),
                        revision,
                        status: "ACTIVE".into(),
                        body: Body::new(1, &()),
                    };
                    task_definitions::put(connection, &row).await?;
                    Ok(row)
                })
            })
            .await
            .unwrap()
    };
    for family in ["web", "web", "we", "web", "job"] {
        register(family).await;
    }
    store
        .write(|connection| Box::pin(async move { task_definitions::delete(connection, "arn:web:3").await }))
        .await
        .unwrap();
    let mut job = register("web").await;
    assert_eq!(job.revision, 4, "the revision of a deleted task definition came back");
    job.status = "INACTIVE".into();
    store
        .write(move |connection| Box::pin(async move { task_definitions::put(connection, &job).await }))
        .await
        .unwrap();

    let latest = task_definitions::latest_active(store.readers(), "0", "r", "web").await.unwrap().unwrap();
    assert_eq!(latest.revision, 2);

    let pages = async |descending: bool, family: Option<&str>, limit: u32| {
        let mut all: Vec<String> = Vec::new();
        let mut last: Option<(String, i64)> = None;
        loop {
            let page = task_definitions::list(
                store.readers(),
                task_definitions::Filter {
                    account: "0",
                    region: "r",
                    family,
                    status: "ACTIVE",
                    descending,
                    after: last.as_ref().map(|(family, revision)| (family.as_str(), *revision)),
                    limit,
                },
            )
            .await
            .unwrap();
            let Some((_, family, revision)) = page.last() else { return all };
            last = Some((family.clone(), *revision));
            all.extend(page.into_iter().map(|(arn, ..)| arn));
        }
    };
    let rising = ["arn:job:1", "arn:we:1", "arn:web:1", "arn:web:2"];
    let mut falling = rising;
    falling.reverse();
    for limit in 1..=5 {
        assert_eq!(pages(false, None, limit).await, rising, "{limit} a page");
        assert_eq!(pages(true, None, limit).await, falling, "{limit} a page, falling");
    }
    assert_eq!(pages(false, Some("we"), 10).await, ["arn:we:1"]);

    store
        .write(|connection| {
            Box::pin(async move {
                let mut row = task_definitions::get(&mut *connection, "arn:job:1").await?.unwrap();
                row.status = "INACTIVE".into();
                task_definitions::put(connection, &row).await
            })
        })
        .await
        .unwrap();
    let families = async |prefix: &str, status| {
        task_definitions::families(store.readers(), "0", "r", prefix, status, None, 10).await.unwrap()
    };
    use task_definitions::FamilyStatus::{Active, All, Inactive};
    assert_eq!(families("", All).await, ["job", "we", "web"]);
    assert_eq!(families("", Active).await, ["we", "web"]);
    assert_eq!(families("", Inactive).await, ["job"]);
    assert_eq!(families("web", All).await, ["web"]);
}

#[tokio::test]
async fn tasks_are_kept_as_they_were_put_last_and_forgotten_by_their_time_of_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let row = |number: i64, stopped_at: Option<i64>| tasks::Row {
        arn: format!("arn:{number:04}"),
        cluster_arn: "cluster".into(),
        last_status: if stopped_at.is_some() { "STOPPED" } else { "RUNNING" }.into(),
        stopped_at: stopped_at.map(Timestamp),
        task_definition_arn: "definition".into(),
        body: Body::new(1, &number),
    };
    let rows: Vec<_> = (0..1001).map(|number| row(number, None)).collect();
    let stopped: Vec<_> = (0..10).map(|number| row(number, Some(number))).collect();
    let all = (rows.clone(), stopped.clone());
    store
        .write(move |connection| {
            Box::pin(async move {
                tasks::put_many(connection, &all.0).await?;
                tasks::put_many(connection, &all.1).await
            })
        })
        .await
        .unwrap();
    let loaded = tasks::load_all(store.readers()).await.unwrap();
    assert_eq!(loaded, [&stopped[..], &rows[10..]].concat());
    let gone = store
        .write(|connection| {
            Box::pin(async move {
                let old = tasks::stopped_before(&mut *connection, Timestamp(5)).await?;
                let arns: Vec<String> = old.into_iter().map(|row| row.arn).collect();
                tasks::delete_many(connection, &arns).await.map(|()| arns)
            })
        })
        .await
        .unwrap();
    assert_eq!(gone.len(), 5);
    assert_eq!(tasks::get(store.readers(), "arn:0004").await.unwrap(), None);
    assert_eq!(tasks::get(store.readers(), "arn:0005").await.unwrap(), Some(row(5, Some(5))));
}

#[tokio::test]
async fn usage_is_kept_once_across_processes_until_a_reset() {
    let dir = tempfile::tempdir().unwrap();
    let row = |n: i64, body: &str| usage::Row {
        task_arn: format!("arn:{n:04}"),
        stopped_at: Timestamp(n),
        body: Body::new(1, &body),
    };
    let kept: Vec<usage::Row> = (0..450).map(|n| row(n, "first")).collect();
    let store = open(dir.path()).await;
    for rows in [kept.clone(), vec![row(7, "again")]] {
        store
            .write(move |connection| Box::pin(async move { usage::keep_many(connection, &rows).await }))
            .await
            .unwrap();
    }
    store.close().await;

    let store = open(dir.path()).await;
    assert_eq!(usage::load_all(store.readers()).await.unwrap(), kept);
    store.write(|connection| Box::pin(reset::everything(connection))).await.unwrap();
    assert_eq!(usage::load_all(store.readers()).await.unwrap(), []);
}

#[tokio::test]
async fn a_client_token_is_remembered_for_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let row = client_tokens::Row {
        scope: "cluster".into(),
        token: "token".into(),
        digest: "abc".into(),
        task_arns: vec!["one".into(), "two".into()],
        answer: Some(Body::new(3, &"an answer")),
        created_at: Timestamp(1000),
    };
    let kept = row.clone();
    store
        .write(move |connection| Box::pin(async move { client_tokens::put(connection, &kept).await }))
        .await
        .unwrap();
    let get = async |scope: &str, after: Duration| {
        client_tokens::get(store.readers(), scope, "token", row.created_at.plus(after)).await.unwrap()
    };
    let day = client_tokens::LIFETIME;
    assert_eq!(get("cluster", day - Duration::from_millis(1)).await, Some(row.clone()));
    assert_eq!(get("cluster", day).await, None);
    assert_eq!(get("another cluster", Duration::ZERO).await, None);
}

#[tokio::test]
async fn a_sandbox_is_claimed_once_and_the_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let sandbox = |number: i64, subnet: &str| sandboxes::Row {
        sandbox_id: format!("sandbox-{number}"),
        subnet_id: subnet.into(),
        address: format!("10.0.0.{number}"),
        mac_address: "02:00:00:00:00:01".into(),
        state: sandboxes::State::Idle,
        created_at: Timestamp(100 - number),
    };
    for row in [sandbox(1, "a"), sandbox(2, "a"), sandbox(3, "b")] {
        store
            .write(move |connection| Box::pin(async move { sandboxes::insert(connection, &row).await }))
            .await
            .unwrap();
    }
    let twin = sandboxes::Row { sandbox_id: "twin".into(), ..sandbox(1, "a") };
    let refused = store
        .write(move |connection| Box::pin(async move { sandboxes::insert(connection, &twin).await }))
        .await;
    assert!(refused.is_err(), "two sandboxes of a subnet have one address");

    let claim = async |task: &'static str| {
        store
            .write(move |connection| Box::pin(async move { sandboxes::claim(connection, "a", task).await }))
            .await
            .unwrap()
            .map(|row| (row.sandbox_id, row.state))
    };
    let (first, second, third) = tokio::join!(claim("x"), claim("y"), claim("z"));
    assert_eq!(first, Some(("sandbox-2".into(), sandboxes::State::Claimed("x".into()))));
    assert_eq!(second, Some(("sandbox-1".into(), sandboxes::State::Claimed("y".into()))));
    assert_eq!(third, None);
    let withdraw = async |id: &'static str| {
        store
            .write(move |connection| Box::pin(async move { sandboxes::withdraw(connection, id).await }))
            .await
            .unwrap()
    };
    assert_eq!(withdraw("sandbox-1").await, None, "a claimed sandbox is not taken from its task");
    assert_eq!(withdraw("sandbox-3").await, Some(sandbox(3, "b")));
    assert_eq!(sandboxes::load_all(store.readers()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_reset_leaves_the_directorys_id_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    put(&store, "key", "value").await.unwrap();
    store
        .write(|connection| {
            Box::pin(async move {
                clusters::put(connection, &cluster("a", "ACTIVE")).await?;
                reset::everything(connection).await
            })
        })
        .await
        .unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name <> '_sqlx_migrations'",
    )
    .fetch_all(store.readers())
    .await
    .unwrap();
    assert!(tables.len() > 5, "{tables:?}");
    for table in tables {
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(store.readers())
            .await
            .unwrap();
        assert_eq!(rows, 2 * i64::from(table == "meta"), "rows in {table}");
    }
    let id = store.instance_id().to_owned();
    store.close().await;
    assert_eq!(open(dir.path()).await.instance_id(), id);
}

/// Files of a data directory, copied into another.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_copied_data_directory_is_another_instance_unless_it_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("original");
    let store = open(&original).await;
    let id = store.instance_id().to_owned();
    let sandbox = sandboxes::Row {
        sandbox_id: "s".into(),
        subnet_id: "a".into(),
        address: "10.0.0.1".into(),
        mac_address: "02:00:00:00:00:01".into(),
        state: sandboxes::State::Idle,
        created_at: Timestamp(1),
    };
    store
        .write(move |connection| Box::pin(async move { sandboxes::insert(connection, &sandbox).await }))
        .await
        .unwrap();
    store.close().await;
    let (copied, adopted, moved) =
        (dir.path().join("copied"), dir.path().join("adopted"), dir.path().join("moved"));
    for copy_of in [&copied, &adopted] {
        std::fs::create_dir(copy_of).unwrap();
        copy(&original, copy_of);
    }

    let store = open(&copied).await;
    let own = store.instance_id().to_owned();
    assert_ne!(own, id, "a copy is its original");
    assert_eq!(sandboxes::load_all(store.readers()).await.unwrap(), []);
    assert!(get(&store, meta::COPIED).await.is_some(), "nothing says that its tasks are another's");
    store.close().await;
    let store = open(&copied).await;
    assert_eq!(store.instance_id(), own, "and is one for good");
    store.close().await;

    let store = Store::open_as(&adopted, true).await.unwrap();
    assert_eq!(store.instance_id(), id);
    assert_eq!(get(&store, meta::COPIED).await, None);
    store.close().await;

    std::fs::rename(&original, &moved).unwrap();
    let store = open(&moved).await;
    assert_eq!(store.instance_id(), id, "a directory that was moved is a copy");
    assert_eq!(get(&store, meta::COPIED).await, None);
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store
        .write(|connection| {
            Box::pin(async move {
                sqlx::query("UPDATE _sqlx_migrations SET version = 9999 WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
                    .execute(connection)
                    .await
                    .unwrap();
                Ok(())
            })
        })
        .await
        .unwrap();
    store.close().await;
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, Error::Newer { .. }), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("newer release of neargate") && !told.contains('\n'), "{told}");
}

#[tokio::test]
async fn a_data_directory_is_its_users_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };

    let fresh = parent.path().join("fresh");
    let store = open(&fresh).await;
    put(&store, "a", "b").await.unwrap();
    let files = || std::fs::read_dir(&fresh).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(mode(&fresh), 0o700);
    assert_eq!(
        files().map(|file| mode(&file)).collect::<Vec<_>>(),
        [0o600; 4],
        "{:?}",
        files().collect::<Vec<_>>()
    );
    store.close().await;

    // As an older release left it.
    set(&fresh, 0o755);
    files().for_each(|file| set(&file, 0o644));
    open(&fresh).await.close().await;
    assert_eq!(mode(&fresh), 0o700);
    assert!(files().all(|file| mode(&file) == 0o600));

    // A directory with other things in it stays as it is; what is ours in it is private.
    let shared = parent.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    set(&shared, 0o755);
    std::fs::write(shared.join("theirs"), "").unwrap();
    open(&shared).await.close().await;
    assert_eq!((mode(&shared), mode(&shared.join("neargate.db"))), (0o755, 0o600));
}

#[tokio::test]
async fn usage_beyond_the_newest_rows_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let rows: Vec<usage::Row> = (0..10)
        .map(|n| usage::Row {
            task_arn: format!("arn:{n}"),
            stopped_at: Timestamp(n),
            body: Body::new(1, &n),
        })
        .collect();
    let kept = rows.clone();
    let trimmed = store
        .write(move |connection| {
            Box::pin(async move {
                usage::keep_many(connection, &rows).await?;
                usage::trim(connection, 4).await
            })
        })
        .await
        .unwrap();
    assert_eq!(trimmed, 6);
    assert_eq!(usage::load_all(store.readers()).await.unwrap(), kept[6..]);
}

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
        // Nothing that compresses or that fits beside another: 30 KiB each.
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
    // What still writes into it is told, and the name is free.
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
        // Each of these waits for a piece at most; that they come in between is what is shown.
        put(&store, "between", "pieces").await.unwrap();
        seen.push(blocks().await);
        assert!(tokio::time::Instant::now() < deadline, "{seen:?}");
    }
    seen.dedup();
    assert!(seen.len() > 3, "the blocks went in one piece: {seen:?}");
    let all = size();
    // Closing waits for nothing that is left, and folds the log into the file.
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
