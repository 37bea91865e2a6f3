//! The input and output of a session: the whole interface besides [`Session`](super::Session) itself.

use bytes::Bytes;

use super::limits::{GIVE_UP, MOST_PAUSE};
use crate::message::{self, Kind};
use crate::payload::{self, SessionTypeRequest};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The WebSocket is open and the text message with the token has been sent over it. Again after a reconnection:
    /// everything that is not acknowledged is sent once more.
    Opened,
    /// A binary WebSocket message arrived.
    Frame(Bytes),
    /// Bytes for the other side. [`Output`](payload::Type::Output) and [`StdErr`](payload::Type::StdErr) are cut
    /// into messages of [`CHUNK`](super::CHUNK) bytes, anything else is one message. All of it is accepted or, with
    /// a [`Refused`], nothing. Without bytes there is no message.
    Send { payload_type: payload::Type, payload: Bytes },
    /// A client's: the session begins without waiting for a handshake. An agent without a handshake sends nothing
    /// until its program writes, and such a program may first wait for input. If a handshake follows after all, it
    /// is answered. At any other time, and for an agent, it does nothing.
    SkipHandshake,
    /// Only the time has passed: [`Session::wake`](super::Session::wake) requested it.
    Tick,
    /// This side is done. What was sent has [`DRAIN`](super::DRAIN) to be acknowledged, then the session ends; an
    /// agent's shows `output` to the user.
    Close { output: String },
}

/// Something to do, in this order.
#[derive(Debug)]
pub enum Out {
    /// A binary WebSocket message to write.
    Send(Bytes),
    /// The session begins: [`Event::Send`] is accepted from here on. Once.
    Ready(Ready),
    /// A payload of the other side, each once and in the order in which it was sent.
    Data { payload_type: payload::Type, payload: Bytes },
    /// Something of the other side was dropped; for a log.
    Ignored(Ignored),
    /// The session is over; the WebSocket is to be closed. Once, and last.
    Ended(End),
}

/// The parameters of a session that begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ready {
    /// The version that the other side named in the handshake; empty without one.
    pub peer_version: String,
    /// What kind of session the handshake agreed on; none without one.
    pub session: Option<SessionTypeRequest>,
    /// A line for the user; may be empty.
    pub customer_message: String,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    #[error("the session was closed")]
    Closed,
    #[error("the other side closed the session: {output:?}")]
    ClosedByPeer { output: String },
    #[error("message {sequence} was not acknowledged for {} s", GIVE_UP.as_secs())]
    Unacknowledged { sequence: i64 },
    #[error("the handshake timed out")]
    HandshakeTimedOut,
    #[error("the handshake failed: {reason}")]
    HandshakeFailed { reason: String },
    #[error("the session was paused for {} min", MOST_PAUSE.as_secs() / 60)]
    Paused,
}

/// Why [`Event::Send`] was not accepted. The session is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Data before the end of a handshake is acknowledged and lost (agent `datachannel/datachannel.go`,
    /// processStreamDataMessage).
    #[error("the session has not begun")]
    NotReady,
    #[error("the session is closing or over")]
    Over,
    /// To be retried after the next acknowledgement; to be cut by the caller if it never fits.
    #[error("{needed} messages do not fit, there is room for {room}")]
    Full { needed: usize, room: usize },
    #[error("a payload of {found} bytes is too large")]
    TooLarge { found: usize },
    #[error("{0:?} is the session's own")]
    PayloadType(payload::Type),
}

/// What was dropped.
#[derive(Debug, thiserror::Error)]
pub enum Ignored {
    #[error("a frame cannot be read")]
    Frame(#[source] message::Error),
    #[error("a payload cannot be read")]
    Payload(#[source] payload::Error),
    #[error("{0} is not for this side")]
    Kind(Kind),
    #[error("{0:?} is not for this side, or not now")]
    PayloadType(payload::Type),
    /// Acknowledged again: the acknowledgement may have been lost. Plugin and agent do not.
    #[error("message {sequence} has arrived before")]
    Duplicate { sequence: i64 },
    #[error("there is no room to keep message {sequence} until those before it arrive")]
    NoRoom { sequence: i64 },
}
