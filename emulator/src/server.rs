//! The server: wires store, runtime, engine and router together, listens, and ends in order.
//!
//! ```text
//! bind ─▶ open the data directory ─▶ reach the container engine ─▶ start the engine ─▶ "listening" ─▶ serve
//! SIGTERM ─▶ accept no more ─▶ requests finish, with a deadline ─▶ Engine::shutdown
//! ```

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, Emulator, Guard};
use crate::clock::Clock;
use crate::cost::Prices;
use crate::engine::vpc::{self, Vpc};
use crate::engine::{self, Engine};
use crate::options::{self, MEMORY, Serve};
use crate::runtime::docker::kind;
use crate::runtime::{self, Runtime};
use crate::store::{self, Store};

/// A connection that has not sent its headers after so long is closed.
const HEADERS: Duration = Duration::from_secs(30);

/// Requests that run when the server is told to end have so long to finish.
const FINISH: Duration = Duration::from_secs(10);

/// After an accept that failed (too many open files), before the next.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    engine: Engine,
    /// Removed with the server, where the data directory is a temporary one.
    _temporary: Option<TempDir>,
}

impl Server {
    /// Does everything that must be done before the first request, and no more: what an earlier process left is
    /// adopted, and the sandbox pool filled, behind the scenes.
    ///
    /// # Errors
    /// The port or the data directory is taken, or no container engine answers; each says what to do.
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
        let prices = prices.as_deref().map_or_else(|| Ok(Prices::builtin()), read_prices)?;
        let listener = bind(listen).await?;
        let address = listener.local_addr().context("asking for the address that it listens on")?;

        if !address.ip().is_loopback() {
            tracing::warn!(%address, "whoever can reach this address can start containers here");
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
        let router = api::router(emulator, Guard::new(Some(address), &allow_hosts));
        Ok(Self { listener, address, router, engine, _temporary: temporary })
    }

    /// Where it listens; the port is known even where it was asked for as 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `end` returns, then ends in order.
    ///
    /// # Errors
    /// What the engine could not put away.
    pub async fn run(self, end: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, address: _, router, engine, _temporary } = self;
        let ending = CancellationToken::new();
        let connections = TaskTracker::new();
        let mut end = pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(serve(stream, router.clone(), ending.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        engine.clock().sleep(ACCEPT_AGAIN).await;
                    }
                },
            }
        }
        drop(listener);
        tracing::info!("ending: no more requests are accepted");
        ending.cancel();
        connections.close();
        if tokio::time::timeout(FINISH, connections.wait()).await.is_err() {
            tracing::warn!(open = connections.len(), "requests did not finish in time");
        }
        engine.shutdown().await.context("ending the engine")
    }
}

/// Serves one connection; when the server ends, it finishes the request that it has.
async fn serve(stream: TcpStream, router: Router, ending: CancellationToken) {
    // An answer of one small packet must not wait for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    builder.http2().timer(TokioTimer::new());
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(error, "a connection broke");
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "another program has that port; choose another by --listen",
            io::ErrorKind::PermissionDenied => "ports below 1024 are for root; choose another by --listen",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address; choose another by --listen",
            _ => return anyhow::Error::new(error).context(format!("cannot listen on {address}")),
        };
        anyhow::anyhow!("cannot listen on {address}: {hint}")
    })
}

fn temporary() -> anyhow::Result<TempDir> {
    let prefix = format!("neargate-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().context("cannot make a temporary data directory")
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
    tracing::info!(network = cluster.network, block = %cluster.cidr, "the VPC is that of the kind cluster {name}");
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
            let docker = runtime::docker::Runtime::connect(options)
                .await
                .map_err(|error| anyhow::anyhow!("{error}; `neargate doctor` says how to mend it"))?;
            Ok(Arc::new(docker))
        }
    }
}
