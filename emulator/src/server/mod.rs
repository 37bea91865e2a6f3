//! The server: connects store, runtime, engine and router, listens, and shuts down in order.
//!
//! ```text
//! bind ─▶ open the data directory ─▶ connect to the container engine ─▶ start the engine ─▶ "listening" ─▶ serve
//! SIGTERM ─▶ accept no more ─▶ requests finish, with a deadline ─▶ Engine::shutdown
//! ```

mod connection;
mod door;
mod guard;
mod open_files;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::connection::Connections;
pub use self::door::Door;
pub use self::guard::Guard;
use crate::api::{Caller, Emulator};
use crate::clock::Clock;
use crate::cost::Prices;
use crate::engine::vpc::{self, Vpc};
use crate::engine::{self, Engine};
use crate::options::{self, MEMORY, Serve};
use crate::runtime::docker::kind;
use crate::runtime::{self, Runtime};
use crate::store::{self, Store};

/// How long the container engine may take to respond at the start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long running requests may take to finish at a shutdown.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after an accept that failed (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    door: Door,
    engine: Engine,
    /// The largest number of concurrent connections.
    places: usize,
    /// Removed with the server, if the data directory is a temporary one.
    _temporary: Option<TempDir>,
}

impl Server {
    /// Does only what is necessary before the first request. The tasks of an earlier process are adopted and the sandbox
    /// pool is filled in the background.
    ///
    /// # Errors
    /// The port or the data directory is in use, or no container engine responds; each message contains what to do.
    pub async fn start(options: Serve) -> anyhow::Result<Self> {
        let Serve {
            listen,
            data_dir,
            region,
            account,
            docker_host,
            ephemeral,
            adopt,
            vpc,
            vpc_from_kind,
            strict_vpc,
            activating,
            sandbox_pool,
            allow_hosts,
            publish_ports,
            prices,
            runtime,
        } = options;
        let open_files = open_files::raise();
        let prices = prices.as_deref().map_or_else(|| Ok(Prices::builtin()), read_prices)?;
        let listener = bind(listen).await?;
        let address = listener.local_addr().context("reading the address that it listens on")?;

        if !address.ip().is_loopback() {
            tracing::warn!(%address, "every program that can reach this address can start containers here");
        }

        let in_memory = data_dir.as_ref().is_some_and(|dir| dir.as_os_str() == MEMORY);
        let temporary = in_memory.then(temporary).transpose()?;
        let data_dir = match (&temporary, data_dir) {
            (Some(temporary), _) => temporary.path().to_owned(),
            (None, Some(data_dir)) => data_dir,
            (None, None) => options::data_dir()?,
        };
        let store = open(&data_dir, adopt).await?;

        let clock = Clock::system();
        let vpc = match (vpc, vpc_from_kind) {
            (Some(file), _) => vpc::Choice::Given(Box::new(vpc::file::read(&file)?)),
            (None, Some(cluster)) => around_kind(&cluster, strict_vpc, docker_host.as_deref()).await?,
            (None, None) => vpc::Choice::Builtin { strict: strict_vpc },
        };
        let runtime = reach(runtime, &clock, docker_host, &store, data_dir).await?;
        let options = engine::Options {
            region: region.clone(),
            vpc,
            activating,
            sandbox_pool,
            ephemeral: ephemeral || in_memory,
            publish_ports,
        };
        let engine = Engine::start(options, store, runtime, clock).await?;

        let emulator =
            Emulator { engine: engine.clone(), account: account.into(), region: region.into(), prices };
        let door = Door::new(emulator, Guard::new(Some(address), &allow_hosts));
        let places = open_files::connections(open_files);
        Ok(Self { listener, address, door, engine, places, _temporary: temporary })
    }

    /// The address that it listens on, with the real port, also if it was started with port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `end` returns, then shuts down in order.
    ///
    /// # Errors
    /// The objects that the engine could not remove.
    pub async fn run(self, end: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, address: _, door, engine, places, _temporary } = self;
        let ending = CancellationToken::new();
        let served = Connections { service: door, clock: engine.clock().clone(), ending: ending.clone() };
        let connections = TaskTracker::new();
        let places = Arc::new(Semaphore::new(places));
        let mut end = pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                accepted = accept(&listener, &places) => match accepted {
                    Ok((stream, place)) => {
                        let served = served.clone();
                        connections.spawn(async move {
                            served.serve(stream, Caller::Host).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection; retrying in {ACCEPT_PAUSE:?}");
                        engine.clock().sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        tracing::info!("shutting down: no more requests are accepted");
        ending.cancel();
        connections.close();
        if tokio::time::timeout(FINISH_TIMEOUT, connections.wait()).await.is_err() {
            tracing::warn!(
                open = connections.len(),
                "shutting down without waiting longer for the running requests"
            );
        }
        engine.shutdown().await.context("ending the engine")
    }
}

/// Waits for a free place, then for the next connection.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // A small response must not wait for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY on a connection; small responses may be delayed");
    }
    Ok((stream, place))
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "another program has that port; choose another by --listen",
            io::ErrorKind::PermissionDenied => "ports below 1024 require root; choose another by --listen",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address; choose another by --listen",
            _ => return anyhow::Error::new(error).context(format!("cannot listen on {address}")),
        };
        anyhow::anyhow!("cannot listen on {address}: {hint}")
    })
}

fn temporary() -> anyhow::Result<TempDir> {
    let prefix = format!("neargate-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().context("cannot create a temporary data directory")
}

fn read_prices(file: &Path) -> anyhow::Result<Prices> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the prices of {name}"))?;
    Prices::parse(&text).map_err(|invalid| anyhow::anyhow!("cannot use the prices of {name}, {invalid}"))
}

async fn open(data_dir: &Path, adopt: bool) -> anyhow::Result<Store> {
    Store::open_as(data_dir, adopt).await.map_err(|error| match error {
        store::Error::Locked { .. } => {
            anyhow::anyhow!("{error}; stop that one or choose another by --data-dir")
        }
        other => other.into(),
    })
}

async fn around_kind(name: &str, strict: bool, docker_host: Option<&str>) -> anyhow::Result<vpc::Choice> {
    let cluster = kind::find(docker_host, name).await?;
    tracing::info!(network = cluster.network, block = %cluster.cidr, "using the VPC of the kind cluster {name}");
    Ok(vpc::Choice::Given(Box::new(Vpc::around_kind(&cluster, strict))))
}

async fn reach(
    which: options::Runtime,
    clock: &Clock,
    docker_host: Option<String>,
    store: &Store,
    data_dir: PathBuf,
) -> anyhow::Result<Arc<dyn Runtime>> {
    match which {
        options::Runtime::Simulated => Ok(Arc::new(runtime::simulated::Runtime::new(clock.clone()))),
        options::Runtime::Docker => {
            let options = runtime::docker::Options {
                docker_host,
                instance_id: store.instance_id().to_owned(),
                data_dir,
            };
            let connected = clock.timeout(CONNECT_TIMEOUT, runtime::docker::Runtime::connect(options)).await;
            let docker = connected
                .with_context(|| {
                    format!("the container engine did not respond within {} s", CONNECT_TIMEOUT.as_secs())
                })
                .and_then(|connected| connected.map_err(anyhow::Error::new))
                .map_err(|error| {
                    anyhow::anyhow!("{error:#}; run `neargate doctor` to find out how to fix it")
                })?;
            Ok(Arc::new(docker))
        }
    }
}
