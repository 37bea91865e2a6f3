//! One side of one session: a value that receives events and returns actions.
//!
//! ```text
//!  Unopened ──Opened──▶ Handshake ──▶ Ready ──Close──▶ Closing ──▶ Ended
//!                           └─ too late, refused ──────────────────▶ ┘   also from anywhere: channel_closed,
//!                                                                         5 min without acknowledgement, 20 min paused
//! ```
//!
//! Rules:
//! - Each stream message of a direction has a number, from 0. It is kept and sent again until it is acknowledged;
//!   the other side delivers each once, in order. Acknowledgements and everything else are sent once.
//! - While the other side pauses, nothing of the stream is sent. Start, data and acknowledgements end the pause, as
//!   in the agent. (The plugin ignores a pause.)
//! - Everything is bounded: [`Limits`], [`MAX_PAYLOAD`], and a time for each state but [`Event::Opened`]'s absence
//!   and a session that both sides keep alive.
//! - Time is the caller's: a duration since some start, which should never go back; if it does, the session's time does
//!   not move. The caller calls [`Session::next`] at [`Session::wake`] at the latest.
//!
//! A session outlives its WebSocket: after a reconnection it continues with [`Event::Opened`].

mod event;
mod handshake;
mod incoming;
mod limits;
mod outgoing;
mod role;

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use self::incoming::{Arrival, Incoming};
use self::outgoing::Outgoing;
use self::role::Role;
use crate::message::{self, FLAG_SYN, FLAGS_ALONE, Kind, MAX_PAYLOAD, Message};
use crate::payload::{
    Acknowledge, ChannelClosed, HandshakeComplete, HandshakeRequest, HandshakeResponse, Json, Type,
};

pub use self::event::{End, Event, Ignored, Out, Ready, Refused};
pub use self::limits::*;
pub use self::role::{Agent, Client, Offer, Options};

/// `SchemaVersion` of every frame (plugin and agent).
const SCHEMA_VERSION: u32 = 1;

/// One side of a session.
#[derive(Debug)]
pub struct Session {
    role: Role,
    phase: Phase,
    /// The latest time that was seen.
    now: Duration,
    /// Since when the other side pauses.
    paused: Option<Duration>,
    incoming: Incoming,
    outgoing: Outgoing,
    options: Options,
    /// Number of messages made, of every kind.
    made: u64,
}

#[derive(Debug)]
enum Phase {
    Unopened,
    Handshake { since: Duration },
    Ready,
    Closing { since: Duration, output: String },
    Ended,
}

impl Session {
    pub fn agent(options: Options, agent: Agent) -> Self {
        Self::new(options, Role::Agent(agent))
    }

    pub fn client(options: Options, client: Client) -> Self {
        let Client { version } = client;
        Self::new(options, Role::Client { version, ready: Ready::default(), refused: None })
    }

    fn new(options: Options, role: Role) -> Self {
        Self {
            role,
            phase: Phase::Unopened,
            now: Duration::ZERO,
            paused: None,
            incoming: Incoming::new(options.limits),
            outgoing: Outgoing::new(),
            options,
            made: 0,
        }
    }

    /// Handles an event at `now`. After [`Out::Ended`] nothing more is returned.
    ///
    /// # Errors
    ///
    /// [`Refused`], only for an [`Event::Send`]: nothing has changed.
    pub fn next(&mut self, now: Duration, event: Event) -> Result<Vec<Out>, Refused> {
        self.now = self.now.max(now);
        let mut outs = Vec::new();
        match event {
            Event::Send { payload_type, payload } => self.send(payload_type, &payload)?,
            _ if self.is_ended() => return Ok(outs),
            Event::Opened => self.open(&mut outs),
            Event::Frame(frame) => self.receive(&frame, &mut outs),
            Event::SkipHandshake => self.skip_handshake(&mut outs),
            Event::Tick => {}
            Event::Close { output } => {
                if !matches!(self.phase, Phase::Closing { .. }) {
                    self.phase = Phase::Closing { since: self.now, output };
                }
            }
        }
        self.settle(&mut outs);
        Ok(outs)
    }

    /// When [`next`](Self::next) is due at the latest, with [`Event::Tick`] if nothing else happens.
    pub fn wake(&self) -> Option<Duration> {
        let phase = match &self.phase {
            Phase::Ended => return None,
            Phase::Unopened | Phase::Ready => None,
            Phase::Handshake { since } => Some(*since + self.handshake_limit()),
            Phase::Closing { since, .. } => Some(*since + DRAIN),
        };
        let stream = match self.paused {
            Some(since) => Some(since + MOST_PAUSE),
            None => self.outgoing.wake(),
        };
        phase.into_iter().chain(stream).min()
    }

    /// Messages for which [`Event::Send`] has room.
    pub fn room(&self) -> usize {
        self.options.limits.outgoing.saturating_sub(self.outgoing.len())
    }

    /// Whether [`Out::Ended`] was returned.
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    fn handshake_limit(&self) -> Duration {
        match self.role {
            Role::Agent(_) => AGENT_HANDSHAKE,
            Role::Client { .. } => CLIENT_HANDSHAKE,
        }
    }

    fn open(&mut self, outs: &mut Vec<Out>) {
        self.paused = None;
        self.outgoing.restart();
        if !matches!(self.phase, Phase::Unopened) {
            return;
        }
        self.phase = Phase::Handshake { since: self.now };
        let Role::Agent(agent) = &self.role else { return };
        let Some(offer) = &agent.handshake else {
            return self.begin(Ready::default(), outs);
        };
        let request =
            handshake::request(&agent.version, &offer.session).and_then(|request| request.to_bytes());
        self.shake(Type::HandshakeRequest, request, outs);
    }

    fn skip_handshake(&mut self, outs: &mut Vec<Out>) {
        if matches!((&self.role, &self.phase), (Role::Client { .. }, Phase::Handshake { .. })) {
            self.begin(Ready::default(), outs);
        }
    }

    /// The session begins, unless it is already closing.
    fn begin(&mut self, ready: Ready, outs: &mut Vec<Out>) {
        if matches!(self.phase, Phase::Unopened | Phase::Handshake { .. }) {
            self.phase = Phase::Ready;
            outs.push(Out::Ready(ready));
        }
    }

    fn send(&mut self, payload_type: Type, payload: &Bytes) -> Result<(), Refused> {
        match self.phase {
            Phase::Unopened | Phase::Handshake { .. } => return Err(Refused::NotReady),
            Phase::Closing { .. } | Phase::Ended => return Err(Refused::Over),
            Phase::Ready => {}
        }
        if is_own(payload_type) {
            return Err(Refused::PayloadType(payload_type));
        }
        let most = if payload_type.is_stream() { CHUNK } else { MAX_PAYLOAD };
        if payload.len() > most && !payload_type.is_stream() {
            return Err(Refused::TooLarge { found: payload.len() });
        }
        let (needed, room) = (payload.len().div_ceil(most), self.room());
        if needed > room {
            return Err(Refused::Full { needed, room });
        }
        for from in (0..payload.len()).step_by(most) {
            let chunk = payload.slice(from..payload.len().min(from + most));
            self.push(payload_type, chunk).map_err(|_| Refused::TooLarge { found: payload.len() })?;
        }
        Ok(())
    }

    /// Queues one stream message; [`settle`](Self::settle) sends it.
    fn push(&mut self, payload_type: Type, payload: Bytes) -> Result<(), message::Error> {
        let sequence = self.outgoing.next_sequence();
        let (kind, flags) = match self.role {
            Role::Agent(_) if sequence == 0 => (Kind::OutputStreamData, FLAG_SYN),
            Role::Agent(_) => (Kind::OutputStreamData, 0),
            Role::Client { .. } => (Kind::InputStreamData, 0),
        };
        let frame = Message { sequence, flags, payload_type, ..self.make(kind, payload) }.encode()?;
        self.outgoing.push(frame);
        Ok(())
    }

    /// A message that is not a stream message.
    fn make(&mut self, kind: Kind, payload: Bytes) -> Message {
        self.made += 1;
        let elapsed = u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX);
        Message {
            kind,
            schema_version: SCHEMA_VERSION,
            created: self.options.started.saturating_add(elapsed),
            sequence: 0,
            flags: FLAGS_ALONE,
            id: Uuid::new_v5(&self.options.seed, &self.made.to_be_bytes()),
            payload_type: Type::None,
            payload,
        }
    }

    fn receive(&mut self, frame: &Bytes, outs: &mut Vec<Out>) {
        let message = match Message::decode(frame) {
            Ok(message) => message,
            Err(error) => return outs.push(Out::Ignored(Ignored::Frame(error))),
        };
        match (message.kind, &self.role) {
            (Kind::InputStreamData, Role::Agent(_)) | (Kind::OutputStreamData, Role::Client { .. }) => {
                self.receive_stream(&message, outs);
            }
            (Kind::Acknowledge, _) => match Acknowledge::from_bytes(&message.payload) {
                Ok(acknowledged) => {
                    self.resume();
                    self.outgoing.acknowledge(acknowledged.sequence, self.now);
                }
                Err(error) => outs.push(Out::Ignored(Ignored::Payload(error))),
            },
            // Its text is for the user; its arrival is the end, as in the plugin.
            (Kind::ChannelClosed, _) => {
                let output = ChannelClosed::from_bytes(&message.payload).unwrap_or_default().output;
                self.end(End::ClosedByPeer { output }, outs);
            }
            (Kind::StartPublication, _) => self.resume(),
            (Kind::PausePublication, _) => {
                self.paused.get_or_insert(self.now);
            }
            (kind, _) => outs.push(Out::Ignored(Ignored::Kind(kind))),
        }
    }

    fn receive_stream(&mut self, message: &Message, outs: &mut Vec<Out>) {
        self.resume();
        let sequence = message.sequence;
        match self.incoming.receive(message) {
            Arrival::Kept => {}
            Arrival::Duplicate => outs.push(Out::Ignored(Ignored::Duplicate { sequence })),
            Arrival::NoRoom => return outs.push(Out::Ignored(Ignored::NoRoom { sequence })),
        }
        self.acknowledge(message, outs);
        while !self.is_ended() {
            let Some((payload_type, payload)) = self.incoming.pop() else { break };
            self.deliver(payload_type, payload, outs);
        }
    }

    fn acknowledge(&mut self, message: &Message, outs: &mut Vec<Out>) {
        let content = Acknowledge {
            message_type: message.kind.name().to_owned(),
            message_id: message.id.to_string(),
            sequence: message.sequence,
            is_sequential: true,
        };
        self.send_alone(Kind::Acknowledge, &content, outs);
    }

    /// Sends a message that is not acknowledged.
    fn send_alone<T: Json>(&mut self, kind: Kind, content: &T, outs: &mut Vec<Out>) {
        let frame = content.to_bytes().map_err(Ignored::Payload);
        let frame = frame.and_then(|payload| self.make(kind, payload).encode().map_err(Ignored::Frame));
        outs.push(frame.map_or_else(Out::Ignored, Out::Send));
    }

    fn deliver(&mut self, payload_type: Type, payload: Bytes, outs: &mut Vec<Out>) {
        let ready = matches!(self.phase, Phase::Ready | Phase::Closing { .. });
        match (payload_type, &self.role) {
            (Type::HandshakeResponse, Role::Agent(_)) if !ready => self.conclude(&payload, outs),
            (Type::HandshakeRequest, Role::Client { .. }) => self.answer(&payload, outs),
            (Type::HandshakeComplete, Role::Client { .. }) if !ready => self.complete(&payload, outs),
            (payload_type, _) if is_own(payload_type) => {
                outs.push(Out::Ignored(Ignored::PayloadType(payload_type)));
            }
            // An agent accepts no data before its handshake; for a client, data means that there is no handshake
            // (plugin `src/sessionmanagerplugin/session/sessionhandler.go`, ProcessFirstMessage).
            (payload_type, Role::Agent(_)) if !ready => {
                outs.push(Out::Ignored(Ignored::PayloadType(payload_type)));
            }
            (payload_type, role) => {
                if let Role::Client { ready, .. } = role {
                    self.begin(ready.clone(), outs);
                }
                outs.push(Out::Data { payload_type, payload });
            }
        }
    }

    /// The agent has the client's response.
    fn conclude(&mut self, payload: &[u8], outs: &mut Vec<Out>) {
        let response = match HandshakeResponse::from_bytes(payload) {
            Ok(response) => response,
            Err(error) => return self.fail(error.to_string(), outs),
        };
        if let Err(reason) = handshake::judge(&response) {
            return self.fail(reason, outs);
        }
        let (Role::Agent(Agent { handshake: Some(offer), .. }), Phase::Handshake { since }) =
            (&self.role, &self.phase)
        else {
            return;
        };
        let ready = Ready {
            peer_version: response.client_version,
            session: Some(offer.session.clone()),
            customer_message: offer.customer_message.clone(),
        };
        let complete =
            HandshakeComplete::after(self.now.saturating_sub(*since), ready.customer_message.clone());
        self.shake(Type::HandshakeComplete, complete.to_bytes(), outs);
        self.begin(ready, outs);
    }

    /// The client has the agent's request.
    fn answer(&mut self, payload: &[u8], outs: &mut Vec<Out>) {
        let Role::Client { version, ready, refused } = &mut self.role else { return };
        let request = match HandshakeRequest::from_bytes(payload) {
            Ok(request) => request,
            Err(error) => return self.fail(error.to_string(), outs),
        };
        let (response, session) = handshake::answer(version, &request);
        *ready = Ready { peer_version: request.agent_version, session, ..Ready::default() };
        *refused = (!response.errors.is_empty()).then(|| response.errors.join("; "));
        self.shake(Type::HandshakeResponse, response.to_bytes(), outs);
    }

    /// The client may begin.
    fn complete(&mut self, payload: &[u8], outs: &mut Vec<Out>) {
        match (HandshakeComplete::from_bytes(payload), &self.role) {
            (Ok(HandshakeComplete { customer_message, .. }), Role::Client { ready, .. }) => {
                self.begin(Ready { customer_message, ..ready.clone() }, outs);
            }
            (Ok(_), Role::Agent(_)) => {}
            (Err(error), _) => self.fail(error.to_string(), outs),
        }
    }

    /// Sends a message of the handshake. There is always room: nothing else is sent before.
    fn shake(&mut self, kind: Type, payload: Result<Bytes, crate::payload::Error>, outs: &mut Vec<Out>) {
        let pushed = payload.map_err(|error| error.to_string());
        let pushed = pushed.and_then(|payload| self.push(kind, payload).map_err(|error| error.to_string()));
        if let Err(reason) = pushed {
            self.fail(reason, outs);
        }
    }

    fn fail(&mut self, reason: String, outs: &mut Vec<Out>) {
        self.end(End::HandshakeFailed { reason }, outs);
    }

    fn resume(&mut self) {
        if self.paused.take().is_some() {
            self.outgoing.resume(self.now);
        }
    }

    /// Does what is due by now: ends the session, or sends what is to be sent, for the first time or again.
    fn settle(&mut self, outs: &mut Vec<Out>) {
        if self.is_ended() {
            return;
        }
        if let Some(end) = self.overdue() {
            return self.end(end, outs);
        }
        if self.paused.is_none() {
            let frames = self.outgoing.flush(self.now).into_iter().chain(self.outgoing.due(self.now));
            outs.extend(frames.map(Out::Send));
        }
    }

    fn overdue(&self) -> Option<End> {
        match &self.phase {
            Phase::Handshake { since } if *since + self.handshake_limit() <= self.now => {
                return Some(End::HandshakeTimedOut);
            }
            Phase::Closing { since, .. } if self.outgoing.len() == 0 || *since + DRAIN <= self.now => {
                return Some(End::Closed);
            }
            _ => {}
        }
        match self.paused {
            Some(since) => (since + MOST_PAUSE <= self.now).then_some(End::Paused),
            None => self.outgoing.given_up(self.now).map(|sequence| End::Unacknowledged { sequence }),
        }
    }

    fn end(&mut self, end: End, outs: &mut Vec<Out>) {
        let end = match (&self.role, end) {
            (
                Role::Client { refused: Some(reason), .. },
                End::ClosedByPeer { .. } | End::HandshakeTimedOut,
            ) => End::HandshakeFailed { reason: reason.clone() },
            (_, end) => end,
        };
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        let output = match (phase, &end) {
            (_, End::ClosedByPeer { .. }) => None,
            (Phase::Closing { output, .. }, End::Closed) => Some(output),
            _ => Some(end.to_string()),
        };
        if let (Role::Agent(agent), Some(output)) = (&self.role, output) {
            let closed = ChannelClosed {
                destination_id: agent.target.clone(),
                session_id: agent.session_id.clone(),
                message_type: Kind::ChannelClosed.name().to_owned(),
                schema_version: i64::from(SCHEMA_VERSION),
                output,
                ..ChannelClosed::default()
            };
            self.close_channel(closed, outs);
        }
        outs.push(Out::Ended(end));
    }

    /// Sends `channel_closed`, whose payload repeats the fields of its frame.
    fn close_channel(&mut self, mut closed: ChannelClosed, outs: &mut Vec<Out>) {
        let mut message = self.make(Kind::ChannelClosed, Bytes::new());
        closed.message_id = message.id.to_string();
        closed.created_date = message.created.to_string();
        let frame = closed.to_bytes().map_err(Ignored::Payload).and_then(|payload| {
            message.payload = payload;
            message.encode().map_err(Ignored::Frame)
        });
        outs.push(frame.map_or_else(Out::Ignored, Out::Send));
    }
}

/// Whether payloads of a type belong to the session, and never to a program or a user.
fn is_own(payload_type: Type) -> bool {
    matches!(
        payload_type,
        Type::None
            | Type::HandshakeRequest
            | Type::HandshakeResponse
            | Type::HandshakeComplete
            | Type::EncryptionChallengeRequest
            | Type::EncryptionChallengeResponse
    )
}
