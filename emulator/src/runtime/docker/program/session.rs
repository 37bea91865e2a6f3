//! One attach connection to a sandbox's program, from its hello until it is lost.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

use super::super::client::{reason, status};
use super::connection::{Incoming, Out, carry};
use super::line::{Message, WINDOW};
use crate::runtime::inward::Calls;
use crate::runtime::{Call, Inward};

/// Bytes of a connection that may wait for its reader in addition to the window.
const BUFFER: usize = 16 * 1024;

/// The kernel's responses, one per message, or the reason for the failure.
pub(super) type Response = Result<Vec<Vec<u8>>, String>;

/// A request to the program.
#[derive(Debug)]
pub(super) enum Request {
    /// For `/etc/resolv.conf` as it was at the program's start.
    Hello {
        response: oneshot::Sender<Result<Vec<u8>, String>>,
    },
    Do {
        verb: &'static str,
        arguments: String,
        response: oneshot::Sender<Response>,
    },
    /// A request got no response in time: the attach connection may be lost without an error.
    Renew,
}

impl Request {
    pub(super) fn fail(self, reason: &str) {
        // Its caller may no longer wait.
        match self {
            Self::Hello { response } => drop(response.send(Err(reason.to_owned()))),
            Self::Do { response, .. } => drop(response.send(Err(reason.to_owned()))),
            Self::Renew => {}
        }
    }
}

/// The destination of a sandbox's calls.
#[derive(Debug)]
pub(super) struct Callee {
    pub(super) sandbox_id: String,
    pub(super) calls: Arc<Calls>,
}

impl Callee {
    /// The name of a place in lines.
    pub(super) fn name(of: Inward) -> &'static str {
        match of {
            Inward::Metadata => "metadata",
            Inward::Endpoint => "endpoint",
            Inward::Dns => "dns",
        }
    }

    pub(super) fn place(&self, name: &str) -> Option<Inward> {
        Inward::ALL.into_iter().find(|inward| Self::name(*inward) == name)
    }
}

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// Why there is no session.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: String,
    /// The sandbox no longer runs.
    pub(super) gone: bool,
}

impl Refused {
    fn lost(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), gone: false }
    }
}

pub(super) struct Session {
    pub(super) resolv_conf: Vec<u8>,
    output: Output,
    received: Vec<u8>,
    out: Out,
    /// The requests without a response yet, by number.
    pending: HashMap<u64, oneshot::Sender<Response>>,
    last: u64,
    connections: HashMap<u32, Connection>,
    /// The writer, and one task per connection, which returns the connection's number when it ends.
    tasks: JoinSet<Option<u32>>,
}

struct Connection {
    incoming: mpsc::UnboundedSender<Incoming>,
    credit: Arc<Semaphore>,
    carrier: AbortHandle,
}

impl Session {
    /// Attaches, and waits for the program's hello. `again`: it was attached before, and so may have ended since. That is
    /// checked first, because the engine would also attach to a stopped container, and wait for its start.
    pub(super) async fn begin(docker: &Docker, container: &str, again: bool) -> Result<Self, Refused> {
        if again {
            check_running(docker, container).await?;
        }
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).build();
        let attached = docker.attach_container(container, Some(options)).await;
        let AttachContainerResults { output, input } = attached.map_err(|error| refused(&error))?;
        let session: Arc<str> = Uuid::new_v4().simple().to_string()[..8].into();
        let (lines, to_write) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            write(input, to_write).await;
            None
        });
        let out = Out { lines, session };
        // A newline first: an earlier process may have been killed in the middle of a line.
        let _ = out.lines.send("\n".to_owned());
        out.send("hello");
        let mut session = Self {
            resolv_conf: Vec::new(),
            output,
            received: Vec::new(),
            out,
            pending: HashMap::new(),
            last: 0,
            connections: HashMap::new(),
            tasks,
        };
        loop {
            let output = session.output.next().await.ok_or_else(|| Refused::lost("its program has ended"))?;
            session.received.extend(output.map_err(|error| Refused::lost(reason(&error)))?.into_bytes());
            while let Some(message) = session.next_line() {
                if let Some(Message::Hello { resolv_conf }) = message {
                    session.resolv_conf = resolv_conf;
                    return Ok(session);
                }
            }
        }
    }

    /// Serves requests and calls until the attach connection is lost, or no more requests can arrive.
    pub(super) async fn run(mut self, callee: &Callee, requests: &mut mpsc::UnboundedReceiver<Request>) {
        loop {
            // Also lines that arrived together with the hello.
            while let Some(message) = self.next_line() {
                if let Some(message) = message {
                    self.handle(message, callee);
                }
            }
            tokio::select! {
                output = self.output.next() => match output {
                    Some(Ok(output)) => self.received.extend(output.into_bytes()),
                    Some(Err(_)) | None => return,
                },
                request = requests.recv() => match request {
                    Some(request) => if !self.take(request) { return },
                    None => return,
                },
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(Some(connection)) => drop(self.connections.remove(&connection)),
                    // The writer.
                    Ok(None) => return,
                    // A connection that was reset.
                    Err(_) => {}
                },
            }
        }
    }

    /// Sends a request; `false` if the session has to end.
    pub(super) fn take(&mut self, request: Request) -> bool {
        match request {
            Request::Hello { response } => drop(response.send(Ok(self.resolv_conf.clone()))),
            // Its caller no longer waits, and may have sent a newer request since.
            Request::Do { response, .. } if response.is_closed() => {}
            Request::Do { verb, arguments, response } => {
                self.pending.retain(|_, response| !response.is_closed());
                self.last += 1;
                self.pending.insert(self.last, response);
                self.out.send(&format!("{verb} {} {arguments}", self.last));
            }
            Request::Renew => return false,
        }
        true
    }

    /// The next complete line, if one has arrived. The inner value is `None` for a line that is not of this session.
    fn next_line(&mut self) -> Option<Option<Message>> {
        let end = self.received.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.received.drain(..=end).collect();
        Some(Message::read(&line, &self.out.session))
    }

    fn handle(&mut self, message: Message, callee: &Callee) {
        match message {
            Message::Hello { .. } => {}
            Message::Done { number, responses } => self.respond(number, Ok(responses)),
            Message::Failed { number, reason } => self.respond(number, Err(reason)),
            Message::Open { connection, place } => self.open(connection, &place, callee),
            Message::Credit { connection, bytes } => {
                if let Some(connection) = self.connections.get(&connection) {
                    connection.credit.add_permits(bytes.min(WINDOW));
                }
            }
            Message::Data { connection, bytes } => self.pass(connection, Incoming::Data(bytes)),
            Message::End { connection } => self.pass(connection, Incoming::End),
            Message::Reset { connection } => {
                if let Some(connection) = self.connections.remove(&connection) {
                    connection.carrier.abort();
                }
            }
        }
    }

    fn respond(&mut self, number: u64, response: Response) {
        if let Some(caller) = self.pending.remove(&number) {
            // The caller may no longer wait.
            let _ = caller.send(response);
        }
    }

    fn open(&mut self, id: u32, place: &str, callee: &Callee) {
        let (ours, stream) = tokio::io::duplex(BUFFER);
        let passed = callee.place(place).is_some_and(|to| {
            let call = Call { sandbox_id: callee.sandbox_id.clone(), to, stream };
            callee.calls.pass(call).is_ok()
        });
        if !passed {
            self.out.send(&format!("reset {id}"));
            return;
        }
        let (incoming, received) = mpsc::unbounded_channel();
        let credit = Arc::new(Semaphore::new(WINDOW));
        let carried = carry(id, ours, received, Arc::clone(&credit), self.out.clone());
        let carrier = self.tasks.spawn(async move {
            carried.await;
            Some(id)
        });
        self.connections.insert(id, Connection { incoming, credit, carrier });
    }

    fn pass(&self, id: u32, incoming: Incoming) {
        if let Some(connection) = self.connections.get(&id) {
            // Fails if the connection has ended on this side: then the program gets a reset.
            let _ = connection.incoming.send(incoming);
        }
    }
}

async fn check_running(docker: &Docker, container: &str) -> Result<(), Refused> {
    let inspected = docker.inspect_container(container, None).await;
    let inspected = inspected.map_err(|error| refused(&error))?;
    match inspected.state.and_then(|state| state.running) {
        Some(true) => Ok(()),
        _ => Err(Refused { reason: "it is not running".to_owned(), gone: true }),
    }
}

fn refused(error: &bollard::errors::Error) -> Refused {
    Refused { gone: status(error) == Some(404), reason: reason(error) }
}

/// Writes lines until the attach connection is lost.
async fn write(mut input: Pin<Box<dyn AsyncWrite + Send>>, mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(mut line) = lines.recv().await {
        // Lines that are already waiting are sent in the same write.
        while line.len() < BUFFER
            && let Ok(more) = lines.try_recv()
        {
            line += &more;
        }
        let written = async {
            input.write_all(line.as_bytes()).await?;
            input.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
}
