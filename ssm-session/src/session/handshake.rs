//! The handshake's three messages, as functions of values. The agent requests, the client responds, the agent completes.
//!
//! Source: plugin `src/datachannel/streaming.go`, handleHandshakeRequest; agent `datachannel/datachannel.go`,
//! PerformHandshake and handleHandshakeResponse.

use serde::Deserialize;
use serde_json::Value;

use crate::payload::{
    ActionStatus, Error, HandshakeRequest, HandshakeResponse, INTERACTIVE_COMMANDS, Json, KMS_ENCRYPTION,
    NON_INTERACTIVE_COMMANDS, PORT, ProcessedAction, RequestedAction, SESSION_TYPE, STANDARD_STREAM,
    SessionTypeRequest,
};

/// The agent's request for a session of one type.
pub(super) fn request(agent_version: &str, session: &SessionTypeRequest) -> Result<HandshakeRequest, Error> {
    let action_parameters = serde_json::to_value(session)
        .map_err(|source| Error::Json { name: SessionTypeRequest::NAME, source })?;
    Ok(HandshakeRequest {
        agent_version: agent_version.to_owned(),
        requested_client_actions: vec![RequestedAction {
            action_type: SESSION_TYPE.to_owned(),
            action_parameters,
        }],
    })
}

/// The client's response, and the requested session.
pub(super) fn answer(
    client_version: &str,
    request: &HandshakeRequest,
) -> (HandshakeResponse, Option<SessionTypeRequest>) {
    let mut session = None;
    let mut response =
        HandshakeResponse { client_version: client_version.to_owned(), ..HandshakeResponse::default() };
    for action in &request.requested_client_actions {
        let done = process(action).map(|agreed| session = Some(agreed));
        let (action_status, error) = match done {
            Ok(()) => (ActionStatus::Success, String::new()),
            Err((status, error)) => (status, error),
        };
        if !error.is_empty() {
            response.errors.push(error.clone());
        }
        response.processed_client_actions.push(ProcessedAction {
            action_type: action.action_type.clone(),
            action_status,
            action_result: Value::Null,
            error,
        });
    }
    (response, session)
}

fn process(action: &RequestedAction) -> Result<SessionTypeRequest, (ActionStatus, String)> {
    match action.action_type.as_str() {
        SESSION_TYPE => {
            let failed = |error: String| {
                (ActionStatus::Failed, format!("Failed to process action {SESSION_TYPE}: {error}"))
            };
            let session = SessionTypeRequest::deserialize(&action.action_parameters)
                .map_err(|error| failed(error.to_string()))?;
            let known = [STANDARD_STREAM, INTERACTIVE_COMMANDS, NON_INTERACTIVE_COMMANDS, PORT];
            if known.contains(&session.session_type.as_str()) {
                Ok(session)
            } else {
                Err(failed(format!("Unknown session type {}", session.session_type)))
            }
        }
        KMS_ENCRYPTION => {
            Err((ActionStatus::Unsupported, "This client does not encrypt sessions with AWS KMS".to_owned()))
        }
        other => Err((ActionStatus::Unsupported, format!("Unsupported action {other}"))),
    }
}

/// The agent's evaluation of a response: everything succeeded, or why not.
pub(super) fn judge(response: &HandshakeResponse) -> Result<(), String> {
    let mut actions = response.processed_client_actions.iter();
    actions.find(|action| action.action_status != ActionStatus::Success).map_or(Ok(()), |failed| {
        let status = i64::from(failed.action_status);
        Err(format!("{} failed on client with status {status} error: {}", failed.action_type, failed.error))
    })
}
