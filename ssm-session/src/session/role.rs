//! The two sides, each with its parameters.

use uuid::Uuid;

use super::event::Ready;
use super::limits::Limits;
use crate::payload::SessionTypeRequest;

/// What every session needs besides its role.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A random UUID of this session's side, from which those of its messages are derived.
    pub seed: Uuid,
    /// The wall clock at the time 0 of [`Session::next`](super::Session::next), in milliseconds since the Unix epoch. Not 0: see
    /// [`Message::created`](crate::Message::created).
    pub started: u64,
    pub limits: Limits,
}

/// The side that runs the program, and that ends the session for the client as the service does.
#[derive(Clone, Debug)]
pub struct Agent {
    pub session_id: String,
    /// The session's target, as the service names it in `channel_closed`.
    pub target: String,
    /// `AgentVersion` of the handshake, such as `3.1.1732.0`. The plugin uses it only for port sessions.
    pub version: String,
    /// The handshake's offer to the client; without one the session begins at once. An agent of AWS's has one if the session's
    /// plugin requires it or the session is encrypted (agent `plugins/sessionplugin/sessionplugin.go`).
    pub handshake: Option<Offer>,
}

/// What an agent offers.
#[derive(Clone, Debug)]
pub struct Offer {
    pub session: SessionTypeRequest,
    /// A line for the user when it is accepted; may be empty.
    pub customer_message: String,
}

/// The user's side.
#[derive(Clone, Debug)]
pub struct Client {
    /// `ClientVersion` of the handshake, such as `1.3.0.0`.
    pub version: String,
}

/// The side, with the results of the handshake.
#[derive(Debug)]
pub(super) enum Role {
    Agent(Agent),
    Client {
        version: String,
        /// The results of the handshake so far.
        ready: Ready,
        /// Why it was refused.
        refused: Option<String>,
    },
}
