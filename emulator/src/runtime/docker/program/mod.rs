//! The program of a sandbox: its instructions, and what it hands on. Through the engine's attach, so it works on a remote
//! engine, needs no mount, and a new process just attaches again.
//!
//! ```text
//! meet ─▶ inspect: its label says what it speaks; its address
//!         link, lasting: hello ─▶ words (netlink, reserve, listen)   connections ─▶ Calls
//!         of an older release: each word an attach of its own, no calls
//! ```
//!
//! A process meets each sandbox once: when it makes it, or at its first word to one that it has adopted. Every word has an
//! end: an answer, a reason, or [`TIMEOUT`].

mod connection;
pub(crate) mod line;
mod link;
mod session;
mod word;

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

/// What takes some milliseconds; longer than a busy engine needs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What meeting a program may take: the engine's own answer, the first attach, and a word.
const MEETING: Duration = Duration::from_secs(30);

/// Bytes of a batch: 100,000 addresses that lie apart. The program holds a line of twice as many, and the kernel counts the
/// addresses as the sandbox's memory.
const LARGEST: usize = 4 * 1024 * 1024;

/// The one interface of a sandbox on a network.
const INTERFACE: &str = "eth0";

/// The programs that this process has met, by sandbox.
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

/// A program, and what stands in its sandbox.
#[derive(Debug)]
pub(super) struct Program {
    /// The sandbox's name on the engine.
    name: String,
    way: Way,
    /// `None` where the sandbox is on no network.
    interface: Option<Interface>,
    /// The name servers that the engine's resolver asks from inside.
    resolvers: Vec<Ipv4Addr>,
    /// Whether the filter holds for raw sockets as well, or why it does not.
    pub(super) guarded: Result<(), String>,
    /// What the filter that was set last demands.
    strict: AtomicBool,
}

#[derive(Debug)]
enum Way {
    Link(Link),
    Words(bollard::Docker),
}

impl Inner {
    /// The program of a sandbox that this process has made or adopted.
    pub(super) async fn program(&self, sandbox_id: &str) -> Result<Arc<Program>, Error> {
        let cell = self.programs.cell(sandbox_id);
        let name = self.instance.sandbox(sandbox_id);
        let late = refused(&name)(format!("the engine did not answer within {} s", MEETING.as_secs()));
        let met = cell.get_or_try_init(|| async {
            let inspected = self.docker.inspect_container(&name, None).await;
            let inspected = inspected.map_err(failed(&self.host, format!("look at the sandbox {name}")))?;
            if inspected.state.as_ref().and_then(|state| state.running) != Some(true) {
                return Err(refused(&name)("it does not run".to_owned()));
            }
            let labels = inspected.config.as_ref().and_then(|config| config.labels.as_ref());
            let link = match labels.and_then(|labels| labels.get(names::PROTOCOL)).map(String::as_str) {
                Some(PROTOCOL) => Some(self.link(sandbox_id)),
                None => None,
                Some(other) => {
                    return Err(Error::Failed {
                        attempted: format!("instruct the sandbox {name}"),
                        reason: format!("its program is of another release: it speaks protocol {other}"),
                    });
                }
            };
            self.meet(name, &inspected, link).await
        });
        let met = tokio::time::timeout(MEETING, met).await;
        let met = met.unwrap_or(Err(late)).map(Arc::clone);
        if met.is_err() {
            self.programs.forget(sandbox_id);
        }
        met
    }

    /// The program of a sandbox that was just started, and what the engine says of the sandbox.
    pub(super) async fn new_program(
        &self,
        sandbox_id: &str,
    ) -> Result<(Arc<Program>, ContainerInspectResponse), Error> {
        let name = self.instance.sandbox(sandbox_id);
        let link = self.link(sandbox_id);
        let (inspected, greeted) = tokio::join!(self.docker.inspect_container(&name, None), link.greet());
        let inspected = inspected.map_err(failed(&self.host, format!("look at the sandbox {name}")))?;
        greeted.map_err(refused(&name))?;
        let cell = self.programs.cell(sandbox_id);
        let met = cell.get_or_try_init(|| self.meet(name, &inspected, Some(link))).await;
        Ok((met.map(Arc::clone)?, inspected))
    }

    fn link(&self, sandbox_id: &str) -> Link {
        let callee = Callee { sandbox_id: sandbox_id.to_owned(), calls: Arc::clone(&self.calls) };
        Link::new(self.docker.clone(), self.instance.sandbox(sandbox_id), callee)
    }

    /// Learns what is to be known of a sandbox, and sets in it what does not depend on a task.
    async fn meet(
        &self,
        name: String,
        inspected: &ContainerInspectResponse,
        link: Option<Link>,
    ) -> Result<Arc<Program>, Error> {
        let interface = interface(inspected);
        let (way, resolv_conf) = match link {
            Some(link) => {
                let resolv_conf = link.greet().await.map_err(refused(&name))?;
                (Way::Link(link), String::from_utf8_lossy(&resolv_conf).into_owned())
            }
            // Its program does not report it; and by now its task may have written to the file.
            None => (Way::Words(self.docker.clone()), String::new()),
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
            tracing::warn!(sandbox = name, reason, "the sandbox does not hand on what its task connects to");
        }
        if let Err(reason) = &guarded {
            tracing::debug!(sandbox = name, reason, "the sandbox can't keep raw sockets to its filter");
        }
        Ok(Arc::new(Program { name, way, interface, resolvers, guarded, strict: AtomicBool::new(true) }))
    }

    /// Engines before 25 do not say which name servers their resolver asks. They read them in the file of their own host.
    fn resolvers_of_host(&self) -> Vec<Ipv4Addr> {
        if self.facts.local { resolvers::of_this_host() } else { Vec::new() }
    }
}

impl Program {
    /// Has the kernel in the sandbox take each batch. `attempted` is what they are for.
    pub(super) async fn instruct(&self, attempted: &str, batches: &[Batch]) -> Result<(), Error> {
        let done = self.way.instruct(&self.name, batches).await;
        done.map_err(|reason| Error::Failed {
            attempted: format!("{attempted} of the sandbox {}", self.name),
            reason,
        })
    }

    /// The filter's messages for this sandbox, which is to have it from now on.
    pub(super) fn filter(&self, filter: &Filter) -> Batch {
        self.strict.store(filter.strict, Ordering::Relaxed);
        netlink::filter(filter, self.interface.as_ref(), &self.resolvers)
    }

    /// Whether a container of its task may have raw sockets: they are kept to the filter, or it does not demand so.
    pub(super) fn may_have_raw_sockets(&self) -> bool {
        self.guarded.is_ok() || !self.strict.load(Ordering::Relaxed)
    }

    /// Whether raw sockets could be kept to a filter in a sandbox that is on a network; this one is on none.
    pub(super) async fn try_guard(&self) -> Result<(), String> {
        let loopback = Interface { name: "lo".to_owned(), mac_address: [0; 6], address: Ipv4Addr::LOCALHOST };
        self.way.guard(&self.name, &loopback).await
    }
}

impl Way {
    async fn instruct(&self, name: &str, batches: &[Batch]) -> Result<(), String> {
        if let Some(batch) = batches.iter().find(|batch| batch.bytes.len() > LARGEST) {
            return Err(format!("it is of {} bytes, and {LARGEST} can be set", batch.bytes.len()));
        }
        match self {
            Self::Link(link) => {
                let words = batches.iter().map(|batch| async move {
                    let word = format!("{} {}", batch.protocol, hex(&batch.bytes));
                    batch.done(&link.say("netlink", word).await?)
                });
                // In their order, and answered so: one does not wait for the answer to another.
                futures::future::try_join_all(words).await.map(drop)
            }
            Self::Words(docker) => word::say(docker, name, batches).await,
        }
    }

    /// Keeps raw sockets to the filter: frames by the guard, AF_XDP by taking its place.
    async fn guard(&self, name: &str, interface: &Interface) -> Result<(), String> {
        let batch = [netlink::guard(interface)];
        let Self::Link(link) = self else {
            self.instruct(name, &batch).await?;
            return Err("its program is of an older release".to_owned());
        };
        let (guarded, reserved) =
            tokio::join!(self.instruct(name, &batch), link.say("reserve", interface.name.clone()));
        guarded.map_err(|reason| {
            format!("the kernel can't filter what leaves an interface (Linux 5.16): {reason}")
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
            link.say("listen", format!("{} {address}", Callee::name(inward)))
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

/// Of `02:42:ac:1f:00:04`.
fn mac_address(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}
