//! Two sides of one session, and the messages between them, with a time that a test moves.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use ssm_session::Message;
use ssm_session::message::Kind;
use ssm_session::payload::{INTERACTIVE_COMMANDS, Json, SessionTypeRequest, Type};
use ssm_session::session::{Agent, Client, End, Event, Ignored, Limits, Offer, Options, Out, Ready, Session};
use uuid::Uuid;

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn options(seed: u128) -> Options {
    Options { seed: Uuid::from_u128(seed), started: 1_767_225_600_000, limits: Limits::default() }
}

pub(crate) fn offered() -> SessionTypeRequest {
    let properties = json!({"linux": {"commands": "sh", "runAsElevated": false}});
    SessionTypeRequest { session_type: INTERACTIVE_COMMANDS.to_owned(), properties }
}

/// An agent with a handshake.
pub(crate) fn offering() -> Agent {
    Agent {
        session_id: "ecs-execute-command-1".to_owned(),
        target: "ecs:default_1_2".to_owned(),
        version: "3.1.1732.0".to_owned(),
        handshake: Some(Offer { session: offered(), customer_message: "welcome".to_owned() }),
    }
}

/// An agent without a handshake.
pub(crate) fn silent() -> Agent {
    Agent { handshake: None, ..offering() }
}

pub(crate) fn agent(agent: Agent) -> Side {
    Side::new(Session::agent(options(1), agent))
}

pub(crate) fn client() -> Side {
    Side::new(Session::client(options(2), Client { version: "1.3.0.0".to_owned() }))
}

/// A session, with its output sorted.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) session: Session,
    pub(crate) now: Duration,
    /// What is to be written to the WebSocket.
    pub(crate) sent: Vec<Bytes>,
    pub(crate) ready: Vec<Ready>,
    pub(crate) data: Vec<(Type, Bytes)>,
    pub(crate) ignored: Vec<Ignored>,
    pub(crate) ended: Vec<End>,
}

impl Side {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session,
            now: Duration::ZERO,
            sent: Vec::new(),
            ready: Vec::new(),
            data: Vec::new(),
            ignored: Vec::new(),
            ended: Vec::new(),
        }
    }

    pub(crate) fn next(&mut self, event: Event) {
        let outs = self.session.next(self.now, event).expect("taken");
        assert!(self.ended.is_empty() || outs.is_empty(), "after the end: {outs:?}");
        for out in outs {
            match out {
                Out::Send(frame) => self.sent.push(frame),
                Out::Ready(ready) => self.ready.push(ready),
                Out::Data { payload_type, payload } => self.data.push((payload_type, payload)),
                Out::Ignored(ignored) => self.ignored.push(ignored),
                Out::Ended(end) => self.ended.push(end),
            }
        }
    }

    pub(crate) fn open(&mut self) {
        self.next(Event::Opened);
    }

    pub(crate) fn receive(&mut self, message: &Message) {
        self.next(Event::Frame(message.encode().expect("a frame")));
    }

    pub(crate) fn write(&mut self, bytes: impl Into<Bytes>) {
        self.next(Event::Send { payload_type: Type::Output, payload: bytes.into() });
    }

    pub(crate) fn close(&mut self, output: &str) {
        self.next(Event::Close { output: output.to_owned() });
    }

    /// Moves the time and sends a tick.
    pub(crate) fn at(&mut self, now: Duration) {
        self.now = now;
        self.next(Event::Tick);
    }

    /// Moves the time from wake to wake, until this time or until nothing is awaited.
    pub(crate) fn run(&mut self, until: Duration) {
        while let Some(wake) = self.session.wake().filter(|wake| *wake <= until) {
            assert!(wake > self.now || self.sent.is_empty(), "woken for nothing at {wake:?}");
            self.at(wake.max(self.now));
            self.sent.clear();
        }
    }

    /// The messages to be written since the last call, decoded.
    pub(crate) fn take(&mut self) -> Vec<Message> {
        self.sent.drain(..).map(|frame| Message::decode(&frame).expect("a frame")).collect()
    }

    /// The same, of one kind.
    pub(crate) fn take_of(&mut self, kind: Kind) -> Vec<Message> {
        self.take().into_iter().filter(|message| message.kind == kind).collect()
    }

    /// All data of one type.
    pub(crate) fn bytes(&self, wanted: Type) -> Vec<u8> {
        let of_type = self.data.iter().filter(|(payload_type, _)| *payload_type == wanted);
        of_type.flat_map(|(_, payload)| payload.iter().copied()).collect()
    }
}

/// Delivers everything both ways until both are silent.
pub(crate) fn exchange(one: &mut Side, other: &mut Side) {
    while !one.sent.is_empty() || !other.sent.is_empty() {
        for frame in std::mem::take(&mut one.sent) {
            other.next(Event::Frame(frame));
        }
        for frame in std::mem::take(&mut other.sent) {
            one.next(Event::Frame(frame));
        }
    }
}

/// Both sides of a session that has begun with a handshake.
pub(crate) fn begun() -> (Side, Side) {
    let (mut agent, mut client) = (agent(offering()), client());
    client.open();
    agent.open();
    exchange(&mut agent, &mut client);
    assert_eq!((agent.ready.len(), client.ready.len()), (1, 1));
    (agent, client)
}

/// A message that no session made.
pub(crate) fn message(kind: Kind, sequence: i64, payload_type: Type, payload: impl Into<Bytes>) -> Message {
    Message {
        kind,
        schema_version: 1,
        created: 1,
        sequence,
        flags: 0,
        id: Uuid::from_u128(7),
        payload_type,
        payload: payload.into(),
    }
}

/// One with JSON.
pub(crate) fn json_message<T: Json>(kind: Kind, sequence: i64, payload_type: Type, payload: &T) -> Message {
    message(kind, sequence, payload_type, payload.to_bytes().expect("JSON"))
}
