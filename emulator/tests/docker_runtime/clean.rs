//! `neargate clean` and `neargate doctor` on the real engine.

use std::path::Path;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
};
use neargate::runtime::docker::Options;
use neargate::runtime::{Runtime as _, State};
use neargate::{clean, doctor, store};

use crate::support::{
    VPC, World, blocks, connect, docker, eventually, observed, own, tool_image, with_world,
};

/// Whether all of the instance of one data directory was removed, and what `neargate clean` prints. Never without a
/// directory: others on this engine may be dead for a moment, such as an emulator that a test has killed to restart it.
async fn cleaned(data_dir: &Path, dry_run: bool) -> (bool, String) {
    let mut out = Vec::new();
    let options = clean::Options { docker_host: None, data_dir: Some(data_dir.to_owned()), dry_run };
    let whole = clean::run(&options, &mut out).await.unwrap();
    (whole, String::from_utf8(out).unwrap())
}

/// An instance with a task whose process died.
async fn dead(data_dir: &Path) -> World {
    let options = Options {
        docker_host: None,
        instance_id: uuid::Uuid::new_v4().simple().to_string(),
        data_dir: data_dir.to_owned(),
    };
    let runtime = connect(options.clone()).await.unwrap();
    let network = runtime.ensure_network(&own(VPC, blocks())).await.unwrap();
    let world = World { runtime, options, network };
    let task = world.task(4, 256, 512, &["data"]).await;
    task.run_tool("app", &["hold"]).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_removes_what_dead_instances_left_and_nothing_of_a_living_one() {
    with_world(|living| async move {
        let task = living.task(4, 256, 512, &["data"]).await;
        let container = task.run_tool("app", &["hold"]).await;

        // An instance whose process died: its lock is free. And one whose data directory no longer exists.
        let kept = tempfile::tempdir().unwrap();
        drop(store::Lock::acquire(kept.path()).unwrap());
        for directory in [kept.path().to_owned(), kept.path().join("gone")] {
            let world = dead(&directory).await;
            let short = &world.options.instance_id[..8];
            let (whole, output) = cleaned(&directory, true).await;
            assert!(whole);
            for kind in ["container", "volume", "network"] {
                assert!(
                    output.contains(&format!("would remove {kind} neargate-{short}-")),
                    "{kind}: {output}"
                );
            }
            let held = world.runtime.inventory().await.unwrap();
            assert_eq!(held.containers.len(), 1, "a dry run removes nothing");

            let (whole, output) = cleaned(&directory, false).await;
            assert!(whole, "{output}");
            for kind in ["container", "volume", "network"] {
                assert!(output.contains(&format!("removed {kind} neargate-{short}-")), "{kind}: {output}");
            }
            let left = world.runtime.inventory().await.unwrap();
            assert!(
                left.containers.is_empty() && left.sandboxes.is_empty() && left.tasks.is_empty(),
                "{left:?}"
            );
            assert_eq!(cleaned(&directory, false).await, (true, "nothing to remove\n".to_owned()));
        }
        let (whole, output) = cleaned(&living.options.data_dir, false).await;
        let lives = format!("left instance {}", living.options.instance_id);
        assert!(
            output.contains(&lives) && output.contains(&format!("process {} runs it", std::process::id())),
            "{output}"
        );
        assert!(whole, "a living instance is not an error");
        assert!(matches!(observed(&living.runtime, &container).await.state, State::Running { .. }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_reports_what_cannot_be_removed_and_removes_the_rest() {
    with_world(|_| async move {
        let directory = tempfile::tempdir().unwrap();
        let world = dead(directory.path()).await;
        // A user's own container holds the task's volume.
        let volume = volume_of(&world.options.instance_id).await;
        let stranger = stranger_with(&volume).await;
        let (whole, output) = cleaned(directory.path(), false).await;
        let force = RemoveContainerOptionsBuilder::default().force(true).build();
        docker().remove_container(&stranger, Some(force)).await.unwrap();
        assert!(!whole, "{output}");
        assert!(output.contains(&format!("left volume {volume}\n")), "{output}");
        assert!(output.contains(&format!("could not remove the volume {volume}: ")), "{output}");
        let short = &world.options.instance_id[..8];
        for kind in ["container", "network"] {
            assert!(output.contains(&format!("removed {kind} neargate-{short}-")), "{kind}: {output}");
        }
        let (whole, output) = cleaned(directory.path(), false).await;
        assert!(whole && output.contains(&format!("removed volume {volume}\n")), "{output}");
    })
    .await;
}

async fn volume_of(instance_id: &str) -> String {
    let filters = [("label", vec![format!("neargate.instance={instance_id}")])].into();
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let mut volumes = docker().list_volumes(Some(options)).await.unwrap().volumes.unwrap();
    assert_eq!(volumes.len(), 1);
    volumes.remove(0).name
}

/// A container without our labels that has the volume; it need not run.
async fn stranger_with(volume: &str) -> String {
    let body = ContainerCreateBody {
        image: Some(tool_image().await),
        host_config: Some(HostConfig {
            binds: Some(vec![format!("{volume}:/data")]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    docker().create_container(None, body).await.unwrap().id
}

async fn probes() -> Vec<String> {
    let names = [("name", vec!["sandbox-probe".to_owned()])].into();
    let options = ListContainersOptionsBuilder::default().all(true).filters(&names).build();
    let probes = docker().list_containers(Some(options)).await.unwrap();
    probes.into_iter().filter_map(|probe| probe.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_this_machine_fit_and_leaves_nothing() {
    with_world(|world| async move {
        let before = probes().await;
        let mut out = Vec::new();
        let options = doctor::Options {
            docker_host: None,
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: Some(world.options.data_dir.join("absent")),
        };
        let well = doctor::run(&options, &mut out).await.unwrap();
        let output = String::from_utf8(out).unwrap();
        assert!(well, "{output}");
        for subject in ["port", "data dir", "engine", "limits", "oom", "sandbox", "ulimits", "images"] {
            let line =
                output.lines().find(|line| line.get(6..).is_some_and(|rest| rest.starts_with(subject)));
            assert!(line.is_some_and(|line| !line.starts_with("fail")), "{subject}: {output}");
        }
        let task = world.task(4, 256, 512, &[]).await;
        let limits = task.output(task.spec("limits", &["cat", "/proc/self/limits"]).await).await;
        let open_files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let most = open_files.split_whitespace().next().unwrap();
        let ulimits = output.lines().find(|line| line.contains("ulimits")).unwrap();
        assert!(ulimits.contains(&format!(" {most} ")), "{ulimits}, and a container got {most}");
        // Another doctor may run at the same time; this one's probe is gone, and no other that was created meanwhile stays.
        let mut ids = probes().await;
        ids.retain(|id| !before.contains(id));
        eventually("the probes of all doctors to go", async || {
            for id in &ids {
                if docker().inspect_container(id, None).await.is_ok() {
                    return Err(format!("{id} is there"));
                }
            }
            Ok(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_doctor_says_how_to_reach_an_engine_that_is_not_there() {
    let mut out = Vec::new();
    let options = doctor::Options {
        docker_host: Some("unix:///nowhere/docker.sock".to_owned()),
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: None,
    };
    assert!(!doctor::run(&options, &mut out).await.unwrap());
    let output = String::from_utf8(out).unwrap();
    assert!(
        output.contains("fail  engine") && output.contains("there is no socket /nowhere/docker.sock"),
        "{output}"
    );
    assert!(output.contains("apt install docker.io"), "{output}");
}
