//! Concurrent changes of clusters, task definitions and tags: none undoes another.

use futures::future::join_all;

use super::*;
use crate::engine::cluster::Undeletable;
use crate::engine::definition::StillActive;
use crate::engine::tag::{Broken, Change};
use crate::engine::update;

const CALLERS: usize = 20;

fn one(n: usize) -> Change {
    Change::Set(vec![Tag { key: format!("k{n}"), value: n.to_string() }])
}

#[tokio::test]
async fn of_many_tags_set_at_once_none_is_lost() {
    let world = World::new().await;
    let running = world.run(vec![container("app", &[])]).await.arn.clone();
    let stopped = world.run(vec![container("app", &[("SIMULATED_EXIT_CODE", "0")])]).await.arn.clone();
    world.running(&running).await;
    world.stopped(&stopped).await;
    let engine = &world.engine;

    for arn in [&running, &stopped] {
        for tagged in join_all((0..CALLERS).map(|n| engine.tag(arn, one(n)))).await {
            tagged.expect("it is tagged");
        }
        assert_eq!(engine.task(arn).map(|task| task.tags.len()), Some(CALLERS), "{arn}");
    }
    let clusters = engine.clusters();
    join_all((0..CALLERS).map(|n| {
        clusters.update(CLUSTER, move |cluster| {
            cluster.tags = one(n).apply(&cluster.tags)?;
            Ok::<_, Broken>(())
        })
    }))
    .await;
    let cluster = clusters.get(CLUSTER).await.expect("a read").expect("the cluster");
    assert_eq!(cluster.tags.len(), CALLERS);
    let definitions = engine.definitions();
    join_all((0..CALLERS).map(|n| {
        definitions.update(DEFINITION, move |definition| {
            definition.tags = one(n).apply(&definition.tags)?;
            Ok::<_, Broken>(())
        })
    }))
    .await;
    let definition = definitions.get(DEFINITION).await.expect("a read").expect("the definition");
    assert_eq!(definition.tags.len(), CALLERS);

    let too_many = Change::Set((0..51).map(|n| Tag { key: n.to_string(), value: String::new() }).collect());
    for arn in [&running, &stopped] {
        let refused = engine.tag(arn, too_many.clone()).await;
        assert!(matches!(refused, Err(update::Error::Refused(Broken::TooMany))), "{refused:?}");
    }
    let unknown = engine.tag("arn:nothing", one(0)).await;
    assert!(matches!(unknown, Err(update::Error::NotFound)), "{unknown:?}");
}

#[tokio::test]
async fn a_deleted_cluster_stays_deleted_beside_changes_of_its_tags() {
    let world = World::new().await;
    let clusters = world.engine.clusters();
    for round in 0..20 {
        let arn = format!("arn:cluster/{round}");
        make_records(&world.engine, &arn).await;
        let tag = || {
            clusters.update(&arn, move |cluster| {
                cluster.tags = one(0).apply(&cluster.tags)?;
                Ok::<_, Broken>(())
            })
        };
        let (_, deleted, _) = tokio::join!(tag(), clusters.delete(&arn), tag());
        deleted.expect("it is deleted");
        let cluster = clusters.get(&arn).await.expect("a read").expect("the cluster");
        assert_eq!(cluster.status, cluster::Status::Inactive, "{round}");
        assert_eq!(cluster.tags.len(), 1, "{round}");
    }
}

#[tokio::test]
async fn a_cluster_is_deleted_or_gets_a_task_and_never_both() {
    let world = World::new().await;
    let (mut deletions, mut launches) = (0, 0);
    for round in 0..20 {
        let arn = format!("arn:cluster/{round}");
        make_records(&world.engine, &arn).await;
        let order = Order { cluster_arn: arn.clone(), ..order(vec![container("app", &[])]) };
        let clusters = world.engine.clusters();
        // Each begins first in turn.
        let (deleted, ran) = if round % 2 == 0 {
            tokio::join!(clusters.delete(&arn), world.engine.run(order))
        } else {
            let (ran, deleted) = tokio::join!(world.engine.run(order), clusters.delete(&arn));
            (deleted, ran)
        };
        match (deleted, ran) {
            (Ok(_), Err(run::Error::ClusterInactive)) => deletions += 1,
            (Err(update::Error::Refused(Undeletable::HasTasks)), Ok(_)) => launches += 1,
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert_eq!(deletions + launches, 20);
}

#[tokio::test]
async fn a_deregistered_revision_stays_so_and_runs_nothing_new() {
    let world = World::new().await;
    let definitions = world.engine.definitions();
    let tag = || {
        definitions.update(DEFINITION, |definition| {
            definition.tags = one(0).apply(&definition.tags)?;
            Ok::<_, Broken>(())
        })
    };
    let deregister = definitions.update(DEFINITION, |definition| {
        definition.status = definition::Status::Inactive;
        Ok::<_, Broken>(())
    });
    let (first, deregistered, second) = tokio::join!(tag(), deregister, tag());
    for changed in [first, deregistered, second] {
        changed.expect("it is changed");
    }
    let definition = definitions.get(DEFINITION).await.expect("a read").expect("the definition");
    assert_eq!((definition.status, definition.tags.len()), (definition::Status::Inactive, 1));
    let refused = world.engine.run(order(vec![container("app", &[])])).await;
    assert!(matches!(refused, Err(run::Error::DefinitionInactive)), "{refused:?}");
}

#[tokio::test]
async fn a_deleted_revision_exists_until_the_last_of_its_tasks_has_ended() {
    let world = World::new().await;
    let definitions = world.engine.definitions();
    let tasks = [
        world.run(vec![container("app", &[])]).await.arn.clone(),
        world.run(vec![container("app", &[])]).await.arn.clone(),
    ];
    let now = world.engine.clock().now();
    let refused = definitions.delete(DEFINITION, now).await;
    assert!(matches!(refused, Err(update::Error::Refused(StillActive))), "{refused:?}");
    definitions
        .update(DEFINITION, |definition| {
            definition.status = definition::Status::Inactive;
            Ok::<_, Broken>(())
        })
        .await
        .expect("it is deregistered");
    let deleted = definitions.delete(DEFINITION, now).await.expect("it is deleted");
    assert_eq!(deleted.status, definition::Status::DeleteInProgress);
    for task in tasks {
        let kept = definitions.get(DEFINITION).await.expect("a read").expect("tasks run it");
        assert_eq!((kept.status, kept.delete_requested_at), (deleted.status, Some(now)));
        world.engine.stop(&task, StopCode::UserInitiated, "end".into()).await.expect("it is stopped");
        world.stopped(&task).await;
    }
    assert_eq!(definitions.get(DEFINITION).await.expect("a read"), None);
}

#[tokio::test]
async fn a_client_token_returns_what_it_returned_after_its_tasks_are_forgotten() {
    let clock = Clock::manual(Timestamp(1_000_000));
    let world = World::at(clock.clone(), vpc::Choice::Builtin { strict: false }, |_| {}).await;
    let order = || Order {
        client_token: Some(ClientToken { token: "t".into(), digest: "a".into() }),
        count: 2,
        ..order(vec![container("app", &[("SIMULATED_EXIT_CODE", "0")])])
    };
    let first = world.engine.run(order()).await.expect("it is accepted");
    for task in &first.tasks {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !world.engine.task(&task.arn).expect("it is known").is_stopped() {
            assert!(tokio::time::Instant::now() < deadline, "{:#?}", world.engine.task(&task.arn));
            clock.advance(Duration::from_millis(100));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while world.engine.task(&first.tasks[1].arn).is_some() {
        assert!(tokio::time::Instant::now() < deadline, "the tasks are not forgotten");
        clock.advance(Duration::from_secs(61));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let again = world.engine.run(order()).await.expect("it is accepted");
    assert_eq!(again.tasks, first.tasks);
    assert_eq!(world.engine.tasks(CLUSTER), [], "and runs nothing again");
}

/// Runs a statement on the database of a world whose engine is down.
async fn tamper(world: &World, statement: &'static str) {
    let store = Store::open(world.dir.path()).await.expect("the store opens");
    store
        .write(move |connection| {
            Box::pin(async move {
                sqlx::query(statement).execute(connection).await.expect("the statement");
                Ok(())
            })
        })
        .await
        .expect("it is written");
    store.close().await;
}

#[tokio::test]
async fn a_task_that_cannot_be_read_stops_neither_the_start_nor_what_is_forgotten() {
    let clock = Clock::manual(Timestamp(1_000_000));
    let mut world = World::at(clock.clone(), vpc::Choice::Builtin { strict: false }, |_| {}).await;
    let damaged = world.run(vec![container("app", &[])]).await.arn.clone();
    let sound = world.run(vec![container("app", &[])]).await.arn.clone();
    for arn in [&damaged, &sound] {
        world.running(arn).await;
        world.engine.stop(arn, StopCode::UserInitiated, "end".into()).await.expect("it is stopped");
        world.stopped(arn).await;
    }
    world.kill().await;
    tamper(&world, "UPDATE tasks SET body = '{' WHERE rowid = (SELECT min(rowid) FROM tasks)").await;

    world.start_again().await;
    assert_eq!(world.engine.task(&damaged), None);
    assert!(world.engine.task(&sound).is_some());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while world.engine.task(&sound).is_some() {
        assert!(tokio::time::Instant::now() < deadline, "the sound task is not forgotten");
        clock.advance(Duration::from_mins(61));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let rows = crate::store::tasks::load_all(world.engine.store().readers()).await.expect("a read");
    assert_eq!(rows.iter().map(|row| row.arn.as_str()).collect::<Vec<_>>(), [damaged], "it is left");
    assert_eq!(world.engine.usages().await.expect("the bill").len(), 1);
}

#[tokio::test]
async fn a_task_of_a_newer_release_ends_the_start_in_one_line() {
    let mut world = World::new().await;
    world.run(vec![container("app", &[])]).await;
    world.kill().await;
    tamper(&world, "UPDATE tasks SET body_version = 99").await;
    let store = Store::open(world.dir.path()).await.expect("the store opens");
    let options = options(world.vpc.clone());
    let started = Engine::start(options, store, Arc::new(world.runtime.clone()), Clock::system()).await;
    let error = started.expect_err("it starts");
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(source.starts_with("a task was written by a newer release of neargate (format 99;"), "{source}");
}

#[tokio::test]
async fn the_tasks_of_a_copied_data_directory_are_lost_and_the_originals_continue() {
    let mut world = World::new().await;
    let arn = world.run(vec![container("app", &[])]).await.arn.clone();
    world.running(&arn).await;
    world.kill().await;
    let copy = TempDir::new().expect("a temporary directory");
    for entry in std::fs::read_dir(world.dir.path()).expect("a directory") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
    }
    world.start_again().await;
    // On an engine of its own: the simulated runtime does not distinguish instances.
    let clock = Clock::system();
    let elsewhere = simulated::Runtime::new(clock.clone());
    let elsewhere = faulty::Runtime::new(Arc::new(elsewhere), clock.clone());
    let copied = start(&copy, &elsewhere, options(world.vpc.clone()), clock).await;
    let task = copied.task(&arn).expect("it is shown");
    assert!(task.is_stopped());
    assert_eq!(task.stop_code, Some(StopCode::InfrastructureHealth));
    let reason = task.stopped_reason.clone().unwrap_or_default();
    assert!(reason.contains("The data directory was copied"), "{reason}");
    assert_eq!(world.running(&arn).await.stop_code, None);
}

#[tokio::test]
async fn tasks_survive_a_full_disk() {
    let world = World::new().await;
    let limit = async |statement: String| {
        world
            .engine
            .store()
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(connection).await.expect("a limit");
                    Ok(())
                })
            })
            .await
            .expect("it is set");
    };
    let log = |group: &str| AwsLogs {
        group: group.into(),
        region: "us-east-1".into(),
        stream_prefix: "app".into(),
        create_group: true,
        multiline_pattern: None,
    };
    let lines = [("SIMULATED_LINES", "20000")];
    let chatty = ContainerSpec { log: Some(log("/chatty")), ..container("app", &lines) };
    let quiet = world.run(vec![container("app", &[])]).await;
    world.running(&quiet.arn).await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(world.engine.store().readers())
        .await
        .expect("the pages");
    limit(format!("PRAGMA max_page_count = {}", pages + 20)).await;
    // Accepted or refused, depending on the space that is left; in both cases only the task that is stopped ends.
    let ran = world.engine.run(order(vec![chatty])).await;
    let full = world
        .engine
        .store()
        .write(|connection| {
            Box::pin(
                async move { crate::store::meta::put(connection, "filler", &"x".repeat(1_000_000)).await },
            )
        })
        .await
        .expect_err("the disk has room");
    assert!(full.is_full(), "{full}");
    assert_eq!(world.running(&quiet.arn).await.stop_code, None);

    limit("PRAGMA max_page_count = 1000000".to_owned()).await;
    world.engine.stop(&quiet.arn, StopCode::UserInitiated, "end".into()).await.expect("it is stopped");
    assert_eq!(world.stopped(&quiet.arn).await.containers[0].exit_code, Some(143));
    if let Ok(ran) = ran {
        let arn = &ran.tasks[0].arn;
        world.running(arn).await;
        world.engine.stop(arn, StopCode::UserInitiated, "end".into()).await.expect("it is stopped");
        let stopped = world.stopped(arn).await;
        let stream = format!("app/app/{}", stopped.id);
        assert_eq!(world.messages("/chatty", &stream).await.len(), 20_000, "each line once");
    }
    let again = world.run(vec![container("app", &[])]).await;
    world.running(&again.arn).await;
}
