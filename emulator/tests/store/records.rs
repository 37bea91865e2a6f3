//! Rows: clusters, task definitions, tasks, usage, client tokens, sandboxes.

use std::time::Duration;

use neargate::clock::Timestamp;
use neargate::store::{Body, client_tokens, clusters, reset, sandboxes, task_definitions, tasks, usage};

use crate::open;

pub(crate) fn cluster(name: &str, status: &str) -> clusters::Row {
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
async fn a_revision_is_never_assigned_twice_and_lists_page_both_ways() {
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
