//! RunTask → RUNNING beside create + start of the same image with the engine's own API, on its bridge network with the same
//! limits: in turn, so that both have the same conditions. So is the engine's own part, which no emulator can avoid: a
//! container that joins the network namespace of another one, and without the pool that other one on a network of its own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use harness::aws::SUBNET;
use harness::docker;
use harness::emulator::{Emulator, Options};
use harness::work::Work;
use serde_json::{Value, json};

use super::http::Connection;
use super::report::{self, Row};

const IMAGE: &str = "neargate/fixture:latest";
/// The network mode of the engine's default network.
pub(crate) const BRIDGE: &str = "bridge";
const RUNS: usize = 15;
const MIB: i64 = 1024 * 1024;

/// Medians, in milliseconds.
struct Medians {
    ours: f64,
    engine: f64,
    floor: f64,
}

pub(crate) async fn measure(work: &Work) -> anyhow::Result<Vec<Row>> {
    let with_pool = against_the_engine(work, true).await?;
    let without_pool = against_the_engine(work, false).await?;
    Ok(vec![
        row("RunTask → RUNNING, with the pool", &with_pool, 0.45),
        row("RunTask → RUNNING, without the pool", &without_pool, 1.5),
    ])
}

fn row(what: &str, Medians { ours, engine, floor }: &Medians, factor: f64) -> Row {
    Row {
        what: what.to_owned(),
        measured: format!("{ours:.0} ms = {:.2} ×", ours / engine),
        reference: format!(
            "{engine:.0} ms create + start on the bridge (engine's part: {:.2} ×)",
            floor / engine
        ),
        budget: format!("≤ {factor} ×"),
        within: *ours <= factor * engine,
    }
}

async fn against_the_engine(work: &Work, has_pool: bool) -> anyhow::Result<Medians> {
    let sandbox_pool = if has_pool { None } else { Some(0) };
    let mut emulator =
        Emulator::start(work, "run-task", Options { sandbox_pool, ..Options::default() }).await?;
    register(&emulator.endpoint()).await?;
    let docker = Docker::connect_with_defaults().context("connecting to the engine")?;
    let network = format!("neargate-bench-{}", std::process::id());
    docker::docker(&["network", "create", &network]).await?;
    let holder = if has_pool { Some(create_and_start(&docker, &network).await?) } else { None };
    let (mut ours, mut engine, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        // The pool refills after a task's start.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (task, millis) = to_running(&emulator.endpoint()).await?;
        ours.push(millis);
        stop(&emulator.endpoint(), &task).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begin = Instant::now();
        let container = create_and_start(&docker, BRIDGE).await?;
        engine.push(begin.elapsed().as_secs_f64() * 1000.0);
        remove(&docker, &container).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        floor.push(least(&docker, &network, holder.as_deref()).await?);
    }
    emulator.terminate().await?;
    if let Some(holder) = holder {
        remove(&docker, &holder).await?;
    }
    docker::docker(&["network", "rm", &network]).await?;
    Ok(Medians {
        ours: report::median(&mut ours),
        engine: report::median(&mut engine),
        floor: report::median(&mut floor),
    })
}

/// The milliseconds of a container that joins the namespace of `holder`, or first creates one on `network`.
async fn least(docker: &Docker, network: &str, holder: Option<&str>) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let made = if holder.is_none() { Some(create_and_start(docker, network).await?) } else { None };
    let joins = holder.or(made.as_deref()).context("there is no container to join")?;
    let joined = create_and_start(docker, &format!("container:{joins}")).await?;
    let millis = begin.elapsed().as_secs_f64() * 1000.0;
    remove(docker, &joined).await?;
    if let Some(made) = made {
        remove(docker, &made).await?;
    }
    Ok(millis)
}

/// Registers the task definition that every measurement of a task runs: one container that only waits.
pub(crate) async fn register(endpoint: &str) -> anyhow::Result<()> {
    let definition = json!({
        "family": "bench",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "app", "image": IMAGE, "command": ["sleep", "3600"]}],
    });
    Connection::open(endpoint).await?.ecs("RegisterTaskDefinition", &definition).await.map(drop)
}

/// The input of RunTask for it.
pub(crate) fn run_task(count: u32) -> Value {
    json!({
        "taskDefinition": "bench",
        "launchType": "FARGATE",
        "count": count,
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": [SUBNET]}},
    })
}

/// Runs a task; returns its ARN and the milliseconds until DescribeTasks returns it as RUNNING.
pub(crate) async fn to_running(endpoint: &str) -> anyhow::Result<(String, f64)> {
    let mut connection = Connection::open(endpoint).await?;
    let begin = Instant::now();
    let ran = connection.ecs("RunTask", &run_task(1)).await?;
    let arn = ran["tasks"][0]["taskArn"].as_str().context("RunTask returned no task")?.to_owned();
    loop {
        let described = connection.ecs("DescribeTasks", &json!({"tasks": [arn]})).await?;
        match described["tasks"][0]["lastStatus"].as_str() {
            Some("RUNNING") => return Ok((arn, begin.elapsed().as_secs_f64() * 1000.0)),
            Some("STOPPED") => bail!("the task stopped: {described}"),
            _ if begin.elapsed() > Duration::from_secs(60) => bail!("the task does not run: {described}"),
            _ => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

async fn stop(endpoint: &str, task: &str) -> anyhow::Result<()> {
    Connection::open(endpoint).await?.ecs("StopTask", &json!({"task": task})).await.map(drop)
}

/// The same container with the engine's API, with this network mode; returns its id.
pub(crate) async fn create_and_start(docker: &Docker, network: &str) -> anyhow::Result<String> {
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        cmd: Some(vec!["sleep".to_owned(), "3600".to_owned()]),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            memory: Some(512 * MIB),
            memory_swap: Some(512 * MIB),
            cpu_period: Some(100_000),
            cpu_quota: Some(25_000),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let created = docker.create_container(None, body).await.context("creating a container")?;
    docker.start_container(&created.id, None).await.context("starting a container")?;
    Ok(created.id)
}

async fn remove(docker: &Docker, container: &str) -> anyhow::Result<()> {
    let force = RemoveContainerOptionsBuilder::default().force(true).build();
    docker.remove_container(container, Some(force)).await.context("removing a container")
}
