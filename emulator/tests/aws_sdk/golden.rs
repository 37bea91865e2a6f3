//! A data directory that release 0.1.0 left (`golden/store-0.1.0.sql`: the dump of its database after a kill, one task
//! running): this release reads every body in it.

use aws_sdk_ecs::types::{ClusterField, TaskDefinitionField, TaskDefinitionStatus, TaskField};
use neargate::clock::{Clock, Timestamp};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::support::{Emulator, network, reached_in};

const RUNNING: &str = "arn:aws:ecs:us-east-1:000000000000:task/mine/0df94bb6616444acb6e5b83a52dfc1cc";
const STOPPED: &str = "arn:aws:ecs:us-east-1:000000000000:task/mine/7693248366db48349dc089089cdca664";

/// When that release was killed. A stopped task is kept for an hour, so the requests are made on that day.
const KILLED: Timestamp = Timestamp(1_795_730_870_000);

/// A data directory with that database, changed by `change`.
async fn data_dir(change: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let options =
        SqliteConnectOptions::new().filename(dir.path().join("neargate.db")).create_if_missing(true);
    let mut database = options.connect().await.unwrap();
    for script in [include_str!("../golden/store-0.1.0.sql"), change] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(script.to_owned())).execute(&mut database).await.unwrap();
    }
    database.close().await.unwrap();
    dir
}

#[tokio::test]
async fn what_release_0_1_0_kept_is_read() {
    let emulator = Emulator::on(data_dir("").await, Clock::running_from(KILLED)).await;
    let ecs = emulator.ecs();

    let described = ecs
        .describe_clusters()
        .clusters("mine")
        .clusters("gone")
        .include(ClusterField::Tags)
        .include(ClusterField::Settings)
        .include(ClusterField::Configurations)
        .send()
        .await
        .unwrap();
    let [mine, gone] = described.clusters() else { panic!("{described:?}") };
    assert_eq!((mine.status(), gone.status()), (Some("ACTIVE"), Some("INACTIVE")));
    let tags: Vec<_> = mine.tags().iter().map(|tag| (tag.key().unwrap(), tag.value().unwrap())).collect();
    assert_eq!(tags, [("team", "blue"), ("bare", "")]);
    assert_eq!(mine.settings()[0].value(), Some("enabled"));
    assert_eq!(mine.capacity_providers(), ["FARGATE", "FARGATE_SPOT"]);
    let strategy: Vec<_> = mine
        .default_capacity_provider_strategy()
        .iter()
        .map(|item| (item.capacity_provider(), item.base(), item.weight()))
        .collect();
    assert_eq!(strategy, [("FARGATE", 1, 1), ("FARGATE_SPOT", 0, 4)]);
    assert_eq!(mine.service_connect_defaults().and_then(|defaults| defaults.namespace()), Some("ns"));
    assert!(mine.configuration().and_then(|c| c.execute_command_configuration()).is_some());

    for (name, status, is_deregistered) in
        [("app:1", TaskDefinitionStatus::Active, false), ("app:2", TaskDefinitionStatus::Inactive, true)]
    {
        let described = ecs
            .describe_task_definition()
            .task_definition(name)
            .include(TaskDefinitionField::Tags)
            .send()
            .await
            .unwrap();
        assert_eq!(described.tags().len(), 2, "{name}");
        let definition = described.task_definition().unwrap();
        assert_eq!(definition.status(), Some(&status));
        assert_eq!(definition.family(), Some("app"));
        assert_eq!(
            definition.registered_at().unwrap().secs(),
            1_795_730_859 + i64::from(definition.revision())
        );
        assert_eq!(definition.registered_by(), Some("arn:aws:iam::000000000000:root"));
        assert_eq!(definition.deregistered_at().is_some(), is_deregistered);
        assert_eq!(definition.container_definitions().len(), 2);
        assert_eq!(definition.container_definitions()[0].port_mappings().len(), 2);
    }

    let tasks = ecs
        .describe_tasks()
        .cluster("mine")
        .tasks(RUNNING)
        .tasks(STOPPED)
        .include(TaskField::Tags)
        .send()
        .await
        .unwrap();
    assert!(tasks.failures().is_empty(), "{tasks:?}");
    let stopped = tasks.tasks().iter().find(|task| task.task_arn() == Some(STOPPED)).unwrap();
    assert_eq!(
        (stopped.last_status(), stopped.stop_code()),
        (Some("STOPPED"), Some(&"EssentialContainerExited".into()))
    );
    let running = tasks.tasks().iter().find(|task| task.task_arn() == Some(RUNNING)).unwrap();
    assert_eq!(running.started_by(), Some("me"));
    assert_eq!(running.tags().len(), 4);
    assert_eq!(running.containers()[0].image_digest().map(|digest| digest.len()), Some(71));
    // Its containers are not on this engine.
    let lost = reached_in(&ecs, "mine", RUNNING, "STOPPED").await;
    assert!(lost.containers()[0].reason().is_some_and(|reason| !reason.is_empty()), "{lost:?}");

    // The token of a release that recorded only its tasks.
    let again = ecs
        .run_task()
        .cluster("mine")
        .task_definition("app:1")
        .client_token("token-1")
        .network_configuration(network(&["subnet-0a1b2c3d"], &[]))
        .send()
        .await
        .unwrap_err();
    let conflict = again.as_service_error().unwrap();
    assert!(conflict.is_conflict_exception(), "{conflict:?}");
    let usage = emulator
        .text(
            http::Request::get("/_neargate/cost?by=task")
                .header("Host", "localhost")
                .body(axum::body::Body::empty())
                .unwrap(),
        )
        .await;
    assert!(usage.2.contains("00000000000000000000000000000001"), "{usage:?}");
}
