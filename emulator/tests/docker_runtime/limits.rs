//! The limits are the task's: what its containers use together.

use std::path::{Path, PathBuf};

use neargate::runtime::Runtime as _;

use crate::support::{Task, World, docker, eventually, exit, wait_for_output, with_world};

/// Whether the limits of a task can be enforced here; otherwise these tests have nothing to check, which is an error in CI.
async fn holds_task_limits(world: &World) -> bool {
    let limits = world.runtime.info().await.unwrap().limits;
    let holds = limits != "per container";
    assert!(holds || std::env::var_os("CI").is_none(), "limits are enforced {limits}");
    if !holds {
        eprintln!("SKIPPED: limits are enforced {limits}");
    }
    holds
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_two_containers_together_hits_the_tasks_limit() {
    with_world(|world| async move {
        if !holds_task_limits(&world).await {
            return;
        }
        let task = world.task(4, 256, 128, &[]).await;
        let first = task.run_tool("first", &["hog", "80"]).await;
        wait_for_output(&world.runtime, &first, "holds 80 MiB").await;
        // Alone it would fit, too.
        let second = task.run_tool("second", &["hog", "80"]).await;
        // The kernel kills the largest of the cgroup that ran out: one ends, the other then has room.
        let end = tokio::select! {
            end = exit(&world.runtime, &first) => end,
            end = exit(&world.runtime, &second) => end,
        };
        assert_eq!((end.code, end.oom_killed), (137, true));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_throttles_all_containers_together() {
    with_world(|world| async move {
        if !holds_task_limits(&world).await {
            return;
        }
        let task = world.task(4, 256, 512, &[]).await;
        task.run_tool("first", &["burn"]).await;
        task.run_tool("second", &["burn"]).await;
        let file = task_directory(&world, &task, "cpu").join("cpu.stat");
        // Two loops that never rest, in a quarter of a processor: the task's own cgroup runs out in each period.
        eventually("ten periods in which the task was throttled", || async {
            let stat = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
            let throttled =
                stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok());
            throttled.filter(|count| *count >= 10).ok_or(stat)
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_task_leaves_no_cgroup() {
    with_world(|world| async move {
        if !holds_task_limits(&world).await {
            return;
        }
        let task = world.task(4, 256, 512, &[]).await;
        let id = task.run_tool("app", &["hold"]).await;
        let directory = task_directory(&world, &task, "memory");
        assert!(directory.is_dir(), "{}", directory.display());
        world.runtime.remove_container(&id).await.unwrap();
        world.runtime.release_task(&task.task_id).await.unwrap();
        let left = || -> Vec<PathBuf> {
            let all = hierarchies().flat_map(|root| cgroups(&root, &world, &task));
            all.filter(|path| path.exists()).collect()
        };
        if world.runtime.info().await.unwrap().limits == "systemd" {
            // Systemd responds before it has stopped a slice.
            eventually("the task's slice is stopped", || async {
                if left().is_empty() { Ok(()) } else { Err(format!("{:?}", left())) }
            })
            .await;
        }
        assert_eq!(left(), Vec::<PathBuf>::new());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_has_a_limit_of_processes_and_so_has_each_container() {
    with_world(|world| async move {
        if !holds_task_limits(&world).await {
            return;
        }
        for (n, cpu, limit) in [(4, 256, 1024), (5, 2048, 2048)] {
            let task = world.task(n, cpu, 4096, &[]).await;
            let id = task.run_tool("app", &["hold"]).await;
            let file = task_directory(&world, &task, "pids").join("pids.max");
            assert_eq!(std::fs::read_to_string(file).unwrap().trim(), limit.to_string());
            let container = docker().inspect_container(&id, None).await.unwrap();
            assert_eq!(container.host_config.unwrap().pids_limit, Some(limit));
        }
    })
    .await;
}

/// The task's cgroup in the hierarchy of this controller.
fn task_directory(world: &World, task: &Task<'_>, controller: &str) -> PathBuf {
    let root = PathBuf::from("/sys/fs/cgroup");
    let v1 = root.join(controller);
    let root = if v1.is_dir() { v1 } else { root };
    let cgroups = cgroups(&root, world, task);
    cgroups.iter().find(|path| path.is_dir()).unwrap_or_else(|| panic!("none of {cgroups:?}")).clone()
}

/// Where a task's cgroup may be in a hierarchy, with either driver of the engine.
fn cgroups(root: &Path, world: &World, task: &Task<'_>) -> [PathBuf; 2] {
    let (instance, task_id) = (&world.options.instance_id, &task.task_id);
    let slice = format!("neargate.slice/neargate-{instance}.slice/neargate-{instance}-{task_id}.slice");
    [root.join("neargate").join(instance).join(task_id), root.join(slice)]
}

/// The root of cgroup v2, and those of v1 below it.
fn hierarchies() -> impl Iterator<Item = PathBuf> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let below = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    std::iter::once(root).chain(below.collect::<Vec<_>>())
}
