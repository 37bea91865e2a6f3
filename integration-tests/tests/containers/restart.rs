//! Restart is the normal case: what was acknowledged is kept, what runs is adopted, what ended is reported.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_ecs::types::{Compatibility, LaunchType, MountPoint, NetworkMode, Volume};
use harness::aws::{Aws, LOG_GROUP, awslogs, container, describe, network};
use harness::emulator::{Emulator, Options};
use harness::{aws, chain, docker, wait};

use crate::Shared;

async fn lasting(shared: &Shared, name: &str) -> anyhow::Result<(Emulator, Aws)> {
    let emulator =
        Emulator::start(&shared.work, name, Options { ephemeral: false, ..Options::default() }).await?;
    let aws = emulator.aws().await;
    aws.create_log_group(LOG_GROUP).await?;
    Ok((emulator, aws))
}

/// The engine's ids of the containers (not the sandboxes) of a task, or of the whole instance.
async fn containers(instance: &str, task: Option<&str>) -> anyhow::Result<BTreeSet<String>> {
    let instance = format!("label=neargate.instance={instance}");
    let task = task.map_or_else(
        || "label=neargate.task".to_owned(),
        |arn| format!("label=neargate.task={}", aws::id(arn)),
    );
    let mut args = vec!["ps", "--all", "--no-trunc", "--quiet", "--filter", &instance, "--filter", &task];
    args.extend(["--filter", "label=neargate.container"]);
    Ok(docker::docker(&args).await?.lines().map(str::to_owned).collect())
}

/// The most idle sandboxes of an instance: as many as the tasks of a test that start at once, and one in the other subnet.
const IDLE: usize = 11;

/// Waits until Docker holds what these tasks need and a pool of idle sandboxes, and nothing else: one container and one
/// sandbox per task, all of them running, each sandbox with its address, and the control groups and volumes of these
/// tasks.
async fn holds_exactly(instance: &str, arns: &[String]) -> anyhow::Result<()> {
    let tasks: BTreeSet<String> = arns.iter().map(|arn| aws::id(arn).to_owned()).collect();
    wait::until("nothing is left over", wait::seconds(90), async || {
        let held = docker::containers_of(instance).await.map_err(|error| chain(&error))?;
        let addressed = docker::addressed_of(instance).await.map_err(|error| chain(&error))?;
        let all = docker::held_by(instance).await.map_err(|error| chain(&error))?;
        let cgroups = docker::task_cgroups_of(instance);
        let (of_tasks, sandboxes): (Vec<_>, Vec<_>) = held.iter().partition(|held| held.task.is_some());
        let with_container: BTreeSet<String> = of_tasks.iter().filter_map(|held| held.task.clone()).collect();
        let volumes: Vec<_> = all.iter().filter(|name| name.starts_with("volume ")).collect();
        let named: BTreeSet<String> = sandboxes.iter().map(|sandbox| sandbox.name.clone()).collect();
        let idle = sandboxes.len().checked_sub(tasks.len());
        let expected = held.iter().all(|held| held.state == "running")
            && of_tasks.len() == tasks.len()
            && with_container == tasks
            && idle.is_some_and(|idle| idle <= IDLE)
            && named == addressed
            && (cgroups.is_empty() || cgroups == tasks)
            && volumes.iter().all(|volume| tasks.iter().any(|task| volume.contains(task.as_str())))
            && volumes.len() == tasks.len();
        if expected {
            Ok(())
        } else {
            Err(format!("{all:?}, {held:?}, addresses {addressed:?}, cgroups {cgroups:?}"))
        }
    })
    .await
}

pub(crate) async fn what_was_acknowledged_outlives_a_kill(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let (mut emulator, aws) = lasting(shared, "acknowledged").await?;
    aws.ecs.create_cluster().cluster_name("kept").send().await.context("making a cluster")?;
    let definition = aws.register("kept", [container("main", &["sleep", "600"]).build()]).await?;
    let run = || {
        aws.ecs
            .run_task()
            .cluster("kept")
            .task_definition(&definition)
            .launch_type(LaunchType::Fargate)
            .network_configuration(network(aws::SUBNET))
            .client_token("the-same")
            .send()
    };
    let first = run().await.context("running a task")?;
    emulator.kill()?;
    emulator.resume().await?;

    let clusters = aws.ecs.list_clusters().send().await.context("listing clusters")?;
    assert!(clusters.cluster_arns().iter().any(|arn| arn.ends_with("cluster/kept")), "{clusters:?}");
    let again = run().await.context("running a task again")?;
    assert_eq!(first.tasks()[0].task_arn(), again.tasks()[0].task_arn(), "a client token outlives a kill");
    let next = aws.register("kept", [container("main", &["sleep", "1"]).build()]).await?;
    assert!(next.ends_with("kept:2"), "{next}");
    let arn = first.tasks()[0].task_arn().context("no ARN")?;
    aws.running(arn).await?;
    Ok(())
}

pub(crate) async fn a_running_task_is_adopted_and_its_log_continued(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let (mut emulator, aws) = lasting(shared, "adopted").await?;
    let lines = container("main", &["lines", "1000000", "--every", "20"])
        .log_configuration(awslogs(LOG_GROUP))
        .build();
    let arn = aws.run(&aws.register("writer", [lines]).await?).await?;
    aws.running(&arn).await?;
    let running = containers(emulator.instance(), Some(&arn)).await?;
    let read = async |at_least: usize| {
        wait::until(&format!("{at_least} lines are readable"), wait::seconds(60), async || {
            let lines = aws.lines(LOG_GROUP, "main", &arn).await.map_err(|error| chain(&error))?;
            if lines.len() >= at_least { Ok(lines.len()) } else { Err(format!("{} lines", lines.len())) }
        })
        .await
    };
    let before = read(20).await?;

    emulator.kill()?;
    emulator.resume().await?;
    let task = aws.running(&arn).await?;
    assert_eq!(containers(emulator.instance(), Some(&arn)).await?, running, "{}", describe(&task));
    read(before + 50).await?;
    aws.stop(&arn).await?;
    let task = aws.stopped(&arn).await?;
    assert_eq!(task.containers()[0].exit_code(), Some(143), "{}", describe(&task));

    let all = aws.lines(LOG_GROUP, "main", &arn).await?;
    let expected: Vec<String> = (1..=all.len()).map(|number| format!("line {number:06}")).collect();
    assert!(
        all == expected,
        "a line is lost, doubled or out of order: {:?}",
        first_difference(&all, &expected)
    );
    Ok(())
}

pub(crate) fn first_difference<'a>(
    seen: &'a [String],
    expected: &'a [String],
) -> Option<(usize, &'a str, &'a str)> {
    let pairs = seen.iter().zip(expected).enumerate();
    pairs
        .map(|(place, (seen, expected))| (place, seen.as_str(), expected.as_str()))
        .find(|(_, seen, expected)| seen != expected)
}

pub(crate) async fn a_task_that_died_meanwhile_is_stopped_with_its_exit_code(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let (mut emulator, aws) = lasting(shared, "died").await?;
    // It ends on request, which is sent after the emulator was killed.
    let dying = container("main", &["serve", "--port", "8080"]).log_configuration(awslogs(LOG_GROUP)).build();
    let arn = aws.run(&aws.register("dying", [dying]).await?).await?;
    let address = aws::address(&aws.running(&arn).await?)?;
    let instance = emulator.instance().to_owned();
    let container =
        containers(&instance, Some(&arn)).await?.pop_first().context("no container of the task")?;
    emulator.kill()?;
    wait::until("the task accepts the request to end", wait::seconds(30), async || {
        let response = reqwest::Client::new().post(format!("http://{address}:8080/exit/9")).send().await;
        // The process may end before it has responded.
        match response {
            Ok(_) => Ok(()),
            Err(error) if !error.is_connect() => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await?;
    wait::until("the container has exited", wait::seconds(30), async || {
        let state = docker::inspect(&container).await.map_err(|error| chain(&error))?;
        let status =
            state.pointer("/State/Status").and_then(serde_json::Value::as_str).unwrap_or("?").to_owned();
        if status == "exited" { Ok(()) } else { Err(status) }
    })
    .await?;
    emulator.resume().await?;
    let task = aws.stopped(&arn).await?;
    assert_eq!(task.containers()[0].exit_code(), Some(9), "{}", describe(&task));
    assert_eq!(task.stop_code().map(|code| code.as_str()), Some("EssentialContainerExited"));
    Ok(())
}

pub(crate) async fn a_kill_in_the_middle_of_starting_starts_no_task_twice_and_leaves_nothing(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let (mut emulator, aws) = lasting(shared, "starting").await?;
    let definition = aws
        .ecs
        .register_task_definition()
        .family("many")
        .requires_compatibilities(Compatibility::Fargate)
        .network_mode(NetworkMode::Awsvpc)
        .cpu("256")
        .memory("512")
        .volumes(Volume::builder().name("data").build())
        .container_definitions(
            container("main", &["sleep", "600"])
                .mount_points(MountPoint::builder().source_volume("data").container_path("/data").build())
                .build(),
        )
        .send()
        .await
        .context("registering a definition with a volume")?;
    let definition = definition.task_definition().and_then(|found| found.task_definition_arn());
    let definition = definition.context("no ARN of the definition")?;
    let mut arns = Vec::new();
    // Killed at five different moments between the response to RunTask and RUNNING.
    for round in 0..5 {
        arns.push(aws.run(definition).await?);
        arns.push(aws.run(definition).await?);
        tokio::time::sleep(std::time::Duration::from_millis(60 * round)).await;
        emulator.kill()?;
        emulator.resume().await?;
    }
    for arn in &arns {
        aws.running(arn).await?;
    }
    let instance = emulator.instance().to_owned();
    holds_exactly(&instance, &arns).await?;
    for arn in &arns {
        aws.stop(arn).await?;
        aws.stopped(arn).await?;
    }
    holds_exactly(&instance, &[]).await
}

pub(crate) async fn tasks_outlive_a_clean_end_and_idle_sandboxes_do_not(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let (mut emulator, aws) = lasting(shared, "ended").await?;
    let arn =
        aws.run(&aws.register("lasting", [container("main", &["sleep", "600"]).build()]).await?).await?;
    aws.running(&arn).await?;
    let instance = emulator.instance().to_owned();
    let running = containers(&instance, Some(&arn)).await?;

    emulator.terminate().await?;
    assert_eq!(containers(&instance, None).await?, running, "the task's container outlives the emulator");
    let held = docker::held_by(&instance).await?;
    let sandboxes = held.iter().filter(|name| name.starts_with("container ")).count() - running.len();
    assert_eq!(sandboxes, 1, "the task's sandbox stays, idle ones go: {held:?}");

    emulator.resume().await?;
    let task = aws.running(&arn).await?;
    assert_eq!(containers(&instance, Some(&arn)).await?, running, "{}", describe(&task));
    Ok(())
}
