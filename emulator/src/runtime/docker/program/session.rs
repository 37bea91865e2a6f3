//! One attach to a sandbox's program, from its hello until it is lost.

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
use super::line::{Said, WINDOW};
use crate::runtime::inward::Calls;
use crate::runtime::{Call, Inward};

/// Bytes of a connection that wait for its reader beyond the window.
const BUFFER: usize = 16 * 1024;

/// What the kernel answered, message by message, or why it was not asked.
pub(super) type Answer = Result<Vec<Vec<u8>>, String>;

/// What the program is asked.
#[derive(Debug)]
pub(super) enum Word {
    /// What `/etc/resolv.conf` was at its start.
    Greet {
        answer: oneshot::Sender<Result<Vec<u8>, String>>,
    },
    Do {
        verb: &'static str,
        arguments: String,
        answer: oneshot::Sender<Answer>,
    },
    /// A word was not answered in time: the attach may be lost without an error.
    Renew,
}

impl Word {
    pub(super) fn fail(self, reason: &str) {
        // Its caller may have given up.
        match self {
            Self::Greet { answer } => drop(answer.send(Err(reason.to_owned()))),
            Self::Do { answer, .. } => drop(answer.send(Err(reason.to_owned()))),
            Self::Renew => {}
        }
    }
}

/// Where the calls of a sandbox go.
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
    /// It does not run any more.
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
    words: HashMap<u64, oneshot::Sender<Answer>>,
    last: u64,
    connections: HashMap<u32, Connection>,
    /// The writer, and what carries each connection: the number of a connection that has ended.
    tasks: JoinSet<Option<u32>>,
}

struct Connection {
    incoming: mpsc::UnboundedSender<Incoming>,
    credit: Arc<Semaphore>,
    carrier: AbortHandle,
}

impl Session {
    /// Attaches, and waits for the program's hello. `again`: it was attached before, and may have ended since; the engine
    /// attaches to what does not run, and waits for its start.
    pub(super) async fn begin(docker: &Docker, container: &str, again: bool) -> Result<Self, Refused> {
        if again {
            runs(docker, container).await?;
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
        // A newline first: an earlier process may have been killed within a line.
        let _ = out.lines.send("\n".to_owned());
        out.say("hello");
        let mut session = Self {
            resolv_conf: Vec::new(),
            output,
            received: Vec::new(),
            out,
            words: HashMap::new(),
            last: 0,
            connections: HashMap::new(),
            tasks,
        };
        loop {
            let output = session.output.next().await.ok_or_else(|| Refused::lost("its program has ended"))?;
            session.received.extend(output.map_err(|error| Refused::lost(reason(&error)))?.into_bytes());
            while let Some(said) = session.next_line() {
                if let Some(Said::Hello { resolv_conf }) = said {
                    session.resolv_conf = resolv_conf;
                    return Ok(session);
                }
            }
        }
    }

    /// Serves words and calls until the attach is lost, or nothing has words for it any more.
    pub(super) async fn run(mut self, callee: &Callee, words: &mut mpsc::UnboundedReceiver<Word>) {
        loop {
            // What came with the hello, or with the line before.
            while let Some(said) = self.next_line() {
                if let Some(said) = said {
                    self.understand(said, callee);
                }
            }
            tokio::select! {
                output = self.output.next() => match output {
                    Some(Ok(output)) => self.received.extend(output.into_bytes()),
                    Some(Err(_)) | None => return,
                },
                word = words.recv() => match word {
                    Some(word) => if !self.take(word) { return },
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

    /// Takes a word; `false` if the session has ended.
    pub(super) fn take(&mut self, word: Word) -> bool {
        match word {
            Word::Greet { answer } => drop(answer.send(Ok(self.resolv_conf.clone()))),
            // Its caller has given up, and may have asked for something else since.
            Word::Do { answer, .. } if answer.is_closed() => {}
            Word::Do { verb, arguments, answer } => {
                self.words.retain(|_, answer| !answer.is_closed());
                self.last += 1;
                self.words.insert(self.last, answer);
                self.out.say(&format!("{verb} {} {arguments}", self.last));
            }
            Word::Renew => return false,
        }
        true
    }

    /// The next whole line, if there is one; what it says, if that is for this session.
    fn next_line(&mut self) -> Option<Option<Said>> {
        let end = self.received.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.received.drain(..=end).collect();
        Some(Said::read(&line, &self.out.session))
    }

    fn understand(&mut self, said: Said, callee: &Callee) {
        match said {
            Said::Hello { .. } => {}
            Said::Done { number, answers } => self.answer(number, Ok(answers)),
            Said::Failed { number, reason } => self.answer(number, Err(reason)),
            Said::Open { connection, place } => self.open(connection, &place, callee),
            Said::Credit { connection, bytes } => {
                if let Some(connection) = self.connections.get(&connection) {
                    connection.credit.add_permits(bytes.min(WINDOW));
                }
            }
            Said::Data { connection, bytes } => self.pass(connection, Incoming::Data(bytes)),
            Said::End { connection } => self.pass(connection, Incoming::End),
            Said::Reset { connection } => {
                if let Some(connection) = self.connections.remove(&connection) {
                    connection.carrier.abort();
                }
            }
        }
    }

    fn answer(&mut self, number: u64, answer: Answer) {
        if let Some(waiting) = self.words.remove(&number) {
            // Its caller may have given up.
            let _ = waiting.send(answer);
        }
    }

    fn open(&mut self, id: u32, place: &str, callee: &Callee) {
        let (ours, stream) = tokio::io::duplex(BUFFER);
        let passed = callee.place(place).is_some_and(|to| {
            let call = Call { sandbox_id: callee.sandbox_id.clone(), to, stream };
            callee.calls.pass(call).is_ok()
        });
        if !passed {
            self.out.say(&format!("reset {id}"));
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
            // It may have ended on this side; then the program is sent a reset.
            let _ = connection.incoming.send(incoming);
        }
    }
}

async fn runs(docker: &Docker, container: &str) -> Result<(), Refused> {
    let inspected = docker.inspect_container(container, None).await;
    let inspected = inspected.map_err(|error| refused(&error))?;
    match inspected.state.and_then(|state| state.running) {
        Some(true) => Ok(()),
        _ => Err(Refused { reason: "it does not run".to_owned(), gone: true }),
    }
}

fn refused(error: &bollard::errors::Error) -> Refused {
    Refused { gone: status(error) == Some(404), reason: reason(error) }
}

/// Writes lines until the attach is lost.
async fn write(mut input: Pin<Box<dyn AsyncWrite + Send>>, mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(mut line) = lines.recv().await {
        // Those that are there already, in one write.
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
