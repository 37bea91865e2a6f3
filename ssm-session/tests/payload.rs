//! JSON as the real plugin writes it (encoding/json on its own types at b79d06c1d3a2, run as a Go program), and the
//! payloads that are not JSON.

use serde_json::{Value, json};
use ssm_session::payload::{
    Acknowledge, ActionStatus, ChannelClosed, Error, Flag, HandshakeComplete, HandshakeRequest,
    HandshakeResponse, Json, KmsEncryptionRequest, KmsEncryptionResponse, OpenDataChannel,
    SessionTypeRequest, Size, exit_code, parse_exit_code,
};

/// The plugin's bytes, read and written again, are the same JSON.
fn both_ways<T: Json>(plugins: &str) -> T {
    let payload = T::from_bytes(plugins.as_bytes()).expect("the plugin's");
    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    assert_eq!(value(&payload.to_bytes().expect("JSON")), value(plugins.as_bytes()));
    payload
}

#[test]
fn an_acknowledgement_is_the_plugins() {
    let acknowledge: Acknowledge = both_ways(
        r#"{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"00112233-4455-4677-8899-aabbccddeeff","AcknowledgedMessageSequenceNumber":7,"IsSequentialMessage":true}"#,
    );
    assert_eq!(acknowledge.sequence, 7);
}

#[test]
fn a_closed_channel_is_the_plugins() {
    let closed: ChannelClosed = both_ways(
        r#"{"MessageId":"00112233-4455-4677-8899-aabbccddeeff","CreatedDate":"1767225600123","DestinationId":"d","SessionId":"s","MessageType":"channel_closed","SchemaVersion":1,"Output":"bye"}"#,
    );
    assert_eq!(closed.output, "bye");
}

#[test]
fn a_closed_channel_may_have_few_members() {
    let closed = ChannelClosed::from_bytes(br#"{"MessageSchemaVersion":"1.0","Output":null}"#).unwrap();
    assert_eq!(closed, ChannelClosed::default());
}

#[test]
fn a_size_is_the_plugins() {
    assert_eq!(both_ways::<Size>(r#"{"cols":80,"rows":24}"#), Size { cols: 80, rows: 24 });
}

#[test]
fn the_token_is_the_plugins() {
    let open: OpenDataChannel = both_ways(
        r#"{"MessageSchemaVersion":"1.0","RequestId":"00112233-4455-4677-8899-aabbccddeeff","TokenValue":"token","ClientId":"client","ClientVersion":"1.3.0.0"}"#,
    );
    assert_eq!((open.token_value.as_str(), open.client_version.as_deref()), ("token", Some("1.3.0.0")));
}

#[test]
fn a_handshakes_request_is_the_plugins() {
    let request: HandshakeRequest = both_ways(
        r#"{"AgentVersion":"3.1.1732.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"InteractiveCommands","Properties":{"linux":{"commands":"sh","runAsElevated":false}}}},{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"key"}}]}"#,
    );
    let [session, encryption] = &request.requested_client_actions[..] else { panic!("two actions") };
    let session: SessionTypeRequest = both_ways(&session.action_parameters.to_string());
    assert_eq!(session.session_type, "InteractiveCommands");
    assert_eq!(session.properties, json!({"linux": {"commands": "sh", "runAsElevated": false}}));
    let encryption: KmsEncryptionRequest = both_ways(&encryption.action_parameters.to_string());
    assert_eq!(encryption.key_id, "key");
}

#[test]
fn a_handshakes_response_is_the_plugins_with_null_for_no_errors() {
    let response = HandshakeResponse::from_bytes(
        br#"{"ClientVersion":"1.3.0.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""},{"ActionType":"KMSEncryption","ActionStatus":1,"ActionResult":{"KMSCipherTextKey":"AQID","KMSCipherTextHash":null},"Error":""},{"ActionType":"Other","ActionStatus":0,"ActionResult":3,"Error":"Unsupported action Other"}],"Errors":null}"#,
    )
    .unwrap();
    assert!(response.errors.is_empty());
    let statuses: Vec<_> = response.processed_client_actions.iter().map(|done| done.action_status).collect();
    assert_eq!(statuses, [ActionStatus::Success, ActionStatus::Success, ActionStatus::Other(0)]);
    let key: KmsEncryptionResponse =
        both_ways(&response.processed_client_actions[1].action_result.to_string());
    assert_eq!(key.cipher_text_key.as_deref(), Some("AQID"));
}

#[test]
fn a_handshakes_end_is_the_plugins() {
    let complete: HandshakeComplete =
        both_ways(r#"{"HandshakeTimeToComplete":1500000000,"CustomerMessage":"hello"}"#);
    assert_eq!(complete.handshake_time_to_complete, 1_500_000_000);
}

#[test]
fn a_status_is_a_number() {
    for (number, status) in [
        (1, ActionStatus::Success),
        (2, ActionStatus::Failed),
        (3, ActionStatus::Unsupported),
        (-9, ActionStatus::Other(-9)),
    ] {
        assert_eq!((ActionStatus::from(number), i64::from(status)), (status, number));
    }
}

#[test]
fn an_error_names_what_invalid_json_should_have_been() {
    for bytes in [&b""[..], b"{", b"[]", b"\xff", br#"{"cols":-1,"rows":1}"#] {
        let error = Size::from_bytes(bytes).unwrap_err();
        assert_eq!(error.to_string(), "Size is not the JSON that it should be");
    }
}

#[test]
fn a_flag_is_four_bytes() {
    for (flag, bytes) in [
        (Flag::DisconnectToPort, [0, 0, 0, 1]),
        (Flag::TerminateSession, [0, 0, 0, 2]),
        (Flag::ConnectToPortError, [0, 0, 0, 3]),
    ] {
        assert_eq!(flag.to_bytes(), bytes.as_slice());
        assert_eq!(Flag::from_bytes(&bytes).unwrap(), flag);
    }
    for bytes in [&[][..], &[1], &[0, 0, 0, 0], &[0, 0, 0, 4], &[0, 0, 0, 1, 0]] {
        assert!(matches!(Flag::from_bytes(bytes), Err(Error::Flag { .. })), "{bytes:?}");
    }
}

#[test]
fn an_exit_code_is_the_agents_text() {
    assert_eq!(exit_code(137), "EXIT_CODE: 137");
    assert_eq!(parse_exit_code(b"EXIT_CODE: -1").unwrap(), -1);
    for bytes in [&b""[..], b"137", b"EXIT_CODE: ", b"EXIT_CODE: 1x", b"EXIT_CODE: 99999999999"] {
        assert!(matches!(parse_exit_code(bytes), Err(Error::ExitCode { .. })), "{bytes:?}");
    }
}
