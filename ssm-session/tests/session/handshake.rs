//! How a session begins: with a handshake, without one, refused, garbled or not at all.

use super::support::{agent, begun, client, exchange, json_message, message, ms, offered, offering, silent};
use bytes::Bytes;
use serde_json::json;
use ssm_session::message::{FLAG_SYN, Kind};
use ssm_session::payload::{
    ActionStatus, ChannelClosed, HandshakeComplete, HandshakeRequest, HandshakeResponse, Json,
    KMS_ENCRYPTION, ProcessedAction, RequestedAction, SESSION_TYPE, Type,
};
use ssm_session::session::{AGENT_HANDSHAKE, CLIENT_HANDSHAKE, End, Event, Ignored, Ready, Refused};

fn asks(actions: Vec<(&str, serde_json::Value)>) -> HandshakeRequest {
    let action = |(action_type, action_parameters): (&str, _)| RequestedAction {
        action_type: action_type.to_owned(),
        action_parameters,
    };
    HandshakeRequest {
        agent_version: "3".to_owned(),
        requested_client_actions: actions.into_iter().map(action).collect(),
    }
}

#[test]
fn both_sides_agree_on_the_session_and_know_each_others_version() {
    let (agent, client) = begun();
    let ready = Ready {
        peer_version: "1.3.0.0".to_owned(),
        session: Some(offered()),
        customer_message: "welcome".to_owned(),
    };
    assert_eq!(agent.ready, std::slice::from_ref(&ready));
    assert_eq!(client.ready, [Ready { peer_version: "3.1.1732.0".to_owned(), ..ready }]);
    assert!(agent.ignored.is_empty() && client.ignored.is_empty());
}

#[test]
fn the_agent_asks_first_and_its_first_message_is_marked() {
    let mut agent = agent(offering());
    agent.open();
    let [request] = &agent.take()[..] else { panic!("one message") };
    assert_eq!((request.kind, request.sequence, request.flags), (Kind::OutputStreamData, 0, FLAG_SYN));
    assert_eq!((request.schema_version, request.payload_type), (1, Type::HandshakeRequest));
    let request = HandshakeRequest::from_bytes(&request.payload).unwrap();
    assert_eq!(request.requested_client_actions[0].action_type, SESSION_TYPE);
}

#[test]
fn the_handshakes_duration_is_in_nanoseconds() {
    let (mut agent, mut client) = (agent(offering()), client());
    client.open();
    agent.open();
    client.next(Event::Frame(agent.sent.remove(0)));
    agent.now = ms(150);
    for frame in std::mem::take(&mut client.sent) {
        agent.next(Event::Frame(frame));
    }
    let complete =
        agent.take().into_iter().find(|message| message.payload_type == Type::HandshakeComplete).unwrap();
    assert_eq!(
        HandshakeComplete::from_bytes(&complete.payload).unwrap().handshake_time_to_complete,
        150_000_000
    );
    assert_eq!(complete.created, 1_767_225_600_150);
}

#[test]
fn a_session_without_a_handshake_begins_at_once_for_the_agent_and_with_data_for_the_client() {
    let (mut agent, mut client) = (agent(silent()), client());
    agent.open();
    client.open();
    assert_eq!(agent.ready, [Ready::default()]);
    assert!(client.ready.is_empty());
    agent.write("$ ");
    exchange(&mut agent, &mut client);
    assert_eq!(client.ready, [Ready::default()]);
    assert_eq!(client.bytes(Type::Output), b"$ ");
}

#[test]
fn a_client_may_go_ahead_without_a_handshake_and_still_answers_one() {
    let (mut agent, mut client) = (agent(offering()), client());
    client.open();
    client.next(Event::SkipHandshake);
    assert_eq!(client.ready, [Ready::default()]);
    agent.open();
    exchange(&mut agent, &mut client);
    assert_eq!((agent.ready.len(), client.ready.len()), (1, 1));
    agent.next(Event::SkipHandshake);
    assert_eq!(agent.ready.len(), 1);
}

#[test]
fn nothing_can_be_sent_before_the_session_begins() {
    for mut side in [agent(offering()), client()] {
        for _ in 0..2 {
            let event = Event::Send { payload_type: Type::Output, payload: Bytes::from_static(b"x") };
            assert_eq!(side.session.next(ms(0), event).unwrap_err(), Refused::NotReady);
            side.open();
        }
    }
}

#[test]
fn the_agent_acknowledges_early_data_and_drops_it() {
    let mut agent = agent(offering());
    agent.open();
    agent.take();
    agent.receive(&message(Kind::InputStreamData, 0, Type::Output, "early"));
    assert_eq!(agent.take_of(Kind::Acknowledge).len(), 1);
    assert!(agent.data.is_empty());
    assert!(matches!(agent.ignored[..], [Ignored::PayloadType(Type::Output)]));
}

#[test]
fn a_client_refuses_encryption_and_reports_why_the_session_ended() {
    let mut client = client();
    client.open();
    let request = asks(vec![(SESSION_TYPE, json!(offered())), (KMS_ENCRYPTION, json!({"KMSKeyId": "k"}))]);
    client.receive(&json_message(Kind::OutputStreamData, 0, Type::HandshakeRequest, &request));
    let response = client.take_of(Kind::InputStreamData).remove(0);
    let response = HandshakeResponse::from_bytes(&response.payload).unwrap();
    let statuses: Vec<_> = response.processed_client_actions.iter().map(|done| done.action_status).collect();
    assert_eq!(statuses, [ActionStatus::Success, ActionStatus::Unsupported]);
    assert_eq!(response.errors.len(), 1);

    client.receive(&message(Kind::ChannelClosed, 0, Type::None, "{}"));
    let [End::HandshakeFailed { reason }] = &client.ended[..] else { panic!("{:?}", client.ended) };
    assert!(reason.contains("KMS"), "{reason}");
}

#[test]
fn a_client_refuses_what_it_does_not_know() {
    for (action, parameters, status) in [
        ("Dance", json!(null), ActionStatus::Unsupported),
        (SESSION_TYPE, json!({"SessionType": "Dance"}), ActionStatus::Failed),
        (SESSION_TYPE, json!(null), ActionStatus::Failed),
    ] {
        let mut client = client();
        client.open();
        let request = asks(vec![(action, parameters)]);
        client.receive(&json_message(Kind::OutputStreamData, 0, Type::HandshakeRequest, &request));
        let response = client.take_of(Kind::InputStreamData).remove(0);
        let response = HandshakeResponse::from_bytes(&response.payload).unwrap();
        assert_eq!(response.processed_client_actions[0].action_status, status, "{action}");
        client.run(CLIENT_HANDSHAKE);
        assert!(matches!(client.ended[..], [End::HandshakeFailed { .. }]), "{:?}", client.ended);
    }
}

#[test]
fn an_agent_ends_a_session_that_is_refused_and_reports_it_to_the_client() {
    let mut agent = agent(offering());
    agent.open();
    agent.take();
    let refused = ProcessedAction {
        action_type: SESSION_TYPE.to_owned(),
        action_status: ActionStatus::Other(0),
        action_result: json!(3),
        error: "no".to_owned(),
    };
    let response =
        HandshakeResponse { processed_client_actions: vec![refused], ..HandshakeResponse::default() };
    agent.receive(&json_message(Kind::InputStreamData, 0, Type::HandshakeResponse, &response));
    let [End::HandshakeFailed { reason }] = &agent.ended.clone()[..] else { panic!("{:?}", agent.ended) };
    assert_eq!(reason, "SessionType failed on client with status 0 error: no");
    let closed = agent.take_of(Kind::ChannelClosed).remove(0);
    let closed_channel = ChannelClosed::from_bytes(&closed.payload).unwrap();
    assert_eq!(
        (closed_channel.session_id, closed_channel.destination_id),
        (offering().session_id, offering().target)
    );
    assert_eq!(
        (closed_channel.message_id, closed_channel.created_date),
        (closed.id.to_string(), closed.created.to_string())
    );
    assert!(closed_channel.output.contains(reason), "{}", closed_channel.output);
}

#[test]
fn a_garbled_handshake_fails() {
    let mut agent = agent(offering());
    agent.open();
    agent.receive(&message(Kind::InputStreamData, 0, Type::HandshakeResponse, "{"));
    assert!(matches!(agent.ended[..], [End::HandshakeFailed { .. }]));
    for (payload_type, payload) in [(Type::HandshakeRequest, "nonsense"), (Type::HandshakeComplete, "7")] {
        let mut client = client();
        client.open();
        client.receive(&message(Kind::OutputStreamData, 0, payload_type, payload));
        assert!(matches!(client.ended[..], [End::HandshakeFailed { .. }]), "{payload_type:?}");
    }
}

#[test]
fn a_handshake_without_a_response_times_out() {
    for (mut side, limit) in [(agent(offering()), AGENT_HANDSHAKE), (client(), CLIENT_HANDSHAKE)] {
        side.open();
        side.sent.clear();
        side.run(limit - ms(1));
        assert!(side.ended.is_empty());
        side.run(limit);
        assert_eq!(side.ended, [End::HandshakeTimedOut]);
        assert_eq!(side.session.wake(), None);
    }
}

#[test]
fn messages_of_the_wrong_side_or_the_wrong_time_are_dropped() {
    let (mut agent, mut client) = begun();
    agent.receive(&message(Kind::OutputStreamData, 1, Type::Output, "x"));
    agent.receive(&message(Kind::AgentSessionState, 0, Type::None, "x"));
    client.receive(&message(Kind::InputStreamData, 1, Type::Output, "x"));
    client.receive(&message(Kind::OutputStreamData, 2, Type::HandshakeComplete, "{}"));
    client.receive(&message(Kind::OutputStreamData, 3, Type::EncryptionChallengeRequest, "{}"));
    assert!(matches!(agent.ignored[..], [Ignored::Kind(_), Ignored::Kind(_)]));
    assert!(matches!(
        client.ignored[..],
        [Ignored::Kind(_), Ignored::PayloadType(_), Ignored::PayloadType(_)]
    ));
    assert!(agent.data.is_empty() && client.data.is_empty());
    assert_eq!(client.ready.len(), 1);
}
