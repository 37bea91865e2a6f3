//! Published ports: with the option, a running task's ports are on the host's loopback, each at the address of its binding.

use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_ecs::types::{NetworkBinding, PortMapping, Task, TransportProtocol};
use harness::aws::{Aws, container};
use harness::emulator::{Emulator, Options};
use harness::wait;

use crate::Shared;

/// The bindings of a running task's only container.
async fn bindings(aws: &Aws, arn: &str) -> anyhow::Result<Vec<NetworkBinding>> {
    let task: Task = aws.running(arn).await?;
    Ok(task.containers().first().context("no container")?.network_bindings().to_vec())
}

fn host_port(bindings: &[NetworkBinding]) -> anyhow::Result<u16> {
    let [binding] = bindings else { anyhow::bail!("not one binding: {bindings:?}") };
    assert_eq!(binding.bind_ip(), Some("127.0.0.1"), "{binding:?}");
    assert_eq!(binding.protocol(), Some(&TransportProtocol::Tcp), "{binding:?}");
    u16::try_from(binding.host_port().context("no host port")?).context("the host port")
}

/// A port that is free, below the kernel's ephemeral range: no program gets it by chance.
fn free_port() -> Option<u16> {
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).ok()?;
    (start..32_000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// The fixture's response on the port, once it listens.
async fn answer(port: u16) -> anyhow::Result<String> {
    wait::until(&format!("port {port} answers"), wait::seconds(30), async || {
        let got = reqwest::get(format!("http://127.0.0.1:{port}/env/WHO"))
            .await
            .map_err(|error| error.to_string())?;
        got.text().await.map_err(|error| error.to_string())
    })
    .await
}

pub(crate) async fn mapped_ports_answer_on_loopback_while_the_task_runs_and_again_after_a_kill(
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    let options =
        Options { ephemeral: false, arguments: vec!["--publish-ports".to_owned()], ..Options::default() };
    let mut emulator = Emulator::start(&shared.work, "published", options).await?;
    let aws = emulator.aws().await;
    let free = free_port().context("no free port")?;
    let run = async |who: &str| {
        let serve = container("web", &["serve", "--port", &free.to_string()])
            .environment(aws_sdk_ecs::types::KeyValuePair::builder().name("WHO").value(who).build())
            .port_mappings(PortMapping::builder().container_port(i32::from(free)).build());
        aws.run(&aws.register(who, [serve.build()]).await?).await
    };

    let first = run("first").await?;
    let at_first = host_port(&bindings(&aws, &first).await?)?;
    assert_eq!(at_first, free, "the port itself, if it is free");
    assert_eq!(answer(at_first).await?.trim(), "first");

    let second = run("second").await?;
    let at_second = host_port(&bindings(&aws, &second).await?)?;
    assert_ne!(at_second, free, "another, if it is taken");
    assert_eq!(answer(at_second).await?.trim(), "second");

    emulator.kill()?;
    emulator.resume().await?;
    for (arn, who) in [(&first, "first"), (&second, "second")] {
        let port = host_port(&bindings(&aws, arn).await?)?;
        assert_eq!(answer(port).await?.trim(), who, "after a kill");
    }

    let port = host_port(&bindings(&aws, &second).await?)?;
    aws.ecs.stop_task().task(&second).send().await.context("stopping a task")?;
    let stopped = aws.reached(&second, "STOPPED", wait::seconds(60)).await?;
    assert!(stopped.containers()[0].network_bindings().is_empty(), "{stopped:?}");
    // Another program may use the port now and respond. A listener of ours would accept and have no task to forward to.
    if let Err(error) = reqwest::get(format!("http://127.0.0.1:{port}/env/WHO")).await {
        assert!(error.is_connect(), "port {port} is still open: {error}");
    }
    assert_eq!(answer(free).await?.trim(), "first", "its neighbour's stays");
    Ok(())
}
