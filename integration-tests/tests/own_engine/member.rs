//! The emulator as a user who may use the engine and is not root.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use aws_sdk_ecs::types::Task;
use harness::aws::{container, describe};
use harness::emulator::Options;
use harness::{aws, chain, docker, wait};

use crate::daemon::{die_and_return, engine_with, usual_engine};
use crate::world::{Fleet, TIMEOUT, World};

pub(crate) async fn a_member_of_group_docker_gets_the_limit_of_the_task(
    world: &Arc<World>,
) -> anyhow::Result<()> {
    for driver in ["systemd", "cgroupfs"] {
        let setting = format!("{{\"exec-opts\": [\"native.cgroupdriver={driver}\"]}}\n");
        engine_with(&setting).await?;
        let options = Options { ephemeral: false, as_member: true, ..Options::default() };
        let mut fleet = Fleet::start_with(world, driver, options).await?;
        let instance = fleet.emulator.instance().to_owned();
        containers_share_the_limit(&fleet).await?;
        let helper = helper_of(&instance).await?;

        // The engine ends a helper with the process that used it, and the next process starts its own.
        fleet.emulator.kill()?;
        wait_until_removed(&helper).await?;
        fleet.emulator.resume().await?;
        has_its_limits(&fleet).await?;
        let helper = helper_of(&instance).await?;
        // If that helper is removed, the next task still gets its limit.
        docker::docker(&["rm", "--force", &helper]).await?;
        has_its_limits(&fleet).await?;
        // The same if the engine takes the helper with it.
        die_and_return().await?;
        has_its_limits(&fleet).await?;

        let helper = helper_of(&instance).await?;
        fleet.emulator.terminate_within(TIMEOUT).await?;
        wait_until_removed(&helper).await?;
        // Also removes the cgroups, which requires a helper.
        fleet.close().await?;
        let left = docker::cgroups_of(&instance);
        ensure!(left.is_empty(), "neargate clean left {left:?}");
        wait::until("systemd has stopped the slice of all instances", TIMEOUT, async || {
            let slice = PathBuf::from("/sys/fs/cgroup/neargate.slice");
            if slice.exists() { Err("it still exists".to_owned()) } else { Ok(()) }
        })
        .await?;
    }
    usual_engine().await
}

/// Two containers of a task share its memory and its vCPU.
async fn containers_share_the_limit(fleet: &Fleet) -> anyhow::Result<()> {
    let aws = &fleet.aws;
    let eaters = [("one", "220"), ("two", "400")].map(|(name, size)| container(name, &["eat", size]).build());
    let eaters = aws.run(&aws.register("eaters", eaters).await?).await?;
    let eaters = fleet.reach(&[eaters], "STOPPED").await?.remove(0);
    let killed = |task: &Task| task.containers().iter().any(|container| container.exit_code() == Some(137));
    ensure!(killed(&eaters), "620 MiB fit into 512: {}", describe(&eaters));

    let burners = ["one", "two"].map(|name| container(name, &["burn", "600", "--threads", "2"]).build());
    let burners = [aws.run(&aws.register_sized("burners", 512, 1024, burners).await?).await?];
    fleet.reach(&burners, "RUNNING").await?;
    let cgroup = cgroup_of(fleet.emulator.instance(), aws::id(&burners[0]))?;
    let before = CpuTime::of(&cgroup)?;
    let after = wait::until("fifty periods of the quota have passed", TIMEOUT, async || {
        let now = CpuTime::of(&cgroup).map_err(|error| chain(&error))?;
        if now.periods >= before.periods + 50 { Ok(now) } else { Err(format!("{now:?} after {before:?}")) }
    })
    .await?;
    let share = (after.used - before.used) * 100 / ((after.periods - before.periods) * PERIOD);
    // The margin is for the incomplete periods at both ends of the measured time.
    ensure!((25..60).contains(&share), "0.5 vCPU gave {share} % of a core: {after:?} after {before:?}");
    fleet.ends(&burners).await
}

/// The period of the quota, in microseconds.
const PERIOD: u64 = 100_000;

/// The values of a cgroup's `cpu.stat`.
#[derive(Debug)]
struct CpuTime {
    /// Microseconds.
    used: u64,
    periods: u64,
}

impl CpuTime {
    fn of(cgroup: &Path) -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string(cgroup.join("cpu.stat")).context("reading cpu.stat")?;
        let value = |name: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok()).with_context(|| format!("no {name} in {stat}"))
        };
        Ok(Self { used: value("usage_usec ")?, periods: value("nr_periods ")? })
    }
}

/// Checks that a task's cgroup has the limits of the task's size.
async fn has_its_limits(fleet: &Fleet) -> anyhow::Result<()> {
    let definition =
        fleet.aws.register_sized("sized", 512, 1024, [container("main", &["sleep", "600"]).build()]);
    let arns = [fleet.aws.run(&definition.await?).await?];
    fleet.reach(&arns, "RUNNING").await?;
    let cgroup = cgroup_of(fleet.emulator.instance(), aws::id(&arns[0]))?;
    for (file, expected) in [
        ("cpu.max", "50000 100000"),
        ("cpu.weight", "20"),
        ("memory.max", "1073741824"),
        ("memory.swap.max", "0"),
        ("pids.max", "1024"),
    ] {
        let found = std::fs::read_to_string(cgroup.join(file)).with_context(|| format!("reading {file}"))?;
        ensure!(found.trim() == expected, "{file} is {found}");
    }
    fleet.ends(&arns).await
}

fn cgroup_of(instance: &str, task: &str) -> anyhow::Result<PathBuf> {
    let groups = docker::cgroups_of(instance);
    let below = groups.iter().flat_map(|group| std::fs::read_dir(group).into_iter().flatten().flatten());
    let of_task = |path: &PathBuf| {
        path.is_dir() && path.file_name().is_some_and(|name| name.to_string_lossy().contains(task))
    };
    let found = below.map(|entry| entry.path()).find(of_task);
    found.with_context(|| format!("the task has no cgroup in {groups:?}"))
}

/// The one helper of an instance, by its name.
async fn helper_of(instance: &str) -> anyhow::Result<String> {
    let instance = format!("label=neargate.instance={instance}");
    let args = ["ps", "--filter", &instance, "--filter", "label=neargate.helper", "--format", "{{.Names}}"];
    let listed = docker::docker(&args).await?;
    let names: Vec<&str> = listed.lines().collect();
    ensure!(names.len() == 1, "the helpers are {names:?}");
    Ok(names[0].to_owned())
}

async fn wait_until_removed(helper: &str) -> anyhow::Result<()> {
    wait::until("the helper is removed", TIMEOUT, async || {
        let name = format!("name={helper}");
        let listed = docker::docker(&["ps", "--all", "--quiet", "--filter", &name]).await;
        let listed = listed.map_err(|error| chain(&error))?;
        if listed.is_empty() { Ok(()) } else { Err("it still exists".to_owned()) }
    })
    .await
}
