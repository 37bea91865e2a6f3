//! What the two sides are, each with what it must know at the start.

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

/// The side that runs the program, and that ends the session towards the client as the service does.
#[derive(Clone, Debug)]
pub struct Agent {
    pub session_id: String,
    /// The session's target, as the service names it in `channel_closed`.
    pub target: String,
    /// `AgentVersion` of the handshake, such as `3.1.1732.0`. The plugin goes by it for port sessions alone.
    pub version: String,
    /// What the client is asked to agree on; none begins at once. An agent of AWS's asks where the session's plugin
    /// requires it or the session is encrypted (agent `plugins/sessionplugin/sessionplugin.go`).
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

/// The side, with what the handshake has brought.
#[derive(Debug)]
pub(super) enum Role {
    Agent(Agent),
    Client {
        version: String,
        /// What the handshake has brought so far.
        ready: Ready,
        /// Why it was not agreed to.
        refused: Option<String>,
    },
}
