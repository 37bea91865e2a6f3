//! The content of a frame: its types, and the payloads that are JSON, a number or fixed text. The names of JSON's
//! members are AWS's.
//!
//! JSON from the other side is Go's: a list, a text or a value that was never set may be `null`, and is read as
//! empty; unknown members are ignored.
//!
//! Source: plugin `src/message/{clientmessage,handshakemessage}.go`, `src/service/service.go`; agent
//! `contracts/model.go`.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// `MessageSchemaVersion` of [`OpenDataChannel`] (plugin `src/config/config.go`).
pub const MESSAGE_SCHEMA_VERSION: &str = "1.0";

/// `SessionType` of a shell (plugin `src/config/config.go`, ShellPluginName).
pub const STANDARD_STREAM: &str = "Standard_Stream";

/// `SessionType` of one command with a terminal, as `ecs execute-command` starts (same file).
pub const INTERACTIVE_COMMANDS: &str = "InteractiveCommands";

/// `SessionType` of one command without a terminal (same file).
pub const NON_INTERACTIVE_COMMANDS: &str = "NonInteractiveCommands";

/// `SessionType` of port forwarding (same file).
pub const PORT: &str = "Port";

/// `ActionType` that specifies the kind of session to the client; parameters: [`SessionTypeRequest`].
pub const SESSION_TYPE: &str = "SessionType";

/// `ActionType` that asks for encryption; parameters: [`KmsEncryptionRequest`].
pub const KMS_ENCRYPTION: &str = "KMSEncryption";

/// The beginning of an exit code's payload (agent `shell/shell.go`, sendExitCode).
const EXIT_CODE: &str = "EXIT_CODE: ";

/// `PayloadType` of a frame: the whole number's range, so that an unknown number is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// 0: not a stream message.
    None,
    /// 1: what was typed, or the program's output.
    Output,
    /// 2: text about an error.
    Error,
    /// 3: [`Size`].
    Size,
    /// 4: parameters of a port session.
    Parameter,
    /// 5: [`HandshakeRequest`].
    HandshakeRequest,
    /// 6: [`HandshakeResponse`].
    HandshakeResponse,
    /// 7: [`HandshakeComplete`].
    HandshakeComplete,
    /// 8: of encryption, which is not supported here.
    EncryptionChallengeRequest,
    /// 9: of encryption, which is not supported here.
    EncryptionChallengeResponse,
    /// 10: [`Flag`].
    Flag,
    /// 11: the program's standard error, if it is kept apart.
    StdErr,
    /// 12: the program's exit code, as [`exit_code`] writes it.
    ExitCode,
    /// Any other.
    Other(u32),
}

impl Type {
    /// Whether the payload is a piece of a byte stream, and may be cut anywhere.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Output | Self::StdErr)
    }
}

impl From<u32> for Type {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Output,
            2 => Self::Error,
            3 => Self::Size,
            4 => Self::Parameter,
            5 => Self::HandshakeRequest,
            6 => Self::HandshakeResponse,
            7 => Self::HandshakeComplete,
            8 => Self::EncryptionChallengeRequest,
            9 => Self::EncryptionChallengeResponse,
            10 => Self::Flag,
            11 => Self::StdErr,
            12 => Self::ExitCode,
            other => Self::Other(other),
        }
    }
}

impl From<Type> for u32 {
    fn from(kind: Type) -> Self {
        match kind {
            Type::None => 0,
            Type::Output => 1,
            Type::Error => 2,
            Type::Size => 3,
            Type::Parameter => 4,
            Type::HandshakeRequest => 5,
            Type::HandshakeResponse => 6,
            Type::HandshakeComplete => 7,
            Type::EncryptionChallengeRequest => 8,
            Type::EncryptionChallengeResponse => 9,
            Type::Flag => 10,
            Type::StdErr => 11,
            Type::ExitCode => 12,
            Type::Other(number) => number,
        }
    }
}

/// Why a payload does not fit its type.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name} is not the JSON that it should be")]
    Json { name: &'static str, source: serde_json::Error },
    #[error("Flag is {found:?}, not 4 bytes of a known flag")]
    Flag { found: Vec<u8> },
    #[error("ExitCode is {found:?}, not \"{EXIT_CODE}\" and a number")]
    ExitCode { found: String },
}

/// A payload that is JSON.
pub trait Json: Serialize + DeserializeOwned {
    /// AWS's name of it, for errors.
    const NAME: &'static str;

    /// The payload's bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Json`], only in theory: every member has text as its name.
    fn to_bytes(&self) -> Result<Bytes, Error> {
        serde_json::to_vec(self).map(Bytes::from).map_err(|source| Error::Json { name: Self::NAME, source })
    }

    /// The payload in these bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Json`] if they are another payload's, or not JSON.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|source| Error::Json { name: Self::NAME, source })
    }
}

macro_rules! json {
    ($($payload:ident),*) => {
        $(impl Json for $payload { const NAME: &'static str = stringify!($payload); })*
    };
}

json!(Acknowledge, ChannelClosed, Size, OpenDataChannel);
json!(HandshakeRequest, HandshakeResponse, HandshakeComplete, SessionTypeRequest, KmsEncryptionRequest);
json!(KmsEncryptionResponse);

/// Go's `null` for a value that was never set.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// One stream message has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge {
    /// The message's [`Kind`](crate::message::Kind), by name.
    #[serde(rename = "AcknowledgedMessageType")]
    pub message_type: String,
    /// Its UUID, with hyphens.
    #[serde(rename = "AcknowledgedMessageId")]
    pub message_id: String,
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub sequence: i64,
    /// True from agent and plugin.
    #[serde(rename = "IsSequentialMessage", default)]
    pub is_sequential: bool,
}

/// The session has ended. The plugin prints `output`, or its own line if that is empty, and exits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChannelClosed {
    pub message_id: String,
    /// Milliseconds since the Unix epoch, as text.
    pub created_date: String,
    /// The session's target.
    pub destination_id: String,
    pub session_id: String,
    /// `channel_closed`.
    pub message_type: String,
    /// 1.
    pub schema_version: i64,
    /// Why, for the user; may be empty.
    #[serde(deserialize_with = "or_default")]
    pub output: String,
}

/// The terminal's size, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub cols: u32,
    pub rows: u32,
}

/// The first message on a WebSocket, as *text*: the side's identity, with the token that StartSession or ResumeSession gave.
/// A client sends `client_version`, an agent `client_instance_id` instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannel {
    /// [`MESSAGE_SCHEMA_VERSION`].
    pub message_schema_version: String,
    /// A UUID of this request.
    pub request_id: String,
    pub token_value: String,
    /// A UUID of the client. Other clients omit it.
    #[serde(default, deserialize_with = "or_default")]
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_instance_id: Option<String>,
}

/// The agent's first stream message, unless it omits the handshake.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequest {
    #[serde(default, deserialize_with = "or_default")]
    pub agent_version: String,
    #[serde(default, deserialize_with = "or_default")]
    pub requested_client_actions: Vec<RequestedAction>,
}

/// Something that the client is to do before the session begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestedAction {
    /// [`SESSION_TYPE`] or [`KMS_ENCRYPTION`].
    pub action_type: String,
    /// Of the action's own shape.
    #[serde(default)]
    pub action_parameters: Value,
}

/// Parameters of [`SESSION_TYPE`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SessionTypeRequest {
    /// [`STANDARD_STREAM`], [`INTERACTIVE_COMMANDS`], [`NON_INTERACTIVE_COMMANDS`] or [`PORT`].
    pub session_type: String,
    /// Of the type's own shape; null if it has none.
    #[serde(default)]
    pub properties: Value,
}

/// Parameters of [`KMS_ENCRYPTION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsEncryptionRequest {
    #[serde(rename = "KMSKeyId")]
    pub key_id: String,
}

/// Result of [`KMS_ENCRYPTION`]; both in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsEncryptionResponse {
    #[serde(rename = "KMSCipherTextKey")]
    pub cipher_text_key: Option<String>,
    #[serde(rename = "KMSCipherTextHash")]
    pub cipher_text_hash: Option<String>,
}

/// The client's answer to [`HandshakeRequest`]: one entry per action, in the same order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponse {
    #[serde(default, deserialize_with = "or_default")]
    pub client_version: String,
    #[serde(default, deserialize_with = "or_default")]
    pub processed_client_actions: Vec<ProcessedAction>,
    #[serde(default, deserialize_with = "or_default")]
    pub errors: Vec<String>,
}

/// The result of one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessedAction {
    #[serde(default, deserialize_with = "or_default")]
    pub action_type: String,
    pub action_status: ActionStatus,
    #[serde(default)]
    pub action_result: Value,
    #[serde(default, deserialize_with = "or_default")]
    pub error: String,
}

/// `ActionStatus`: a number on the wire. The plugin sends 0 for an action that it does not know (it writes the 3
/// into `ActionResult`: `src/datachannel/streaming.go`, handleHandshakeRequest); an agent treats all but 1 as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub enum ActionStatus {
    Success,
    Failed,
    Unsupported,
    Other(i64),
}

impl From<i64> for ActionStatus {
    fn from(number: i64) -> Self {
        match number {
            1 => Self::Success,
            2 => Self::Failed,
            3 => Self::Unsupported,
            other => Self::Other(other),
        }
    }
}

impl From<ActionStatus> for i64 {
    fn from(status: ActionStatus) -> Self {
        match status {
            ActionStatus::Success => 1,
            ActionStatus::Failed => 2,
            ActionStatus::Unsupported => 3,
            ActionStatus::Other(number) => number,
        }
    }
}

/// The agent's last message of the handshake: the session begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeComplete {
    /// Nanoseconds, as Go writes a duration.
    #[serde(default)]
    pub handshake_time_to_complete: i64,
    /// A line for the user; may be empty.
    #[serde(default, deserialize_with = "or_default")]
    pub customer_message: String,
}

impl HandshakeComplete {
    /// After a handshake of this length.
    pub fn after(duration: Duration, customer_message: String) -> Self {
        let handshake_time_to_complete = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self { handshake_time_to_complete, customer_message }
    }
}

/// The value of a [`Type::Flag`]: a number of 4 bytes, big endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// 1: the connection of a port session has ended.
    DisconnectToPort,
    /// 2: the client is done.
    TerminateSession,
    /// 3: the agent could not reach the port.
    ConnectToPortError,
}

impl Flag {
    /// Every flag with its number.
    const NUMBERS: [(Self, u32); 3] =
        [(Self::DisconnectToPort, 1), (Self::TerminateSession, 2), (Self::ConnectToPortError, 3)];

    /// The payload's bytes.
    pub fn to_bytes(self) -> Bytes {
        let number = Self::NUMBERS.iter().find(|(flag, _)| *flag == self).map_or(0, |(_, number)| *number);
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    /// The flag in these bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Flag`] if they are not four, or not a known flag.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let known = Self::NUMBERS.iter().find(|(_, number)| number.to_be_bytes() == bytes);
        known
            .map(|(flag, _)| *flag)
            .ok_or_else(|| Error::Flag { found: bytes.iter().take(8).copied().collect() })
    }
}

/// The payload of [`Type::ExitCode`].
pub fn exit_code(code: i32) -> Bytes {
    Bytes::from(format!("{EXIT_CODE}{code}"))
}

/// The code in a payload of [`Type::ExitCode`].
///
/// # Errors
///
/// [`Error::ExitCode`] if it is anything but what [`exit_code`] writes.
pub fn parse_exit_code(payload: &[u8]) -> Result<i32, Error> {
    let text = String::from_utf8_lossy(payload);
    let code = text.strip_prefix(EXIT_CODE).and_then(|number| number.parse().ok());
    code.ok_or_else(|| Error::ExitCode { found: text.chars().take(64).collect() })
}
