//! The connection to systemd's manager: one lasting connection to the system bus, opened at the first call, and again after it
//! was lost. Every call has a timeout.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;
use zbus::connection::Builder;
use zbus::{Connection, DynamicType, Message};

use super::helper::{self, Engine, Helper};

/// The same on every system (D-Bus specification, "Well-known Message Bus Instances").
const SOCKET: &str = "/run/dbus/system_bus_socket";

/// How long joining the bus may take, and a call of systemd. Both usually take milliseconds.
const TIMEOUT: Duration = Duration::from_secs(25);

#[derive(Clone, Debug)]
pub(super) struct Manager {
    way: Way,
    connection: Arc<Mutex<Option<Connection>>>,
}

#[derive(Clone, Debug)]
enum Way {
    Here,
    Helper(Arc<Helper>),
}

impl Manager {
    /// Through a helper of `engine` if systemd would refuse this process: only root may create system slices without
    /// interactive authorization.
    pub(super) fn new(engine: Option<Engine>) -> Self {
        let may = rustix::process::geteuid().is_root() && Path::new(SOCKET).exists();
        let way = match engine {
            Some(engine) if !may => Way::Helper(Arc::new(Helper::of_bus(engine, Path::new(SOCKET)))),
            _ => Way::Here,
        };
        Self { way, connection: Arc::default() }
    }

    pub(super) fn is_helped(&self) -> bool {
        matches!(self.way, Way::Helper(_))
    }

    /// Calls a method of the manager. A refusal has the [`io::ErrorKind`] of its reason: a unit that exists or does not, a
    /// permission.
    pub(super) async fn call<B>(&self, method: &str, body: &B) -> io::Result<Message>
    where
        B: Serialize + DynamicType + Sync,
    {
        let mut kept = helper::turn(&self.connection).await?.clone();
        loop {
            let is_kept = kept.is_some();
            let connection = match kept.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let error = match call(&connection, method, body).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if is_response(&error) {
                return Err(refused(error));
            }
            self.forget(&connection).await;
            // A kept connection may have been lost long ago: then once more on a new one.
            if !is_kept {
                return Err(refused(error));
            }
        }
    }

    /// The connection that another call has opened meanwhile, or a new one.
    async fn connect(&self) -> io::Result<Connection> {
        let mut held = helper::turn(&self.connection).await?;
        if let Some(connection) = held.as_ref() {
            return Ok(connection.clone());
        }
        let builder = match &self.way {
            Way::Here => Builder::address(format!("unix:path={SOCKET}").as_str()),
            Way::Helper(helper) => {
                let stream = helper.start().await?.into_std()?;
                // The bus sees the helper's user.
                Builder::unix_stream(stream).user_id(0)
            }
        };
        let joined = tokio::time::timeout(TIMEOUT, builder.method_timeout(TIMEOUT).build()).await;
        let joined = joined.unwrap_or_else(|_| Err(late().into()));
        let connection = joined.map_err(|error| {
            io::Error::new(refused(error.clone()).kind(), format!("cannot join the system bus: {error}"))
        })?;
        *held = Some(connection.clone());
        Ok(connection)
    }

    async fn forget(&self, lost: &Connection) {
        let mut held = self.connection.lock().await;
        if held.as_ref().is_some_and(|held| held.unique_name() == lost.unique_name()) {
            *held = None;
        }
    }
}

async fn call<B>(connection: &Connection, method: &str, body: &B) -> zbus::Result<Message>
where
    B: Serialize + DynamicType + Sync,
{
    let called = connection.call_method(
        Some("org.freedesktop.systemd1"),
        "/org/freedesktop/systemd1",
        Some("org.freedesktop.systemd1.Manager"),
        method,
        body,
    );
    // Also bounds the sending, for which the connection has no timeout.
    tokio::time::timeout(TIMEOUT, called).await.unwrap_or_else(|_| Err(late().into()))
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("systemd did not respond within {} s", TIMEOUT.as_secs()))
}

/// Whether the error is a response of systemd, and so the connection works.
fn is_response(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(..) | zbus::Error::FDO(_))
}

fn refused(error: zbus::Error) -> io::Error {
    match error {
        zbus::Error::MethodError(name, message, _) => {
            let kind = match name.as_str() {
                "org.freedesktop.systemd1.UnitExists" => io::ErrorKind::AlreadyExists,
                "org.freedesktop.systemd1.NoSuchUnit" => io::ErrorKind::NotFound,
                // Of the bus, while systemd restarts or is very busy (D-Bus specification, "Standard errors").
                "org.freedesktop.DBus.Error.NoReply"
                | "org.freedesktop.DBus.Error.Timeout"
                | "org.freedesktop.DBus.Error.TimedOut" => io::ErrorKind::TimedOut,
                "org.freedesktop.DBus.Error.ServiceUnknown"
                | "org.freedesktop.DBus.Error.NameHasNoOwner"
                | "org.freedesktop.DBus.Error.Disconnected" => io::ErrorKind::ConnectionRefused,
                "org.freedesktop.DBus.Error.AccessDenied"
                | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => {
                    io::ErrorKind::PermissionDenied
                }
                _ => io::ErrorKind::Other,
            };
            io::Error::new(kind, message.unwrap_or_else(|| name.to_string()))
        }
        zbus::Error::InputOutput(error) => io::Error::new(error.kind(), error.to_string()),
        other => io::Error::other(other.to_string()),
    }
}
