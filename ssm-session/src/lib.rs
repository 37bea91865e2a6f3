//! The protocol of AWS Systems Manager Session Manager's data channel, as both sides speak it over one WebSocket.
//! Pure: no I/O, no clock, no randomness. Events go in, with the time; actions come out.
//!
//! ```text
//!  binary WebSocket message ─▶ message::Message ─▶ session::Session ─▶ Out::Data, Out::Ready, Out::Ended
//!  what the user typed, or the program wrote ─────▶ (one per side)  ─▶ Out::Send: a binary WebSocket message
//! ```
//!
//! - [`message`]: the binary frame.
//! - [`payload`]: the types of payload, and those that are JSON, numbers or fixed text.
//! - [`session`]: sequence numbers, acknowledgements, retransmission, the handshake and the end, for both roles.
//!
//! Only its tests use this crate yet. Two parts will: the emulator, as agent and service in one, to serve
//! `ecs execute-command` to AWS's session-manager-plugin; and the provider, as client, for `kubectl exec`.
//!
//! Sources, named as `plugin` and `agent` throughout: github.com/aws/session-manager-plugin at b79d06c1d3a2 (1.3.0.0),
//! and github.com/aws/amazon-ssm-agent, `agent/session/`. KMS encryption of a session is not supported: a client
//! answers a request for it with "unsupported", and an agent then ends the session.

pub mod message;
pub mod payload;
pub mod session;

pub use message::Message;
pub use session::Session;
