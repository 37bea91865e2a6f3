//! `neargate clean` and `neargate doctor` on the real engine.

use neargate::runtime::docker::Options;
use neargate::runtime::{Runtime as _, State};
use neargate::{clean, doctor, store};

use crate::support::{VPC, blocks, connect, observed, own, with_world};

async fn cleaned(dry_run: bool) -> String {
    let mut out = Vec::new();
    clean::run(&clean::Options { docker_host: None, data_dir: None, dry_run }, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

/// One test for both, for each looks at all instances of the engine.
#[tokio::test(flavor = "multi_thread")]
async fn clean_removes_what_dead_instances_left_and_nothing_of_a_living_one() {
    with_world(|living| async move {
        let task = living.task(4, 256, 512, &["data"]).await;
        let container = task.run_tool("app", &["hold"]).await;

        // An instance whose process died: its lock is free. And one whose data directory is gone altogether.
        let kept = tempfile::tempdir().unwrap();
        drop(store::Lock::acquire(kept.path()).unwrap());
        let mut dead = Vec::new();
        for directory in [kept.path().to_owned(), kept.path().join("gone")] {
            let options = Options {
                docker_host: None,
                instance_id: uuid::Uuid::new_v4().simple().to_string(),
                data_dir: directory,
            };
            let runtime = connect(options.clone()).await.unwrap();
            let network = runtime.ensure_network(&own(VPC, blocks())).await.unwrap();
            let world = crate::support::World { runtime, options, network };
            let task = world.task(4, 256, 512, &["data"]).await;
            task.run_tool("app", &["hold"]).await;
            dead.push(world);
        }

        let said = cleaned(true).await;
        for world in &dead {
            let short = &world.options.instance_id[..8];
            for kind in ["container", "volume", "network"] {
                assert!(said.contains(&format!("would remove {kind} neargate-{short}-")), "{kind}: {said}");
            }
            assert_eq!(
                world.runtime.inventory().await.unwrap().containers.len(),
                1,
                "a dry run removes nothing"
            );
        }
        let said = cleaned(false).await;
        for world in &dead {
            assert!(
                said.contains(&format!("removed network neargate-{}-", &world.options.instance_id[..8])),
                "{said}"
            );
            let left = world.runtime.inventory().await.unwrap();
            assert!(
                left.containers.is_empty() && left.sandboxes.is_empty() && left.tasks.is_empty(),
                "{left:?}"
            );
        }
        let lives = format!("left instance {}", living.options.instance_id);
        assert!(
            said.contains(&lives) && said.contains(&format!("process {} runs it", std::process::id())),
            "{said}"
        );
        assert!(matches!(observed(&living.runtime, &container).await.state, State::Running { .. }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_this_machine_fit_and_leaves_nothing() {
    with_world(|world| async move {
        let mut out = Vec::new();
        let options = doctor::Options {
            docker_host: None,
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: Some(world.options.data_dir.join("absent")),
        };
        let well = doctor::run(&options, &mut out).await.unwrap();
        let said = String::from_utf8(out).unwrap();
        assert!(well, "{said}");
        for subject in ["port", "data dir", "engine", "limits", "oom", "sandbox", "ulimits", "images"] {
            let line = said.lines().find(|line| line.get(6..).is_some_and(|rest| rest.starts_with(subject)));
            assert!(line.is_some_and(|line| !line.starts_with("fail")), "{subject}: {said}");
        }
        let task = world.task(4, 256, 512, &[]).await;
        let limits = task.output(task.spec("limits", &["cat", "/proc/self/limits"]).await).await;
        let open_files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let most = open_files.split_whitespace().next().unwrap();
        let ulimits = said.lines().find(|line| line.contains("ulimits")).unwrap();
        assert!(ulimits.contains(&format!(" {most} ")), "{ulimits}, and a container got {most}");
        assert!(!cleaned(true).await.contains("sandbox-probe"));
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
    let said = String::from_utf8(out).unwrap();
    assert!(
        said.contains("fail  engine") && said.contains("there is no socket /nowhere/docker.sock"),
        "{said}"
    );
    assert!(said.contains("apt install docker.io"), "{said}");
}
