//! The engine's events, as the runtime reports them.

use std::net::SocketAddr;

use neargate::runtime::docker::Options;
use neargate::runtime::{Event, Exit, Runtime as _, State};
use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::support::{connect, event, eventually, observed, with_world};

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_life_is_reported_by_events() {
    with_world(|world| async move {
        let mut events = world.runtime.events();
        event(&mut events, |event| (event == Event::Resync).then_some(())).await;
        let task = world.task(4, 256, 512, &[]).await;
        let id = task.run_tool("app", &["exit", "3"]).await;
        let started = event(&mut events, |event| match event {
            Event::Started { container_id, at } => Some((container_id, at)),
            _ => None,
        });
        let (started_id, started_at) = started.await;
        assert_eq!(started_id, id, "a sandbox's start is not an event");
        let (exited_id, exit) = event(&mut events, |event| match event {
            Event::Exited { container_id, exit } => Some((container_id, exit)),
            _ => None,
        })
        .await;
        assert_eq!((exited_id.as_str(), exit.code, exit.oom_killed), (id.as_str(), 3, false));
        assert!(exit.at >= started_at);
        let State::Exited { exit: seen, .. } = observed(&world.runtime, &id).await.state else {
            panic!("it is not seen as exited")
        };
        assert_eq!(seen.code, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_reported_and_what_happened_meanwhile_too() {
    with_world(|world| async move {
        let task = world.task(4, 256, 512, &[]).await;
        let server = task.run_tool("server", &["serve", "8080", "bye then"]).await;
        // The same instance, over a connection to the engine that can be cut: over TCP, as with a remote engine.
        let way = Way::open().await;
        let options =
            Options { docker_host: Some(format!("tcp://{}", way.address)), ..world.options.clone() };
        let distant = connect(options).await.unwrap();
        assert_eq!(distant.info().await.unwrap().limits, "per container");
        let mut events = distant.events();
        event(&mut events, |event| (event == Event::Resync).then_some(())).await;
        let before = task.run_tool("before", &["exit", "0"]).await;
        event(&mut events, |event| exit_of(event, &before)).await;

        way.close();
        task.output(task.spec("client", &["say", "bye", "127.0.0.1:8080"]).await).await;
        crate::support::exit(&world.runtime, &server).await;
        way.reopen().await;

        let mut resynchronised = false;
        let exit = event(&mut events, |event| {
            resynchronised |= event == Event::Resync;
            exit_of(event, &server)
        })
        .await;
        assert_eq!(exit.code, 0);
        assert!(resynchronised, "a resync is reported after events were missed");
    })
    .await;
}

fn exit_of(event: Event, id: &str) -> Option<Exit> {
    match event {
        Event::Exited { container_id, exit } if container_id == id => Some(exit),
        _ => None,
    }
}

/// A proxy to the engine's socket over TCP.
struct Way {
    address: SocketAddr,
    carrier: Mutex<AbortHandle>,
}

impl Way {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { address: listener.local_addr().unwrap(), carrier: Mutex::new(carry(listener)) }
    }

    /// Ends every connection, and accepts no more.
    fn close(&self) {
        self.carrier.lock().abort();
    }

    async fn reopen(&self) {
        let listener = eventually("the port to be free again", async || {
            TcpListener::bind(self.address).await.map_err(|error| error.to_string())
        })
        .await;
        *self.carrier.lock() = carry(listener);
    }
}

fn carry(listener: TcpListener) -> AbortHandle {
    let carrier = async move {
        // Connections end when their set is dropped.
        let mut connections = JoinSet::new();
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = UnixStream::connect("/var/run/docker.sock").await.unwrap();
            connections.spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    };
    tokio::spawn(carrier).abort_handle()
}
