//! The listener: accepts, does the TLS handshake, serves, closes.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, runtime::reflector::Store};
use rustls::pki_types::CertificateDer;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    authn::{Authenticator, PeerCertificates},
    authz::Authorizer,
    client_ca::{self, ClientCa, Origin, Updater},
    logs::Logs,
    routes::{self, AccessChecks},
    strangers::{Strangers, Visitor},
    tls::{self, Serving},
};
use crate::{clock, fargate::logs::Source, nodes::Node, options};

/// How long an HTTP/1.1 connection may stay without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Between two HTTP/2 pings, and how long the response may take: a dead connection is dropped with its followers.
const PING_PERIOD: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long requests may still take when the API closes.
const DRAIN: Duration = Duration::from_secs(5);

/// Pause after an accept that failed because something ran out (descriptors, memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The API's options.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node that permissions are asked on, and that a certificate of our own names.
    pub node: Node,
    /// The address to listen on, the certificate to present, the authority to trust.
    pub kubelet: options::Kubelet,
    /// The log group of the containers' output; `None` if it is not collected.
    pub log_group: Option<String>,
}

/// Why the API does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is in use, or not this machine's.
    #[error("listening on {address} for the kubelet's API")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// There is no certificate to present.
    #[error("preparing the certificate of the kubelet's API")]
    Tls(#[from] tls::Error),
    /// The clients' authority is not usable.
    #[error("preparing the client authority of the kubelet's API")]
    ClientCa(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<client_ca::Error> for Error {
    fn from(error: client_ca::Error) -> Self {
        Self::ClientCa(Box::new(error))
    }
}

/// The API, bound to its address.
pub struct Service {
    listener: TcpListener,
    local: SocketAddr,
    acceptor: TlsAcceptor,
    router: Router,
    serving: Arc<Serving>,
    updater: Updater,
    closing: CancellationToken,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Service {
    /// Listens; nothing is accepted before [`Service::run`].
    ///
    /// `pods` are the pods bound to this node, `source` is where their output is read.
    pub async fn bind(
        options: Options,
        client: Client,
        pods: Store<Pod>,
        source: Arc<dyn Source>,
        clock: clock::Shared,
    ) -> Result<Self, Error> {
        let Options { node, kubelet, log_group } = options;
        let options::Kubelet { address, port, certificate, client_ca } = kubelet;

        let serving = Arc::new(Serving::new(certificate, &node, clock.now())?);
        let acceptor = TlsAcceptor::from(Arc::new(tls::config(Arc::clone(&serving))?));
        let origin = client_ca.map_or_else(|| Origin::Cluster(client.clone()), Origin::File);
        let (client_ca, mut updater) = ClientCa::new(origin);
        updater.check()?;

        let address = SocketAddr::new(address, port);
        let listen = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let local = listener.local_addr().map_err(listen)?;

        let closing = CancellationToken::new();
        let checks = AccessChecks {
            authenticator: Authenticator::new(client.clone(), client_ca, Arc::clone(&clock)),
            authorizer: Authorizer::new(client, node),
        };
        let logs = Logs { pods, source, group: log_group, clock, closing: closing.clone() };
        let router = routes::router(Arc::new(checks), logs);
        Ok(Self { listener, local, acceptor, router, serving, updater, closing })
    }

    /// The port that the node reports to the API server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.local.port()
    }

    /// Serves until `shutdown`, then lets requests end for a few seconds; followed logs end at once.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listener, local, acceptor, router, serving, updater, closing } = self;
        tracing::info!(%local, "listening for the kubelet's API");
        let connection = Connection { acceptor, router, closing: closing.clone() };
        let mut connections = JoinSet::new();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = accept(listener, connection, &mut connections) => {}
            () = serving.follow() => {}
            () = follow(updater) => {}
        }
        closing.cancel();
        let ended = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tracing::info!(left = connections.len(), "closing unfinished requests to the kubelet's API");
        }
    }
}

/// The authority's source may end (a watch never does); the API continues with the last authority.
async fn follow(updater: Updater) {
    updater.run().await;
    std::future::pending().await
}

async fn accept(listener: TcpListener, connection: Connection, connections: &mut JoinSet<()>) {
    let strangers = Strangers::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection.clone().serve(stream, strangers.enter()));
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not accept a connection to the kubelet's API; retrying in {ACCEPT_PAUSE:?}"
                );
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

#[derive(Clone)]
struct Connection {
    acceptor: TlsAcceptor,
    router: Router,
    closing: CancellationToken,
}

impl Connection {
    /// One connection from its handshake to its end, in its own task: a slow one delays no other.
    async fn serve(self, stream: TcpStream, visitor: Arc<Visitor>) {
        tokio::select! {
            () = self.exchange(stream, Arc::clone(&visitor)) => {}
            () = visitor.overstays() => {
                tracing::debug!("closed a connection without an authorized request");
            }
        }
    }

    async fn exchange(self, stream: TcpStream, visitor: Arc<Visitor>) {
        let stream = tokio::select! {
            () = self.closing.cancelled() => return,
            handshake = self.acceptor.accept(stream) => match handshake {
                Ok(stream) => stream,
                Err(error) => return tracing::debug!(%error, "a TLS handshake failed"),
            },
        };
        let session = stream.get_ref().1;
        let chain = session.peer_certificates().unwrap_or_default();
        let peer = PeerCertificates(chain.iter().cloned().map(CertificateDer::into_owned).collect());
        let is_http2 = session.alpn_protocol() == Some(tls::HTTP2);
        let router = self.router;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            request.extensions_mut().insert(Arc::clone(&visitor));
            router.clone().oneshot(request.map(Body::new))
        });

        let builder = auto::Builder::new(TokioExecutor::new());
        // The handshake has negotiated one of the two: nothing is guessed from the first bytes, which may never arrive.
        let mut builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
        builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_PERIOD)
            .keep_alive_timeout(PING_TIMEOUT);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = &*error, "a connection to the kubelet's API ended early");
        }
    }
}

#[cfg(test)]
mod tests;
