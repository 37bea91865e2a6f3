//! What a container gets, and its life.

use std::time::Duration;

use futures::TryStreamExt;
use neargate::runtime::{
    ContainerSpec, Exec, HealthCheck, Mount, Runtime as _, Session, Size, State, Stream, Ulimit,
};

use crate::support::{event, exit, observed, sandbox, wait_for_output, with_world};

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_task_share_localhost() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        task.run_tool("server", &["serve", "8080", "it is me"]).await;
        let answer = task.output(task.spec("client", &["say", "hey", "127.0.0.1:8080"]).await).await;
        assert_eq!(answer, "it is me\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_in_different_subnets_reach_each_other() {
    with_world(|world| async move {
        // Subnets are ranges of the network: here its halves.
        let (server, client) = (world.task(10, 256, 512, &[]).await, world.task(200, 256, 512, &[]).await);
        server.run_tool("server", &["serve", "8080", "over there"]).await;
        let address = format!("{}:8080", world.address(10));
        let answer = client.output(client.spec("client", &["say", "hey", &address]).await).await;
        assert_eq!(answer, "over there\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_gets_what_its_definition_specifies() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        let with = async |name: &str, words: &[&str], change: &dyn Fn(&mut ContainerSpec)| {
            let mut spec = task.spec(name, words).await;
            change(&mut spec);
            task.output(spec).await
        };
        let variable = with("environment", &["show", "COLOUR"], &|spec| {
            spec.process.environment = vec![("COLOUR".to_owned(), "a=b c".to_owned())];
        });
        assert_eq!(variable.await, "a=b c\n");
        assert_eq!(with("image", &["show", "FROM_IMAGE"], &|_| {}).await, "yes\n");
        let directory = with("directory", &["directory"], &|spec| {
            spec.process.working_directory = Some("/data".to_owned())
        });
        assert_eq!(directory.await, "/data\n");
        let replaced = with("entry-point", &[], &|spec| {
            spec.process.entry_point = Some(["/tool", "print", "its own"].map(str::to_owned).to_vec());
            spec.process.command = None;
        });
        assert_eq!(replaced.await, "its own");
        let user = with("user", &["cat", "/proc/self/status"], &|spec| {
            spec.process.user = Some("1234:5678".to_owned())
        });
        assert!(user.await.contains("Uid:\t1234\t1234"));
        let sysctl = with("sysctl", &["cat", "/proc/sys/net/core/somaxconn"], &|spec| {
            spec.process.sysctls = [("net.core.somaxconn".to_owned(), "1234".to_owned())].into();
        });
        assert_eq!(sysctl.await, "1234\n");
        let host = with("hostname", &["cat", "/etc/hostname"], &|_| {});
        assert_eq!(host.await, format!("ip-{}\n", world.address(4).to_string().replace('.', "-")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_has_fargates_capabilities_and_no_more() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        let capabilities = async |spec: ContainerSpec| {
            let status = task.output(spec).await;
            let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap().to_owned();
            u64::from_str_radix(&mask, 16).unwrap()
        };
        // Docker's default set, which is Fargate's: linux/capability.h numbers its bits.
        const DEFAULT: u64 = 0xa804_25fb;
        const SYS_PTRACE: u64 = 1 << 19;
        const NET_RAW: u64 = 1 << 13;
        let status = ["cat", "/proc/self/status"];
        assert_eq!(capabilities(task.spec("default", &status).await).await, DEFAULT);
        let mut spec = task.spec("changed", &status).await;
        spec.process.add_capabilities = vec!["SYS_PTRACE".to_owned()];
        spec.process.drop_capabilities = vec!["NET_RAW".to_owned()];
        assert_eq!(capabilities(spec).await, (DEFAULT | SYS_PTRACE) & !NET_RAW);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_open_files_than_the_engine_may_give_are_capped_and_not_refused() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        let mut spec = task.spec("limits", &["cat", "/proc/self/limits"]).await;
        spec.process.ulimits =
            vec![Ulimit { name: "nofile".to_owned(), soft: 1_000, hard: i64::from(i32::MAX) }];
        let limits = task.output(spec).await;
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(line.split_whitespace().nth(3), Some("1000"), "{line}");
        let unsaid = task.output(task.spec("unsaid", &["cat", "/proc/self/limits"]).await).await;
        let line = unsaid.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let values: Vec<u64> =
            line.split_whitespace().skip(3).take(2).map(|value| value.parse().unwrap()).collect();
        assert!(values[0] == values[1] && values[0] <= 65_535, "{line}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_root_can_be_written_nowhere_but_in_volumes() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &["shared"]).await;
        let volume =
            |read_only| vec![Mount { volume: "shared".to_owned(), path: "/shared".to_owned(), read_only }];
        let run = async |name: &str, path: &str, mounts: Vec<Mount>| {
            let mut spec = task.spec(name, &["write", path, "words"]).await;
            spec.process.readonly_root_filesystem = true;
            spec.process.mounts = mounts;
            exit(&world.runtime, &task.run(spec).await).await.code
        };
        assert_eq!(run("root", "/file", vec![]).await, 101, "a panic of the tool");
        assert_eq!(run("volume", "/shared/file", volume(false)).await, 0);
        assert_eq!(run("read-only-volume", "/shared/other", volume(true)).await, 101);
        let mut reader = task.spec("reader", &["cat", "/elsewhere/file"]).await;
        reader.process.mounts = vec![Mount { path: "/elsewhere".to_owned(), ..volume(true).remove(0) }];
        assert_eq!(task.output(reader).await, "words", "the containers share the volume");
        let mut from = task.spec("from", &["cat", "/shared/file"]).await;
        from.process.volumes_from = vec![("volume".to_owned(), true)];
        assert_eq!(task.output(from).await, "words");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_volume_begins_with_what_the_image_has_there() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &["data"]).await;
        let mount =
            |path: &str| vec![Mount { volume: "data".to_owned(), path: path.to_owned(), read_only: false }];
        let mut first = task.spec("first", &["exit", "0"]).await;
        first.process.mounts = mount("/data");
        assert_eq!(exit(&world.runtime, &task.run(first).await).await.code, 0);
        let mut second = task.spec("second", &["cat", "/elsewhere/seed"]).await;
        second.process.mounts = mount("/elsewhere");
        assert_eq!(task.output(second).await, "from the image");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_share_their_processes_if_the_task_specifies_it() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        task.run_tool("holder", &["hold"]).await;
        let mut spec = task.spec("other", &["cat", "/proc/1/cmdline"]).await;
        spec.share_pid_with = Some("holder".to_owned());
        assert_eq!(task.output(spec).await, "/tool\0hold\0");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_definitions_health_check_counts_and_the_images_does_not() {
    with_world(|world| async move {
        let mut events = world.runtime.events();
        let task = world.task(4, 256, 512, &[]).await;
        // The image's own would fail within a second or two: the other container's time is its time as well.
        let unchecked = task.run_tool("unchecked", &["hold"]).await;
        let mut spec = task.spec("checked", &["hold"]).await;
        spec.process.health_check = Some(HealthCheck {
            command: ["CMD", "/tool", "exists", "/healthy"].map(str::to_owned).to_vec(),
            interval: 1,
            timeout: 2,
            retries: 2,
            start_period: 0,
        });
        let checked = task.run(spec).await;
        let mut next = async || {
            event(&mut events, |event| match event {
                neargate::runtime::Event::Health { container_id, healthy } => Some((container_id, healthy)),
                _ => None,
            })
            .await
        };
        assert_eq!(next().await, (checked.clone(), false));
        assert!(matches!(
            observed(&world.runtime, &checked).await.state,
            State::Running { healthy: Some(false), .. }
        ));
        assert!(matches!(
            observed(&world.runtime, &unchecked).await.state,
            State::Running { healthy: None, .. }
        ));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_sigterm_and_then_sigkill() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        // PID 1 ignores a SIGTERM that it does not handle; below an init process it does not.
        let deaf = task.run_tool("deaf", &["hold"]).await;
        world.runtime.stop_container(&deaf, Duration::from_secs(1)).await.unwrap();
        let killed = exit(&world.runtime, &deaf).await;
        assert_eq!((killed.code, killed.oom_killed), (137, false));

        let mut spec = task.spec("heeds", &["hold"]).await;
        spec.process.init_process = true;
        let heeds = task.run(spec).await;
        world.runtime.stop_container(&heeds, Duration::from_secs(60)).await.unwrap();
        assert_eq!(exit(&world.runtime, &heeds).await.code, 143);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_may_be_repeated() {
    with_world(|world| async move {
        let runtime = &world.runtime;
        let task = world.task(4, 256, 512, &["data"]).await;
        let spec = task.spec("app", &["hold"]).await;
        let id = runtime.create_container(&spec).await.unwrap();
        assert!(matches!(observed(runtime, &id).await.state, State::Created));
        assert_eq!(runtime.create_container(&spec).await.unwrap(), id);
        for _ in 0..2 {
            runtime.start_container(&id).await.unwrap();
        }
        assert!(matches!(observed(runtime, &id).await.state, State::Running { .. }));
        for _ in 0..2 {
            runtime.stop_container(&id, Duration::ZERO).await.unwrap();
        }
        assert!(matches!(observed(runtime, &id).await.state, State::Exited { started_at: Some(_), .. }));
        for _ in 0..2 {
            runtime.remove_container(&id).await.unwrap();
            assert_eq!(runtime.inspect_container(&id).await.unwrap(), None);
            runtime.remove_sandbox(&task.sandbox_id).await.unwrap();
            runtime.release_task(&task.task_id).await.unwrap();
        }
        runtime.stop_container(&id, Duration::ZERO).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_a_sandbox_that_died_is_made_again_in_the_tasks_next_one() {
    with_world(|world| async move {
        let runtime = &world.runtime;
        let task = world.task(4, 256, 512, &[]).await;
        let lost = runtime.create_container(&task.spec("app", &["hold"]).await).await.unwrap();
        runtime.remove_sandbox(&task.sandbox_id).await.unwrap();
        assert!(runtime.start_container(&lost).await.is_err(), "its namespace is gone");

        let next = runtime.create_sandbox(&sandbox(&world.network, Some(world.address(5)))).await.unwrap();
        let spec = ContainerSpec { sandbox_id: next.sandbox_id.clone(), ..task.spec("app", &["hold"]).await };
        let id = task.run(spec).await;
        assert_ne!(id, lost);
        assert!(matches!(observed(runtime, &id).await.state, State::Running { .. }));
        assert_eq!(runtime.inspect_container(&lost).await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_start_reports_why_in_the_engines_words() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        let mut spec = task.spec("app", &[]).await;
        spec.process.entry_point = Some(vec!["/nowhere".to_owned()]);
        let id = world.runtime.create_container(&spec).await.unwrap();
        let refusal = world.runtime.start_container(&id).await.unwrap_err().to_string();
        assert!(refusal.contains("/nowhere") && refusal.contains("no such file or directory"), "{refusal}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_released_with_containers_that_are_not_recorded() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &["shared"]).await;
        let mut spec = task.spec("running", &["hold"]).await;
        spec.process.mounts =
            vec![Mount { volume: "shared".to_owned(), path: "/shared".to_owned(), read_only: false }];
        task.run(spec.clone()).await;
        world.runtime.create_container(&ContainerSpec { name: "created".to_owned(), ..spec }).await.unwrap();
        world.runtime.release_task(&task.task_id).await.unwrap();
        let left = world.runtime.inventory().await.unwrap();
        assert!(left.containers.is_empty() && left.tasks.is_empty(), "{left:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_beside_the_containers_own_has_its_output_and_exit_code() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        let id = task.run_tool("app", &["hold"]).await;
        let run = async |words: &[&str], terminal: bool| {
            let command = std::iter::once("/tool").chain(words.iter().copied()).map(str::to_owned).collect();
            let Session { output, mut input, exit_code } =
                world.runtime.exec(&id, &Exec { command, terminal }).await.unwrap();
            if terminal {
                input.resize(Size { columns: 80, rows: 24 }).await.unwrap();
            }
            let pieces: Vec<(Stream, bytes::Bytes)> = output.try_collect().await.unwrap();
            let of = |stream: Stream| {
                let pieces = pieces.iter().filter(|(from, _)| *from == stream);
                String::from_utf8(pieces.flat_map(|(_, bytes)| bytes.to_vec()).collect()).unwrap()
            };
            (of(Stream::Stdout), of(Stream::Stderr), exit_code.await.unwrap())
        };
        assert_eq!(run(&["print", "words"], false).await, ("words".to_owned(), String::new(), 0));
        assert_eq!(run(&["print", "words"], true).await, ("words".to_owned(), String::new(), 0));
        assert_eq!(run(&["exit", "3"], false).await.2, 3);
        let (output, errors, _) = run(&["lines", "2"], false).await;
        assert_eq!((output.as_str(), errors.as_str()), ("line 0\n", "line 1\n"));
        assert!(world.runtime.exec(&"0".repeat(64), &Exec::default()).await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_container_uses_is_counted() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        let id = task.run_tool("app", &["hog", "64"]).await;
        wait_for_output(&world.runtime, &id, "holds").await;
        let usage = world.runtime.stats(&id).await.unwrap();
        assert!((64 << 20..512 << 20).contains(&usage.memory), "{usage:?}");
        assert_eq!(usage.memory_limit, 512 << 20);
        assert!(usage.cpu_nanoseconds > 0 && usage.processes == 1 && usage.at.millis() > 0, "{usage:?}");
    })
    .await;
}
