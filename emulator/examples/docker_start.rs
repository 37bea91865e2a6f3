//! How long a container takes to start when it joins a ready sandbox, beside the same container on the engine's own
//! bridge network: same image, same limits, same run, turn by turn. Milliseconds, medians.
//!
//! ```text
//! cargo run --release -p neargate --example docker_start -- IMAGE [ROUNDS]
//! ```
//!
//! IMAGE is on the engine and its program does not end by itself within a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use neargate::runtime::docker::{Options, Runtime};
use neargate::runtime::{
    ContainerSpec, Filter, NetworkSpec, Process, Resolver, Runtime as _, SandboxSpec, TaskSpec,
};

const CPU: u32 = 256;
const MEMORY: u32 = 512;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let image = arguments.next().ok_or_else(|| anyhow::anyhow!("name an image that the engine has"))?;
    let rounds: u32 = arguments.next().map_or(Ok(15), |rounds| rounds.parse())?;
    let directory = tempfile::tempdir()?;
    let _lock = neargate::store::Lock::acquire(directory.path())?;
    let runtime = Runtime::connect(Options {
        docker_host: None,
        instance_id: uuid::Uuid::new_v4().simple().to_string(),
        data_dir: directory.path().to_owned(),
    })
    .await?;
    let measured = measure(&runtime, &image, rounds).await;
    runtime.remove_everything().await?;
    for (what, mut times) in measured? {
        times.sort();
        println!("{what:<44} {:7.1} ms", times[times.len() / 2].as_secs_f64() * 1000.0);
    }
    Ok(())
}

async fn measure(
    runtime: &Runtime,
    image: &str,
    rounds: u32,
) -> anyhow::Result<BTreeMap<&'static str, Vec<Duration>>> {
    let docker = bollard::Docker::connect_with_defaults()?;
    let blocks: Vec<_> = (0..=255).map_while(|third| format!("10.212.{third}.0/24").parse().ok()).collect();
    let network = NetworkSpec::Own { vpc_id: "vpc-bench".to_owned(), candidates: blocks };
    let network = runtime.ensure_network(&network).await?;
    let filter = Arc::new(Filter::open());
    let mut times: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    let mut took = |what, since: Instant| times.entry(what).or_default().push(since.elapsed());

    for round in 0..rounds {
        let began = Instant::now();
        let spec = SandboxSpec {
            sandbox_id: uuid::Uuid::new_v4().simple().to_string(),
            network: network.name.clone(),
            address: Some((u32::from(network.cidr.base) + 10 + round % 200).into()),
            hostname: Some("bench".to_owned()),
            resolver: Resolver::default(),
            routes: Vec::new(),
            filter: Arc::clone(&filter),
        };
        runtime.create_sandbox(&spec).await?;
        took("3 make a sandbox (ahead, in the pool)", began);
        let began = Instant::now();
        runtime.set_filter(&spec.sandbox_id, &filter).await?;
        took("3a set another filter", began);

        let task_id = uuid::Uuid::new_v4().simple().to_string();
        let began = Instant::now();
        let task = TaskSpec {
            task_id: task_id.clone(),
            cpu: CPU,
            memory: MEMORY,
            volumes: Vec::new(),
            containers: Vec::new(),
        };
        runtime.prepare_task(&task).await?;
        runtime.resolve_image(image).await?;
        let container = ContainerSpec {
            task_id: task_id.clone(),
            sandbox_id: spec.sandbox_id.clone(),
            name: "bench".to_owned(),
            process: Process { image: image.to_owned(), ..Process::default() },
            task_cpu: CPU,
            task_memory: MEMORY,
            ..ContainerSpec::default()
        };
        let id = runtime.create_container(&container).await?;
        let created = Instant::now();
        runtime.start_container(&id).await?;
        took("2 prepare, inspect image, create, start: joined", began);
        took("2a of which start", created);
        runtime.remove_container(&id).await?;
        runtime.release_task(&task_id).await?;
        runtime.remove_sandbox(&spec.sandbox_id).await?;

        let began = Instant::now();
        let created = docker.create_container(None, on_bridge(image)).await?;
        let starting = Instant::now();
        docker.start_container(&created.id, None).await?;
        took("1 create, start: on the engine's bridge", began);
        took("1a of which start", starting);
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        docker.remove_container(&created.id, Some(options)).await?;
    }
    Ok(times)
}

fn on_bridge(image: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        host_config: Some(HostConfig {
            memory: Some(i64::from(MEMORY) << 20),
            memory_swap: Some(i64::from(MEMORY) << 20),
            cpu_period: Some(100_000),
            cpu_quota: Some(i64::from(CPU) * 100_000 / 1024),
            log_config: Some(HostConfigLogConfig { typ: Some("json-file".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
