//! Times and sizes. Each names its source: `plugin` is session-manager-plugin's `src/config/config.go`, `agent`
//! amazon-ssm-agent's `agent/session/config/config.go`; if both have it, the values are the same.

use std::time::Duration;

/// Bytes of a stream in one message (plugin and agent: StreamDataPayloadSize).
pub const CHUNK: usize = 1024;

/// Before the first acknowledgement, a message is sent again after this long (plugin and agent:
/// DefaultTransmissionTimeout).
pub const FIRST_TIMEOUT: Duration = Duration::from_millis(200);

/// The round trip that is assumed before the first one (plugin and agent: DefaultRoundTripTime; the assumed
/// variation, DefaultRoundTripTimeVariation, is 0).
pub const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);

/// A message is sent again after this long at most (plugin and agent: MaxTransmissionTimeout).
pub const MOST_TIMEOUT: Duration = Duration::from_secs(1);

/// The least that is added to the round trip for a timeout (plugin and agent: ClockGranularity).
pub const GRANULARITY: Duration = Duration::from_millis(10);

/// Between two rounds of sending again (plugin and agent: ResendSleepInterval).
pub const RESEND_INTERVAL: Duration = Duration::from_millis(100);

/// Messages that one round sends again. Ours: plugin and agent send only the oldest, which takes one round per
/// message after a connection was lost.
pub const RESEND_BURST: usize = 64;

/// A message that is not acknowledged for so long ends the session (plugin: ResendMaxAttempt, 3,000 rounds, "5
/// minutes"; an agent retries for ever).
pub const GIVE_UP: Duration = Duration::from_secs(300);

/// For an agent, between its request and the client's response (agent `datachannel/datachannel.go`, handshakeTimeout).
pub const AGENT_HANDSHAKE: Duration = Duration::from_secs(15);

/// For a client, between the open channel and the beginning of the session. Ours: the plugin waits for ever. An agent
/// without a handshake is silent until the program writes: see [`Event::SkipHandshake`](super::Event).
pub const CLIENT_HANDSHAKE: Duration = Duration::from_secs(60);

/// A session that closes waits for its last acknowledgements for so long (agent `datachannel/datachannel.go`,
/// PrepareToCloseChannel).
pub const DRAIN: Duration = Duration::from_secs(2);

/// A pause of this length ends the session. Ours, after Session Manager's idle timeout, which is 20 minutes unless
/// an account sets another (user guide, "Specify an idle session timeout value").
pub const MOST_PAUSE: Duration = Duration::from_secs(20 * 60);

/// The bounds of what a session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages that are sent and not acknowledged. More is refused, so that the sender waits: plugin (10,000) and
    /// agent (100,000) lose messages there.
    pub outgoing: usize,
    /// Messages that arrived before one that they follow (plugin: IncomingMessageBufferCapacity, 10,000). More is
    /// neither kept nor acknowledged, so it is sent again.
    pub incoming: usize,
    /// Bytes of their payloads.
    pub incoming_bytes: usize,
}

impl Default for Limits {
    /// Ours: 1 MiB of chunks on the way, and 16 MiB out of order.
    fn default() -> Self {
        Self { outgoing: 1024, incoming: 10_000, incoming_bytes: 16 * 1024 * 1024 }
    }
}
