//! The program of a sandbox: the requests to it, and the connections that it forwards. It is reached through the engine's
//! attach: so it works on a remote engine, needs no mount, and a new process just attaches again.
//!
//! ```text
//! connect ─▶ inspect: its label with the protocol; its address
//!            lasting link: hello ─▶ requests (netlink, reserve, listen)   connections ─▶ Calls
//!            an older release: one attach per request, no calls
//! ```
//!
//! A process connects to each sandbox once: after it has created it, or at the first request to one that it has adopted.
//! Every request ends: with a response, an error, or after [`TIMEOUT`].

mod connection;
mod legacy;
pub(crate) mod line;
mod link;
mod session;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use self::line::{PROTOCOL, hex};
use self::link::Link;
use self::session::Callee;
use super::client::failed;
use super::names;
use super::netlink::{self, Batch, Interface};
use super::{Inner, resolvers};
use crate::runtime::{Error, Filter, Inward};

/// The timeout of a request, which takes some milliseconds; longer than a busy engine needs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long connecting to a program may take: the engine's own response, the first attach, and a request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest batch, in bytes: 100,000 addresses with gaps between them. The program keeps a line of twice as many bytes, and
/// the kernel counts the addresses as the sandbox's memory.
const LARGEST: usize = 4 * 1024 * 1024;

/// The one interface of a sandbox on a network.
const INTERFACE: &str = "eth0";

/// The programs that this process is connected to, by sandbox.
#[derive(Debug, Default)]
pub(super) struct Programs(Mutex<HashMap<String, Arc<OnceCell<Arc<Program>>>>>);

impl Programs {
    fn cell(&self, sandbox_id: &str) -> Arc<OnceCell<Arc<Program>>> {
        Arc::clone(self.0.lock().entry(sandbox_id.to_owned()).or_default())
    }

    /// The sandbox is removed: its link ends.
    pub(super) fn forget(&self, sandbox_id: &str) {
        self.0.lock().remove(sandbox_id);
    }

    pub(super) fn forget_all(&self) {
        self.0.lock().clear();
    }
}

/// A program, and the state of its sandbox.
#[derive(Debug)]
pub(super) struct Program {
    /// The sandbox's name on the engine.
    name: String,
    way: Way,
    /// `None` if the sandbox is on no network.
    interface: Option<Interface>,
    /// The name servers that the engine's resolver queries from inside.
    resolvers: Vec<Ipv4Addr>,
    /// Whether the filter also applies to raw sockets; the error is the reason why not.
    pub(super) guarded: Result<(), String>,
    /// [`Filter::strict`] of the filter that was set last.
    strict: AtomicBool,
}

#[derive(Debug)]
enum Way {
    Link(Link),
    /// The program is of an older release: one attach per request.
    Legacy(bollard::Docker),
}

impl Inner {
    /// The program of a sandbox that this process has created or adopted.
    pub(super) async fn program(&self, sandbox_id: &str) -> Result<Arc<Program>, Error> {
        let cell = self.programs.cell(sandbox_id);
        let name = self.instance.sandbox(sandbox_id);
        let late =
            refused(&name)(format!("the engine did not respond within {} s", CONNECT_TIMEOUT.as_secs()));
        let connected = cell.get_or_try_init(|| async {
            let inspected = self.docker.inspect_container(&name, None).await;
            let inspected = inspected.map_err(failed(&self.host, format!("inspect the sandbox {name}")))?;
            if inspected.state.as_ref().and_then(|state| state.running) != Some(true) {
                return Err(refused(&name)("it is not running".to_owned()));
            }
            let labels = inspected.config.as_ref().and_then(|config| config.labels.as_ref());
            let link = match labels.and_then(|labels| labels.get(names::PROTOCOL)).map(String::as_str) {
                Some(PROTOCOL) => Some(self.link(sandbox_id)),
                None => None,
                Some(other) => {
                    return Err(Error::Failed {
                        attempted: format!("instruct the sandbox {name}"),
                        reason: format!("its program is of another release, with protocol {other}"),
                    });
                }
            };
            self.connect_program(name, &inspected, link).await
        });
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connected).await;
        let connected = connected.unwrap_or(Err(late)).map(Arc::clone);
        if connected.is_err() {
            self.programs.forget(sandbox_id);
        }
        connected
    }

    /// The program of a sandbox that was just started, and the engine's inspection of the sandbox.
    pub(super) async fn new_program(
        &self,
        sandbox_id: &str,
    ) -> Result<(Arc<Program>, ContainerInspectResponse), Error> {
        let name = self.instance.sandbox(sandbox_id);
        let link = self.link(sandbox_id);
        let (inspected, hello) = tokio::join!(self.docker.inspect_container(&name, None), link.hello());
        let inspected = inspected.map_err(failed(&self.host, format!("inspect the sandbox {name}")))?;
        hello.map_err(refused(&name))?;
        let cell = self.programs.cell(sandbox_id);
        let connected = cell.get_or_try_init(|| self.connect_program(name, &inspected, Some(link))).await;
        Ok((connected.map(Arc::clone)?, inspected))
    }

    fn link(&self, sandbox_id: &str) -> Link {
        let callee = Callee { sandbox_id: sandbox_id.to_owned(), calls: Arc::clone(&self.calls) };
        Link::new(self.docker.clone(), self.instance.sandbox(sandbox_id), callee)
    }

    /// Reads the properties of a sandbox, and sets in it what does not depend on a task.
    async fn connect_program(
        &self,
        name: String,
        inspected: &ContainerInspectResponse,
        link: Option<Link>,
    ) -> Result<Arc<Program>, Error> {
        let interface = interface(inspected);
        let (way, resolv_conf) = match link {
            Some(link) => {
                let resolv_conf = link.hello().await.map_err(refused(&name))?;
                (Way::Link(link), String::from_utf8_lossy(&resolv_conf).into_owned())
            }
            // Its program does not report the file, and its task may have changed it since.
            None => (Way::Legacy(self.docker.clone()), String::new()),
        };
        let resolvers = resolvers::queried_inside(&resolv_conf).unwrap_or_else(|| self.resolvers_of_host());
        let (guarded, inward) = tokio::join!(
            async {
                match &interface {
                    Some(interface) => way.guard(&name, interface).await,
                    None => Ok(()),
                }
            },
            way.listen(&name)
        );
        if let Err(reason) = inward {
            tracing::warn!(
                sandbox = name,
                reason,
                "could not listen in the sandbox; its task cannot reach the emulator's endpoints"
            );
        }
        if let Err(reason) = &guarded {
            tracing::debug!(sandbox = name, reason, "the sandbox can't enforce its filter on raw sockets");
        }
        Ok(Arc::new(Program { name, way, interface, resolvers, guarded, strict: AtomicBool::new(true) }))
    }

    /// Engines before 25 do not report the name servers that their resolver queries. They read them from their host's file.
    fn resolvers_of_host(&self) -> Vec<Ipv4Addr> {
        if self.facts.local { resolvers::of_this_host() } else { Vec::new() }
    }
}

impl Program {
    /// Sends each batch to the kernel in the sandbox. `attempted` is their purpose, for errors.
    pub(super) async fn instruct(&self, attempted: &str, batches: &[Batch]) -> Result<(), Error> {
        let done = self.way.instruct(&self.name, batches).await;
        done.map_err(|reason| Error::Failed {
            attempted: format!("{attempted} of the sandbox {}", self.name),
            reason,
        })
    }

    /// The messages that set the filter in this sandbox, and from now on its strictness.
    pub(super) fn filter(&self, filter: &Filter) -> Batch {
        self.strict.store(filter.strict, Ordering::Relaxed);
        netlink::filter(filter, self.interface.as_ref(), &self.resolvers)
    }

    /// Whether a container of its task may have raw sockets: the filter is enforced on them, or is not strict.
    pub(super) fn may_have_raw_sockets(&self) -> bool {
        self.guarded.is_ok() || !self.strict.load(Ordering::Relaxed)
    }

    /// Whether a filter could be enforced on raw sockets in a sandbox on a network. This one is on no network.
    pub(super) async fn try_guard(&self) -> Result<(), String> {
        let loopback = Interface { name: "lo".to_owned(), mac_address: [0; 6], address: Ipv4Addr::LOCALHOST };
        self.way.guard(&self.name, &loopback).await
    }
}

impl Way {
    async fn instruct(&self, name: &str, batches: &[Batch]) -> Result<(), String> {
        if let Some(batch) = batches.iter().find(|batch| batch.bytes.len() > LARGEST) {
            return Err(format!("it has {} bytes, and at most {LARGEST} can be set", batch.bytes.len()));
        }
        match self {
            Self::Link(link) => {
                let requests = batches.iter().map(|batch| async move {
                    let arguments = format!("{} {}", batch.protocol, hex(&batch.bytes));
                    batch.done(&link.request("netlink", arguments).await?)
                });
                // Sent and processed in this order, without waiting for the response in between.
                futures::future::try_join_all(requests).await.map(drop)
            }
            Self::Legacy(docker) => legacy::send(docker, name, batches).await,
        }
    }

    /// Enforces the filter on raw sockets: the guard checks frames, and AF_XDP's queues are taken by the program.
    async fn guard(&self, name: &str, interface: &Interface) -> Result<(), String> {
        let batch = [netlink::guard(interface)];
        let Self::Link(link) = self else {
            self.instruct(name, &batch).await?;
            return Err("its program is of an older release".to_owned());
        };
        let (guarded, reserved) =
            tokio::join!(self.instruct(name, &batch), link.request("reserve", interface.name.clone()));
        guarded.map_err(|reason| {
            format!("the kernel can't filter what leaves an interface (requires Linux 5.16): {reason}")
        })?;
        reserved.map(drop).map_err(|reason| format!("AF_XDP: {reason}"))
    }

    /// Lets the task connect to the addresses of [`Inward`].
    async fn listen(&self, name: &str) -> Result<(), String> {
        let Self::Link(link) = self else { return Ok(()) };
        let addresses = netlink::addresses(Inward::ALL.iter().map(|inward| *inward.address().ip()));
        self.instruct(name, &[addresses, netlink::inward()]).await?;
        let listen = Inward::ALL.map(|inward| {
            let address = SocketAddrV4::new(*inward.address().ip(), netlink::port(inward));
            link.request("listen", format!("{} {address}", Callee::name(inward)))
        });
        futures::future::try_join_all(listen).await.map(drop)
    }
}

fn refused(name: &str) -> impl Fn(String) -> Error {
    move |reason| Error::Failed { attempted: format!("instruct the sandbox {name}"), reason }
}

/// The address and the MAC address of the sandbox on its network.
fn interface(sandbox: &ContainerInspectResponse) -> Option<Interface> {
    let networks = sandbox.network_settings.as_ref()?.networks.as_ref()?;
    networks.values().find_map(|endpoint| {
        Some(Interface {
            name: INTERFACE.to_owned(),
            mac_address: mac_address(endpoint.mac_address.as_deref()?)?,
            address: endpoint.ip_address.as_deref()?.parse().ok()?,
        })
    })
}

/// Parses `02:42:ac:1f:00:04`.
fn mac_address(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}
