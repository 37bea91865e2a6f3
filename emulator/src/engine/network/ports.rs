//! Published ports: what running tasks map, on the host's loopback, forwarded to the tasks' addresses.
//!
//! A container engine fixes published ports when a sandbox is created, before its task is known; so the emulator listens
//! itself. A port that is taken, or that we may not open, is replaced by a free one. Each is reported as a network binding.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::engine::changes::{Change, Reader};
use crate::engine::task::{PortMapping, Status, Task, Transport};

/// After an accept that failed (too many open files), before the next.
const AGAIN: Duration = Duration::from_millis(100);

/// A UDP client that received no response for this long is forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// The largest datagram.
const DATAGRAM: usize = 65_536;

/// The address of a container's port on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    pub container_port: u16,
    pub host: SocketAddr,
    pub protocol: Transport,
}

/// The open ports of all tasks.
#[derive(Debug)]
pub(in crate::engine) struct Ports {
    clock: Clock,
    /// By task ARN.
    open: Mutex<HashMap<String, Open>>,
}

/// The open ports of a task; dropped, they are closed and their connections cut.
#[derive(Debug, Default)]
struct Open {
    /// With the container's index.
    bindings: Vec<(usize, Binding)>,
    forwarders: JoinSet<()>,
}

/// Ports are open before their task is seen RUNNING.
impl Reader for Ports {
    fn read(&self, change: &Change) {
        match change {
            Change::Task(task) => self.follow(task),
            // They stopped long ago.
            Change::Forgotten(_) => {}
            Change::Reset => self.close_all(),
        }
    }
}

impl Ports {
    pub(in crate::engine) fn new(clock: Clock) -> Self {
        Self { clock, open: Mutex::default() }
    }

    /// Opens the ports of a task that is RUNNING, and closes those of a task that is not.
    fn follow(&self, task: &Task) {
        let mut all = self.open.lock();
        match (task.last_status == Status::Running, task.attachment.private_ipv4_address) {
            (true, Some(address)) => {
                all.entry(task.arn.clone()).or_insert_with(|| self.open(task, address));
            }
            _ => drop(all.remove(&task.arn)),
        }
    }

    pub(in crate::engine) fn of(&self, arn: &str) -> Vec<(usize, Binding)> {
        self.open.lock().get(arn).map(|open| open.bindings.clone()).unwrap_or_default()
    }

    pub(in crate::engine) fn close_all(&self) {
        self.open.lock().clear();
    }

    fn open(&self, task: &Task, address: Ipv4Addr) -> Open {
        let mut open = Open::default();
        let containers = task.spec.containers.iter().enumerate();
        let ports =
            containers.flat_map(|(index, spec)| spec.port_mappings.iter().map(move |port| (index, port)));
        for (container, mapping) in ports {
            let PortMapping { container_port, protocol } = *mapping;
            let to = SocketAddr::from((address, container_port));
            let bound = match protocol {
                Transport::Tcp => listen(container_port).map(|(listener, host)| {
                    open.forwarders.spawn(forward_streams(listener, to, self.clock.clone()));
                    host
                }),
                Transport::Udp => receive(container_port).map(|(socket, host)| {
                    open.forwarders.spawn(forward_datagrams(socket, to, self.clock.clone()));
                    host
                }),
            };
            match bound {
                Ok(host) => {
                    info!(task = %task.id, container_port, ?protocol, %host, "published a port");
                    open.bindings.push((container, Binding { container_port, host, protocol }));
                }
                Err(error) => {
                    let task = &task.id;
                    warn!(%task, container_port, ?protocol, %error, "could not publish a port; the host cannot reach it");
                }
            }
        }
        open
    }
}

/// `open` on the port, else on a free one.
fn on_loopback<T>(port: u16, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    open(at(port)).or_else(|_| open(at(0)))
}

fn listen(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = on_loopback(port, std::net::TcpListener::bind)?;
    listener.set_nonblocking(true)?;
    let host = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, host))
}

fn receive(port: u16) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = on_loopback(port, std::net::UdpSocket::bind)?;
    socket.set_nonblocking(true)?;
    let host = socket.local_addr()?;
    Ok((UdpSocket::from_std(socket)?, host))
}

async fn forward_streams(listener: TcpListener, to: SocketAddr, clock: Clock) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(forward_stream(stream, to));
                }
                Err(error) => {
                    warn!(%to, %error, "could not accept a connection to a published port; retrying in {AGAIN:?}");
                    clock.sleep(AGAIN).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn forward_stream(mut client: TcpStream, to: SocketAddr) {
    let forwarded = async {
        let mut task = TcpStream::connect(to).await?;
        client.set_nodelay(true)?;
        task.set_nodelay(true)?;
        tokio::io::copy_bidirectional(&mut client, &mut task).await
    };
    if let Err(error) = forwarded.await {
        debug!(%to, %error, "a connection to a published port failed");
    }
}

/// One socket to the task per client, so that each client gets its own responses.
async fn forward_datagrams(socket: UdpSocket, to: SocketAddr, clock: Clock) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut responses = JoinSet::new();
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut datagram) => received,
            Some(idle) = responses.join_next() => {
                if let Ok(client) = idle {
                    clients.remove(&client);
                }
                continue;
            }
        };
        let forwarded = async {
            let (length, client) = received?;
            let task = match clients.get(&client) {
                Some(task) => Arc::clone(task),
                None => {
                    let task = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?);
                    task.connect(to).await?;
                    responses.spawn(forward_responses(Arc::clone(&task), Arc::clone(&socket), client));
                    clients.insert(client, Arc::clone(&task));
                    task
                }
            };
            task.send(&datagram[..length]).await
        };
        if let Err(error) = forwarded.await {
            debug!(%to, %error, "lost a datagram to a published port");
            clock.sleep(AGAIN).await;
        }
    }
}

/// Forwards the task's responses to a client. Returns the client after [`IDLE`] without a response.
async fn forward_responses(task: Arc<UdpSocket>, socket: Arc<UdpSocket>, client: SocketAddr) -> SocketAddr {
    let mut datagram = vec![0; DATAGRAM];
    while let Ok(Ok(length)) = tokio::time::timeout(IDLE, task.recv(&mut datagram)).await {
        if socket.send_to(&datagram[..length], client).await.is_err() {
            break;
        }
    }
    client
}
