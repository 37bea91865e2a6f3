//! The data directory: one process, one user, one instance, one release; and what a reset leaves.

use std::path::Path;

use neargate::clock::Timestamp;
use neargate::store::{Error, Store, clusters, meta, reset, sandboxes};

use crate::records::cluster;
use crate::{get, open, put};

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
    assert!(get(&store, meta::COPIED).await.is_some(), "it is not recorded that its tasks are another's");
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
    let message = error.to_string();
    assert!(message.contains("newer release of neargate") && !message.contains('\n'), "{message}");
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

    // The mode that an older release used.
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
