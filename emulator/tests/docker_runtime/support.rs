//! A fresh Neargate instance on the real engine for each test, removed after it in any case.

use std::future::Future;
use std::net::Ipv4Addr;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt};
use neargate::runtime::docker::{Options, Runtime};
use neargate::runtime::logs::Cursor;
use neargate::runtime::{
    Cidr, ContainerSpec, Error, Event, Exit, Filter, Frame, Network, NetworkSpec, Observed, Process,
    Resolver, Runtime as _, SandboxSpec, State, Stream, TaskSpec,
};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

pub(crate) const VPC: &str = "vpc-0a1b2c3d";
const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docker_runtime/tool.rs");
const TOOL_REPOSITORY: &str = "neargate-test-tool";
/// A minute; longer by the factor `NEARGATE_SLOWNESS` on a machine that is emulated, as in the end-to-end suites.
static DEADLINE: LazyLock<Duration> = LazyLock::new(|| {
    let times = std::env::var("NEARGATE_SLOWNESS").map_or(1, |times| times.parse().expect("a whole number"));
    Duration::from_secs(60) * times
});

/// One instance and its network.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) options: Options,
    pub(crate) network: Network,
}

/// Runs `test` in a world of its own. Without an engine it is skipped, except in CI.
pub(crate) async fn with_world<F: Future<Output = ()>>(test: impl FnOnce(Arc<World>) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        docker_host: None,
        instance_id: uuid::Uuid::new_v4().simple().to_string(),
        data_dir: directory.path().to_owned(),
    };
    // As a server does: it shows a concurrent `neargate clean` that this instance is alive.
    let _lock = neargate::store::Lock::acquire(directory.path()).unwrap();
    let Some(runtime) = connect(options.clone()).await else { return };
    let network = runtime.ensure_network(&own(VPC, blocks())).await.unwrap();
    let world = Arc::new(World { runtime: runtime.clone(), options, network });
    let outcome = AssertUnwindSafe(test(world)).catch_unwind().await;
    runtime.remove_everything().await.unwrap();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// The runtime; `None` if no engine responds on a laptop.
pub(crate) async fn connect(options: Options) -> Option<Runtime> {
    match Runtime::connect(options).await {
        Ok(runtime) => Some(runtime),
        Err(Error::Unreachable { host, reason }) if std::env::var_os("CI").is_none() => {
            eprintln!("SKIPPED: no container engine at {host}: {reason}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Small blocks, for tests run side by side.
pub(crate) fn blocks() -> Vec<Cidr> {
    (0..=255).map(|third| format!("10.213.{third}.0/24").parse().unwrap()).collect()
}

/// A network of the instance's own.
pub(crate) fn own(vpc_id: &str, candidates: Vec<Cidr>) -> NetworkSpec {
    NetworkSpec::Own { vpc_id: vpc_id.to_owned(), candidates }
}

/// A sandbox that lets everything through.
pub(crate) fn sandbox(network: &Network, address: Option<Ipv4Addr>) -> SandboxSpec {
    SandboxSpec {
        sandbox_id: uuid::Uuid::new_v4().simple().to_string(),
        network: network.name.clone(),
        address,
        hostname: address.map(|address| format!("ip-{}", address.to_string().replace('.', "-"))),
        resolver: Resolver::default(),
        routes: Vec::new(),
        filter: Arc::new(Filter::open()),
    }
}

impl World {
    /// The `n`th address of the network.
    pub(crate) fn address(&self, n: u32) -> Ipv4Addr {
        (u32::from(self.network.cidr.base) + n).into()
    }

    /// A sandbox with the `n`th address, and a task of this size prepared.
    pub(crate) async fn task(&self, n: u32, cpu: u32, memory: u32, volumes: &[&str]) -> Task<'_> {
        self.task_in(&sandbox(&self.network, Some(self.address(n))), cpu, memory, volumes).await
    }

    /// A task of this size prepared in this sandbox.
    pub(crate) async fn task_in(
        &self,
        spec: &SandboxSpec,
        cpu: u32,
        memory: u32,
        volumes: &[&str],
    ) -> Task<'_> {
        let sandbox = self.runtime.create_sandbox(spec).await.unwrap();
        let task_id = uuid::Uuid::new_v4().simple().to_string();
        let volumes = volumes.iter().map(|name| (*name).to_owned()).collect();
        self.runtime
            .prepare_task(&TaskSpec {
                task_id: task_id.clone(),
                cpu,
                memory,
                volumes,
                containers: Vec::new(),
            })
            .await
            .unwrap();
        Task { world: self, task_id, sandbox_id: sandbox.sandbox_id, address: sandbox.address, cpu, memory }
    }
}

pub(crate) struct Task<'a> {
    pub(crate) world: &'a World,
    pub(crate) task_id: String,
    pub(crate) sandbox_id: String,
    pub(crate) address: Ipv4Addr,
    cpu: u32,
    memory: u32,
}

impl<'a> Task<'a> {
    /// A task in an existing sandbox.
    pub(crate) fn joined(world: &'a World, sandbox_id: &str, address: Ipv4Addr) -> Self {
        let task_id = uuid::Uuid::new_v4().simple().to_string();
        Self { world, task_id, sandbox_id: sandbox_id.to_owned(), address, cpu: 256, memory: 512 }
    }

    /// The name of its sandbox on the engine.
    pub(crate) fn sandbox_name(&self) -> String {
        sandbox_name(self.world, &self.sandbox_id)
    }

    /// What the tool prints for these arguments, in its own container.
    pub(crate) async fn prints(&self, words: &[&str]) -> String {
        let name = uuid::Uuid::new_v4().simple().to_string();
        self.output(self.spec(&name, words).await).await.trim().to_owned()
    }

    /// A container of this task that runs the tool with these arguments.
    pub(crate) async fn spec(&self, name: &str, words: &[&str]) -> ContainerSpec {
        ContainerSpec {
            task_id: self.task_id.clone(),
            sandbox_id: self.sandbox_id.clone(),
            name: name.to_owned(),
            process: Process {
                image: tool_image().await,
                command: Some(words.iter().map(|word| (*word).to_owned()).collect()),
                ..Process::default()
            },
            task_cpu: self.cpu,
            task_memory: self.memory,
            ..ContainerSpec::default()
        }
    }

    /// Creates and starts it, and looks at it.
    pub(crate) async fn run(&self, spec: ContainerSpec) -> String {
        let id = self.world.runtime.create_container(&spec).await.unwrap();
        self.world.runtime.start_container(&id).await.unwrap();
        self.world.runtime.limit_cpu(&self.task_id, self.cpu).await.unwrap();
        // As the emulator does; the runtime remembers its main process.
        self.world.runtime.inspect_container(&id).await.unwrap();
        id
    }

    pub(crate) async fn run_tool(&self, name: &str, words: &[&str]) -> String {
        self.run(self.spec(name, words).await).await
    }

    /// Its standard output, to the end of the container.
    pub(crate) async fn output(&self, spec: ContainerSpec) -> String {
        let id = self.run(spec).await;
        let frames = whole_log(&self.world.runtime, &id).await;
        let text = |frame: &Frame| String::from_utf8_lossy(&frame.bytes).into_owned();
        let errors: String = frames.iter().filter(|frame| frame.stream == Stream::Stderr).map(text).collect();
        assert_eq!(errors, "", "what it wrote to its standard error");
        frames.iter().map(text).collect()
    }
}

pub(crate) fn sandbox_name(world: &World, sandbox_id: &str) -> String {
    format!("neargate-{}-sandbox-{sandbox_id}", &world.options.instance_id[..8])
}

/// Every frame until the container has ended.
pub(crate) async fn whole_log(runtime: &Runtime, id: &str) -> Vec<Frame> {
    let frames = runtime.logs(id, &Cursor::default()).try_collect();
    tokio::time::timeout(*DEADLINE, frames).await.expect("the container ends").unwrap()
}

/// Waits until the container has ended.
pub(crate) async fn exit(runtime: &Runtime, id: &str) -> Exit {
    // Its log ends when it does.
    let mut log = runtime.logs(id, &Cursor::default());
    let drained = async { while log.try_next().await.unwrap().is_some() {} };
    tokio::time::timeout(*DEADLINE, drained).await.expect("the container ends");
    match runtime.inspect_container(id).await.unwrap().map(|observed| observed.state) {
        Some(State::Exited { exit, .. }) => exit,
        other => panic!("the log of {id} has ended and its state is {other:?}"),
    }
}

/// Waits until the container has written this.
pub(crate) async fn wait_for_output(runtime: &Runtime, id: &str, text: &str) {
    let mut log = runtime.logs(id, &Cursor::default());
    let mut output = String::new();
    let search = async {
        while let Some(frame) = log.try_next().await.unwrap() {
            output += &String::from_utf8_lossy(&frame.bytes);
            if output.contains(text) {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(*DEADLINE, search).await;
    assert_eq!(found, Ok(true), "waited for {text:?}; the output is {output:?}");
}

/// Waits for the first event that `wanted` accepts.
pub(crate) async fn event<T>(
    events: &mut (impl futures::Stream<Item = Event> + Unpin),
    mut wanted: impl FnMut(Event) -> Option<T>,
) -> T {
    let mut passed = Vec::new();
    let found = async {
        while let Some(event) = events.next().await {
            passed.push(event.clone());
            if let Some(found) = wanted(event) {
                return found;
            }
        }
        unreachable!("the events do not end")
    };
    match tokio::time::timeout(*DEADLINE, found).await {
        Ok(found) => found,
        Err(_) => panic!("the awaited event did not arrive; these did: {passed:?}"),
    }
}

/// Waits until `probe` returns something, with a deadline.
pub(crate) async fn eventually<T, F: Future<Output = Result<T, String>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + *DEADLINE;
    loop {
        match probe().await {
            Ok(found) => return found,
            Err(last) if tokio::time::Instant::now() > deadline => panic!("waited for {what}; last: {last}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

pub(crate) async fn observed(runtime: &Runtime, id: &str) -> Observed {
    runtime.inspect_container(id).await.unwrap().expect("the container exists")
}

/// An image that contains only the tool, built by this toolchain. Its tag is the hash of its source, so that it is
/// built once.
pub(crate) async fn tool_image() -> String {
    static IMAGE: OnceCell<String> = OnceCell::const_new();
    let made = IMAGE.get_or_init(|| async {
        let hash = Sha256::digest(std::fs::read(TOOL).unwrap());
        let tag: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let reference = format!("{TOOL_REPOSITORY}:{tag}");
        if docker().inspect_image(&reference).await.is_err() {
            import(&tag, &build_tool()).await;
        }
        reference
    });
    made.await.clone()
}

/// Imports the image of the tool: a file if the tests mount volumes, a variable, and a failing health check.
async fn import(tag: &str, program: &[u8]) {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content, mode) in [("tool", program, 0o755), ("data/seed", b"from the image", 0o644)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        archive.append_data(&mut header, name, content).unwrap();
    }
    let mut options = bollard::query_parameters::CreateImageOptionsBuilder::default()
        .from_src("-")
        .repo(TOOL_REPOSITORY)
        .tag(tag)
        .build();
    options.changes = vec![
        r#"ENTRYPOINT ["/tool"]"#.to_owned(),
        "ENV FROM_IMAGE=yes".to_owned(),
        r#"HEALTHCHECK --interval=1s CMD ["/tool", "exit", "1"]"#.to_owned(),
    ];
    let body = bollard::body_full(archive.into_inner().unwrap().into());
    docker().create_image(Some(options), Some(body), None).try_collect::<Vec<_>>().await.unwrap();
}

/// The engine itself, for what only a user could do to it.
pub(crate) fn docker() -> bollard::Docker {
    bollard::Docker::connect_with_defaults().unwrap()
}

fn build_tool() -> Vec<u8> {
    let output = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tool-{}", std::process::id()));
    let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args([
            "--edition=2024",
            "-C",
            "target-feature=+crt-static",
            "-C",
            "opt-level=1",
            "-C",
            "strip=symbols",
            "-o",
        ])
        .arg(&output)
        .arg(TOOL)
        .status()
        .unwrap();
    assert!(status.success(), "the tool is built: {status}");
    let program = std::fs::read(&output).unwrap();
    std::fs::remove_file(output).unwrap();
    program
}
