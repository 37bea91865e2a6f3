//! The binary frame: one WebSocket message of type binary, in either direction. The plugin calls it ClientMessage,
//! the agent AgentMessage; the bytes are the same.
//!
//! Everything is big endian. Sizes and offsets in bytes:
//!
//! ```text
//!   0  HeaderLength    4   116: all up to PayloadLength; 112 if the service leaves PayloadType out
//!   4  MessageType    32   ASCII, padded with spaces, by the service also with NUL
//!  36  SchemaVersion   4   1
//!  40  CreatedDate     8   milliseconds since the Unix epoch
//!  48  SequenceNumber  8   signed; counts the stream messages of one direction from 0
//!  56  Flags           8   bit 0 SYN, bit 1 FIN
//!  64  MessageId      16   a UUID, its least significant 8 bytes first
//!  80  PayloadDigest  32   SHA-256 of the payload
//! 112  PayloadType     4
//! 116  PayloadLength   4
//! 120  Payload
//! ```
//!
//! Source: plugin `src/message/{clientmessage,messageparser}.go`, agent `contracts/agentmessage.go`. That the
//! service's own `channel_closed` has a header of 112 bytes and NULs is from github.com/mmmorris1975/ssm-session-client,
//! `datachannel/agent_message.go`, which is used against AWS.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::payload;

/// `HeaderLength` of every frame that agent and client write.
pub const HEADER_LENGTH: u32 = 116;

/// `HeaderLength` of a frame without `PayloadType`, as the service writes `channel_closed`.
const SHORT_HEADER_LENGTH: u32 = 112;

/// Bytes of the field `MessageType`.
const KIND_LENGTH: usize = 32;

/// Bytes of a payload at most, both ways. Ours: AWS names no limit; agent and plugin write 1,024 at a time, and a
/// handshake that carries a long command stays far below this.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// `Flags` of the first stream message of an agent (agent `datachannel/datachannel.go`, SendStreamDataMessage).
pub const FLAG_SYN: u64 = 1;

/// `Flags` of an acknowledgement and of all that is not part of a stream: SYN and FIN, a sequence of one message
/// (plugin `src/message/messageparser.go`; agent `datachannel/datachannel.go`, messageFlags).
pub const FLAGS_ALONE: u64 = 3;

/// One frame. `HeaderLength`, `PayloadDigest` and `PayloadLength` follow from the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    /// 1 from agent and plugin; neither checks it, and so it is not checked here.
    pub schema_version: u32,
    /// Milliseconds since the Unix epoch; 0 is refused by the other side.
    pub created: u64,
    /// The place in its direction's stream, from 0; 0 if it is not a stream message.
    pub sequence: i64,
    /// [`FLAG_SYN`] and FIN (2).
    pub flags: u64,
    pub id: Uuid,
    pub payload_type: payload::Type,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub payload: Bytes,
}

/// `MessageType` of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// From the client: what was typed, sizes, flags, the answer to the handshake. Sequenced and acknowledged.
    InputStreamData,
    /// From the agent: output, the handshake. Sequenced and acknowledged.
    OutputStreamData,
    /// [`payload::Acknowledge`], for one stream message of the other direction.
    Acknowledge,
    /// [`payload::ChannelClosed`]: the session has ended.
    ChannelClosed,
    /// Stream messages may be sent again.
    StartPublication,
    /// Stream messages are to be held back: the other end is not connected.
    PausePublication,
    /// Only from an agent to the service: connected, or about to terminate.
    AgentSessionState,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::InputStreamData,
        Self::OutputStreamData,
        Self::Acknowledge,
        Self::ChannelClosed,
        Self::StartPublication,
        Self::PausePublication,
        Self::AgentSessionState,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::InputStreamData => "input_stream_data",
            Self::OutputStreamData => "output_stream_data",
            Self::Acknowledge => "acknowledge",
            Self::ChannelClosed => "channel_closed",
            Self::StartPublication => "start_publication",
            Self::PausePublication => "pause_publication",
            Self::AgentSessionState => "agent_session_state",
        }
    }

    /// Whether the frame's kind is all of its content. The plugin checks nothing else of such a frame (Validate in
    /// `src/message/messageparser.go`), so only its fixed fields are read here.
    fn is_bare(self) -> bool {
        matches!(self, Self::StartPublication | Self::PausePublication)
    }

    fn from_wire(field: &[u8]) -> Result<Self, Error> {
        let from = field.iter().position(|&byte| !is_padding(byte)).unwrap_or(field.len());
        let to = field.iter().rposition(|&byte| !is_padding(byte)).map_or(from, |last| last + 1);
        let name = &field[from..to];
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
            .ok_or_else(|| Error::Kind { found: String::from_utf8_lossy(name).into_owned() })
    }
}

fn is_padding(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace()
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A field of the frame, under AWS's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    HeaderLength,
    MessageType,
    SchemaVersion,
    CreatedDate,
    SequenceNumber,
    Flags,
    MessageId,
    PayloadDigest,
    PayloadType,
    PayloadLength,
    Payload,
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// Why bytes are not a frame, or a message cannot become one. Each names the field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{field} does not fit: it ends at byte {needs}, the frame has {has}")]
    Truncated { field: Field, needs: usize, has: usize },
    #[error("HeaderLength is {found}, not {HEADER_LENGTH} or {SHORT_HEADER_LENGTH}")]
    HeaderLength { found: u32 },
    #[error("MessageType {found:?} is unknown")]
    Kind { found: String },
    #[error("CreatedDate is missing")]
    Created,
    #[error("PayloadDigest is not that of the payload")]
    Digest,
    #[error("PayloadLength is {found} bytes, more than {MAX_PAYLOAD}")]
    TooLarge { found: usize },
    #[error("Payload is {found} bytes longer than PayloadLength")]
    Trailing { found: usize },
}

impl Error {
    /// The field that is wrong.
    pub fn field(&self) -> Field {
        match self {
            Self::Truncated { field, .. } => *field,
            Self::HeaderLength { .. } => Field::HeaderLength,
            Self::Kind { .. } => Field::MessageType,
            Self::Created => Field::CreatedDate,
            Self::Digest => Field::PayloadDigest,
            Self::TooLarge { .. } => Field::PayloadLength,
            Self::Trailing { .. } => Field::Payload,
        }
    }
}

impl Message {
    /// The frame's bytes.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if the payload is.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let too_large = || Error::TooLarge { found: self.payload.len() };
        if self.payload.len() > MAX_PAYLOAD {
            return Err(too_large());
        }
        let length = u32::try_from(self.payload.len()).map_err(|_| too_large())?;
        let mut kind = [b' '; KIND_LENGTH];
        for (place, &byte) in kind.iter_mut().zip(self.kind.name().as_bytes()) {
            *place = byte;
        }
        let (most, least) = self.id.as_u64_pair();
        let mut frame = BytesMut::with_capacity(HEADER_LENGTH as usize + 4 + self.payload.len());
        frame.put_u32(HEADER_LENGTH);
        frame.put_slice(&kind);
        frame.put_u32(self.schema_version);
        frame.put_u64(self.created);
        frame.put_i64(self.sequence);
        frame.put_u64(self.flags);
        frame.put_u64(least);
        frame.put_u64(most);
        frame.put_slice(&Sha256::digest(&self.payload));
        frame.put_u32(self.payload_type.into());
        frame.put_u32(length);
        frame.put_slice(&self.payload);
        Ok(frame.freeze())
    }

    /// The message in a frame. Its payload shares the frame's memory.
    ///
    /// The digest of an empty payload is not checked, as in the plugin; [`Kind::StartPublication`] and
    /// [`Kind::PausePublication`] are read without date, digest and payload.
    ///
    /// # Errors
    ///
    /// A field that is wrong. If several are, which one is not defined.
    pub fn decode(frame: &Bytes) -> Result<Self, Error> {
        let mut fields = Fields { frame, at: 0 };
        let header_length = u32::from_be_bytes(fields.take(Field::HeaderLength)?);
        let kind = Kind::from_wire(&fields.take::<KIND_LENGTH>(Field::MessageType)?)?;
        if !kind.is_bare() && ![HEADER_LENGTH, SHORT_HEADER_LENGTH].contains(&header_length) {
            return Err(Error::HeaderLength { found: header_length });
        }
        let mut message = Self {
            kind,
            schema_version: u32::from_be_bytes(fields.take(Field::SchemaVersion)?),
            created: u64::from_be_bytes(fields.take(Field::CreatedDate)?),
            sequence: i64::from_be_bytes(fields.take(Field::SequenceNumber)?),
            flags: u64::from_be_bytes(fields.take(Field::Flags)?),
            id: swapped(u128::from_be_bytes(fields.take(Field::MessageId)?)),
            payload_type: payload::Type::None,
            payload: Bytes::new(),
        };
        if kind.is_bare() {
            return Ok(message);
        }
        if message.created == 0 {
            return Err(Error::Created);
        }
        let digest: [u8; 32] = fields.take(Field::PayloadDigest)?;
        if header_length == HEADER_LENGTH {
            message.payload_type = u32::from_be_bytes(fields.take(Field::PayloadType)?).into();
        }
        message.payload = fields.payload()?;
        if !message.payload.is_empty() && digest != *Sha256::digest(&message.payload) {
            return Err(Error::Digest);
        }
        Ok(message)
    }
}

/// A UUID whose two halves were exchanged.
fn swapped(wire: u128) -> Uuid {
    Uuid::from_u128(wire.rotate_left(64))
}

/// Reads a frame from its start.
struct Fields<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self, field: Field) -> Result<[u8; N], Error> {
        let truncated = Error::Truncated { field, needs: self.at + N, has: self.frame.len() };
        let bytes = self.frame.get(self.at..).and_then(|rest| rest.first_chunk()).ok_or(truncated)?;
        self.at += N;
        Ok(*bytes)
    }

    /// `PayloadLength`, and the payload of exactly so many bytes.
    fn payload(&mut self) -> Result<Bytes, Error> {
        let length = u32::from_be_bytes(self.take(Field::PayloadLength)?);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_PAYLOAD {
            return Err(Error::TooLarge { found: length });
        }
        let (needs, has) = (self.at + length, self.frame.len());
        if needs > has {
            return Err(Error::Truncated { field: Field::Payload, needs, has });
        }
        if needs < has {
            return Err(Error::Trailing { found: has - needs });
        }
        Ok(self.frame.slice(self.at..))
    }
}
