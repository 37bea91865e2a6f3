//! One connection: its caller, and when it is closed.
//!
//! A client that connects and sends nothing, or only the preface of HTTP/2, would occupy a place and an open file for ever. So
//! would one that does not read its response. A request that waits for the server has no time limit here; one whose response
//! waits for the client has.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use crate::api::Caller;
use crate::clock::Clock;

/// A connection without a first request is closed after this time.
const FIRST_REQUEST: Duration = Duration::from_secs(15);

/// A connection without a running request is closed after this time, and so is one whose client reads none of its
/// responses. AWS's clients then open a new one.
const IDLE: Duration = Duration::from_secs(300);

/// A connection is closed if the headers of a request have not arrived after this time.
const HEADERS: Duration = Duration::from_secs(30);

/// The shared parts of a server's connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections<S> {
    /// Responds to their requests.
    pub service: S,
    pub clock: Clock,
    /// When the server ends, each connection finishes its running requests.
    pub ending: CancellationToken,
}

impl<S> Connections<S>
where
    S: Service<http::Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    /// Serves one connection whose requests all come from `caller`, over a socket or over any other stream.
    pub async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, caller: Caller) {
        let Self { service, clock, ending } = self;
        let activity = Activity::begin(clock);
        let counted = service_fn(|mut request: http::Request<Incoming>| {
            let mut running = Running::begin(&activity);
            request.extensions_mut().insert(caller.clone());
            let response = service.clone().oneshot(request.map(Body::new));
            async move {
                let response = response.await?;
                running.offer(true);
                Ok::<_, Infallible>(response.map(|body| Counted { body, running }))
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
        builder.http2().timer(TokioTimer::new());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), counted));
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = ending.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = activity.idle() => {
                tracing::debug!("closed a connection that was idle, or whose client did not read the responses");
                Ok(())
            }
        };
        if let Err(error) = served {
            tracing::debug!(error, "a connection ended with an error");
        }
    }
}

/// The activity on a connection. Cheap to clone.
///
/// A request changes it several times, so a change wakes no task: [`Activity::idle`] checks when the limit may have passed.
#[derive(Clone, Debug)]
struct Activity {
    clock: Clock,
    now: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    running: usize,
    /// The running requests that only wait for the client to read their responses.
    offered: usize,
    has_begun: bool,
    /// When the last of these changed ([`Clock::monotonic`]).
    since: Duration,
}

impl Activity {
    fn begin(clock: Clock) -> Self {
        let state = State { running: 0, offered: 0, has_begun: false, since: clock.monotonic() };
        Self { clock, now: Arc::new(Mutex::new(state)) }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let since = self.clock.monotonic();
        let mut state = self.now.lock();
        change(&mut state);
        state.since = since;
    }

    /// Returns once the connection has been without a request, or with none that waits for the server, for too long.
    async fn idle(&self) {
        while let Some(left) = self.left() {
            self.clock.sleep(left).await;
        }
    }

    /// The time until the connection can have been idle for too long; `None` if it has been.
    fn left(&self) -> Option<Duration> {
        let State { running, offered, has_begun, since } = *self.now.lock();
        let limit = if has_begun { IDLE } else { FIRST_REQUEST };
        if running != offered {
            return Some(limit);
        }
        let passed = self.clock.monotonic().saturating_sub(since);
        limit.checked_sub(passed).filter(|left| !left.is_zero())
    }
}

/// A running request, until the last byte of its response.
#[derive(Debug)]
struct Running {
    activity: Activity,
    /// Whether its response waits for the client.
    is_offered: bool,
}

impl Running {
    fn begin(activity: &Activity) -> Self {
        activity.change(|state| {
            state.running += 1;
            state.has_begun = true;
        });
        Self { activity: activity.clone(), is_offered: false }
    }

    /// A part of the response is ready for the client, or no longer. With each part the time limit starts again.
    fn offer(&mut self, is_offered: bool) {
        if !is_offered && !self.is_offered {
            return;
        }
        let was_offered = std::mem::replace(&mut self.is_offered, is_offered);
        self.activity.change(|state| {
            state.offered = state.offered - usize::from(was_offered) + usize::from(is_offered);
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.activity.change(|state| {
            state.running -= 1;
            state.offered -= usize::from(self.is_offered);
        });
    }
}

/// A response's body. Its request counts as running until the body ends.
struct Counted {
    body: Body,
    running: Running,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        // It is polled again only if there is room for more, which the client makes by reading.
        self.running.offer(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Extension;
    use axum::routing::get;
    use futures::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::clock::Timestamp;

    /// The timeout of each wait in the tests.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// Bytes of each piece of an endless response.
    const PIECE: usize = 64 << 10;

    fn connect(clock: &Clock, caller: Caller) -> DuplexStream {
        serve(clock, caller).0
    }

    /// A client, and the task that serves it.
    fn serve(clock: &Clock, caller: Caller) -> (DuplexStream, JoinHandle<()>) {
        let who = |Extension(caller): Extension<Caller>| async move { format!("{caller:?}") };
        let endless = || async {
            Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; PIECE]))))
        };
        let silent = || async { Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()) };
        let connections = Connections {
            service: axum::Router::new()
                .route("/who", get(who))
                .route("/endless", get(endless))
                .route("/silent", get(silent))
                .route("/never", get(std::future::pending::<()>)),
            clock: clock.clone(),
            ending: CancellationToken::new(),
        };
        let (client, server) = tokio::io::duplex(4096);
        (client, tokio::spawn(connections.serve(server, caller)))
    }

    /// Lets the server do all that it can.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn ask(client: &mut DuplexStream) -> String {
        client.write_all(b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut response = vec![0; 4096];
        let length = tokio::time::timeout(DEADLINE, client.read(&mut response)).await.unwrap().unwrap();
        String::from_utf8_lossy(&response[..length]).into_owned()
    }

    /// Moves the clock until the connection is closed; returns the number of moves.
    async fn moves_until_closed(clock: &Clock, client: &mut DuplexStream) -> u32 {
        let closed = async {
            let mut moves = 0;
            loop {
                clock.advance(FIRST_REQUEST);
                moves += 1;
                let mut rest = [0; 256];
                tokio::select! {
                    biased;
                    read = client.read(&mut rest) => if matches!(read, Ok(0) | Err(_)) { return moves },
                    () = tokio::task::yield_now() => {}
                }
            }
        };
        tokio::time::timeout(DEADLINE, closed).await.expect("it stays open")
    }

    #[tokio::test]
    async fn a_connection_without_a_complete_first_request_is_closed() {
        for begun in ["", "GET /who HTTP/1.1\r\nHost:", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let clock = Clock::manual(Timestamp(0));
            let mut client = connect(&clock, Caller::Host);
            client.write_all(begun.as_bytes()).await.unwrap();
            moves_until_closed(&clock, &mut client).await;
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_served_a_request_has_more_time() {
        let clock = Clock::manual(Timestamp(0));
        let mut client = connect(&clock, Caller::Host);
        for _ in 0..3 {
            assert!(ask(&mut client).await.starts_with("HTTP/1.1 200"));
            clock.advance(FIRST_REQUEST);
        }
        assert!(moves_until_closed(&clock, &mut client).await > 3);
    }

    #[tokio::test]
    async fn a_connection_whose_response_is_not_read_is_closed() {
        let clock = Clock::manual(Timestamp(0));
        let (mut client, served) = serve(&clock, Caller::Host);
        client.write_all(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        for _ in 0..5 {
            // Each time the client reads more than the server buffers.
            let mut taken = vec![0; 16 * PIECE];
            tokio::time::timeout(DEADLINE, client.read_exact(&mut taken)).await.unwrap().unwrap();
            settle().await;
            clock.advance(IDLE - Duration::from_secs(1));
            settle().await;
            assert!(!served.is_finished(), "the client read in time");
        }
        clock.advance(Duration::from_secs(1));
        tokio::time::timeout(DEADLINE, served).await.expect("it stays open").unwrap();
    }

    #[tokio::test]
    async fn a_request_that_waits_for_the_server_has_no_time_limit() {
        for path in ["silent", "never"] {
            let clock = Clock::manual(Timestamp(0));
            let (mut client, served) = serve(&clock, Caller::Host);
            let request = format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            for _ in 0..5 {
                settle().await;
                clock.advance(IDLE);
            }
            settle().await;
            assert!(!served.is_finished(), "{path}");
        }
    }

    #[tokio::test]
    async fn every_request_of_a_connection_has_its_caller() {
        let clock = Clock::manual(Timestamp(0));
        let task = Caller::Task { arn: "arn:aws:ecs:us-east-1:000000000000:task/a/b".into(), role: None };
        let mut client = connect(&clock, task);
        for _ in 0..2 {
            let response = ask(&mut client).await;
            assert!(response.contains("Task {") && response.contains(":task/a/b"), "{response}");
        }
    }
}
