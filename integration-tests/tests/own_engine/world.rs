//! The engine that the tests damage, and what each test requires of the emulator afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_ecs::types::{LaunchType, Task};
use harness::aws::{Aws, LOG_GROUP, awslogs, container, describe, network};
use harness::emulator::{Emulator, Options};
use harness::suite::Context;
use harness::work::Work;
use harness::{aws, chain, docker, wait};
use tokio::process::Command;

/// The deadline of all waits for the engine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// StopTask returns within a second, in any state of the engine. The rest is for the slow VM and the client.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) work: Work,
}

impl Context for World {
    async fn start(work: Work) -> anyhow::Result<Self> {
        Ok(Self { work })
    }

    async fn dump(&self) -> String {
        let containers = docker::docker(&["ps", "--all"]).await.unwrap_or_else(|error| format!("{error:#}"));
        format!("--- docker ps --all\n{containers}\n")
    }

    async fn close(self) -> anyhow::Result<()> {
        self.work.close()
    }
}

/// An emulator whose tasks outlive it, and its clients.
pub(crate) struct Fleet {
    pub(crate) emulator: Emulator,
    pub(crate) aws: Aws,
    definition: String,
}

impl Fleet {
    pub(crate) async fn start(world: &World, name: &str) -> anyhow::Result<Self> {
        Self::start_with(world, name, Options { ephemeral: false, ..Options::default() }).await
    }

    pub(crate) async fn start_with(world: &World, name: &str, options: Options) -> anyhow::Result<Self> {
        let emulator = Emulator::start(&world.work, name, options).await?;
        let aws = emulator.aws().await;
        aws.create_log_group(LOG_GROUP).await?;
        let lines = container("main", &["lines", "1000000", "--every", "1000"])
            .log_configuration(awslogs(LOG_GROUP))
            .build();
        let definition = aws.register(name, [lines]).await?;
        Ok(Self { emulator, aws, definition })
    }

    /// An emulator with `count` running tasks, and their ARNs.
    pub(crate) async fn running(
        world: &World,
        name: &str,
        count: i32,
    ) -> anyhow::Result<(Self, Vec<String>)> {
        let fleet = Self::start(world, name).await?;
        let arns = fleet.run(count).await?;
        fleet.reach(&arns, "RUNNING").await?;
        Ok((fleet, arns))
    }

    /// RunTask of `count` tasks that write one line per second until they are stopped; returns their ARNs.
    pub(crate) async fn run(&self, count: i32) -> anyhow::Result<Vec<String>> {
        let mut arns = Vec::new();
        while arns.len() < usize::try_from(count)? {
            let ran = self
                .aws
                .ecs
                .run_task()
                .task_definition(&self.definition)
                .launch_type(LaunchType::Fargate)
                .network_configuration(network(aws::SUBNET))
                .count((count - i32::try_from(arns.len())?).min(10))
                .send()
                .await
                .context("RunTask")?;
            ensure!(ran.failures().is_empty(), "RunTask: {:?}", ran.failures());
            arns.extend(ran.tasks().iter().filter_map(|task| task.task_arn().map(str::to_owned)));
        }
        Ok(arns)
    }

    pub(crate) async fn task(&self, arn: &str) -> anyhow::Result<Task> {
        let described = self.aws.ecs.describe_tasks().tasks(arn).send().await.context("DescribeTasks")?;
        described.tasks().first().cloned().with_context(|| format!("no task {arn}: {described:?}"))
    }

    /// Waits until each task has the `lastStatus`.
    pub(crate) async fn reach(&self, arns: &[String], status: &str) -> anyhow::Result<Vec<Task>> {
        let mut tasks = Vec::new();
        for arn in arns {
            let what = format!("{} is {status}", aws::id(arn));
            let task = wait::until(&what, TIMEOUT, async || {
                let task = self.task(arn).await.map_err(|error| chain(&error))?;
                if task.last_status() == Some(status) { Ok(task) } else { Err(describe(&task)) }
            })
            .await
            .with_context(|| self.emulator.dump())?;
            tasks.push(task);
        }
        Ok(tasks)
    }

    /// StopTask of each, which has to return at once.
    pub(crate) async fn stop(&self, arns: &[String]) -> anyhow::Result<()> {
        for arn in arns {
            let stop = self.aws.ecs.stop_task().task(arn).reason("the test").send();
            let stopped = tokio::time::timeout(STOP_TIMEOUT, stop).await;
            let stopped = stopped.with_context(|| format!("StopTask of {arn} did not return"))?;
            let stopped = stopped.context("StopTask")?;
            let desired = stopped.task().and_then(Task::desired_status);
            ensure!(desired == Some("STOPPED"), "StopTask returns the task as {desired:?}");
        }
        Ok(())
    }

    /// New tasks run: the engine works again.
    pub(crate) async fn runs_again(&self) -> anyhow::Result<()> {
        let arns = self.run(4).await?;
        self.reach(&arns, "RUNNING").await?;
        self.ends(&arns).await
    }

    /// The same while others run.
    pub(crate) async fn runs_again_beside(&self, others: &[String]) -> anyhow::Result<()> {
        let arns = self.run(4).await?;
        self.reach(&arns, "RUNNING").await?;
        self.stop(&arns).await?;
        self.reach(&arns, "STOPPED").await?;
        self.reach(others, "RUNNING").await.map(drop)
    }

    /// Stops all tasks, waits until they are STOPPED, and checks that nothing of them is left on the machine.
    pub(crate) async fn ends(&self, arns: &[String]) -> anyhow::Result<()> {
        self.stop(arns).await?;
        self.reach(arns, "STOPPED").await?;
        self.leaves_idle_sandboxes_alone().await
    }

    /// Only the network and running idle sandboxes are on the machine.
    pub(crate) async fn leaves_idle_sandboxes_alone(&self) -> anyhow::Result<()> {
        let instance = self.emulator.instance().to_owned();
        wait::until("nothing is left but the network and idle sandboxes", TIMEOUT, async || {
            let mut left = docker::held_by(&instance).await.map_err(|error| chain(&error))?;
            left.retain(|held| !held.starts_with("network "));
            let running = running(&instance).await.map_err(|error| chain(&error))?;
            left.retain(|held| !held.strip_prefix("container ").is_some_and(|name| running.contains(name)));
            let tasks = labelled(&instance, "neargate.task").await.map_err(|error| chain(&error))?;
            left.extend(tasks.into_iter().map(|name| format!("task container {name}")));
            // The folder of the instance itself stays, but it is empty.
            let groups = docker::cgroups_of(&instance);
            left.extend(
                groups.iter().filter(|group| holds_a_task(group)).map(|group| group.display().to_string()),
            );
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await
        .with_context(|| self.emulator.dump())
    }

    /// Ends the emulator, and removes what it left.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        if self.emulator.pid().is_some() {
            self.emulator.terminate_within(TIMEOUT).await?;
        }
        self.emulator.clean()?;
        let held = docker::held_by(self.emulator.instance()).await?;
        ensure!(held.is_empty(), "neargate clean left {held:?}");
        Ok(())
    }
}

fn holds_a_task(group: &std::path::Path) -> bool {
    // A task's control group is named by its id, on cgroupfs as a folder and on systemd as a slice.
    let name = group.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let id = name.trim_end_matches(".slice").rsplit('-').next().unwrap_or_default().to_owned();
    let tasks = std::fs::read_dir(group).into_iter().flatten().flatten();
    let inside = tasks.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).count();
    (id.len() == 32 && name.matches('-').count() > 1) || inside > 0
}

async fn running(instance: &str) -> anyhow::Result<BTreeSet<String>> {
    let filter = format!("label=neargate.instance={instance}");
    let names = docker::docker(&["ps", "--filter", &filter, "--format", "{{.Names}}"]).await?;
    Ok(names.lines().map(str::to_owned).collect())
}

async fn labelled(instance: &str, label: &str) -> anyhow::Result<Vec<String>> {
    let (instance, label) = (format!("label=neargate.instance={instance}"), format!("label={label}"));
    let args = ["ps", "--all", "--filter", &instance, "--filter", &label, "--format", "{{.Names}}"];
    Ok(docker::docker(&args).await?.lines().map(str::to_owned).collect())
}

/// The names of the idle sandboxes that run.
pub(crate) async fn idle_sandboxes(instance: &str) -> anyhow::Result<BTreeSet<String>> {
    let tasks: BTreeSet<String> = labelled(instance, "neargate.container").await?.into_iter().collect();
    Ok(running(instance).await?.difference(&tasks).cloned().collect())
}

/// The containers of a task, by their names.
pub(crate) async fn containers_of(task: &str) -> anyhow::Result<Vec<String>> {
    let (task, container) = (format!("label=neargate.task={}", aws::id(task)), "label=neargate.container");
    let args = ["ps", "--filter", &task, "--filter", container, "--format", "{{.Names}}"];
    Ok(docker::docker(&args).await?.lines().map(str::to_owned).collect())
}

/// `systemctl ARGS…`.
pub(crate) async fn systemctl(args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("systemctl").args(args).output().await.context("running systemctl")?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "systemctl {}: {}", args.join(" "), errors.trim());
    Ok(())
}

/// Waits until the engine responds.
pub(crate) async fn engine_responds() -> anyhow::Result<()> {
    wait::until("the engine responds", TIMEOUT, async || {
        docker::docker(&["version"]).await.map(drop).map_err(|error| chain(&error))
    })
    .await
}
