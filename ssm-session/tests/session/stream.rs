//! The stream of messages once a session has begun: order, acknowledgement, retransmission, pauses, bounds and the end.

use super::support::{Side, begun, client, exchange, message, ms, options, silent};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{any, proptest};
use ssm_session::Session;
use ssm_session::message::{FLAGS_ALONE, Kind, MAX_PAYLOAD};
use ssm_session::payload::{Acknowledge, ChannelClosed, Json, Size, Type};
use ssm_session::session::{
    CHUNK, DRAIN, End, Event, FIRST_TIMEOUT, GIVE_UP, GRANULARITY, Ignored, Limits, MOST_PAUSE, MOST_TIMEOUT,
    Options, RESEND_BURST, RESEND_INTERVAL, Refused,
};

/// An agent that has begun without a handshake, with other limits.
fn limited(limits: Limits) -> Side {
    let mut agent = Side::new(Session::agent(Options { limits, ..options(1) }, silent()));
    agent.open();
    agent
}

fn plain() -> Side {
    limited(Limits::default())
}

fn typed(sequence: i64, payload: &'static str) -> ssm_session::Message {
    message(Kind::InputStreamData, sequence, Type::Output, payload)
}

fn acknowledgement(sequence: i64) -> ssm_session::Message {
    let content = Acknowledge {
        message_type: "output_stream_data".to_owned(),
        message_id: String::new(),
        sequence,
        is_sequential: true,
    };
    message(Kind::Acknowledge, 0, Type::None, content.to_bytes().expect("JSON"))
}

fn refused(side: &mut Side, payload_type: Type, payload: impl Into<Bytes>) -> Refused {
    let event = Event::Send { payload_type, payload: payload.into() };
    side.session.next(side.now, event).expect_err("refused")
}

fn sequences(messages: &[ssm_session::Message]) -> Vec<i64> {
    messages.iter().map(|message| message.sequence).collect()
}

#[test]
fn bytes_pass_both_ways_with_their_types() {
    let (mut agent, mut client) = begun();
    client.next(Event::Send {
        payload_type: Type::Size,
        payload: Size { cols: 80, rows: 24 }.to_bytes().unwrap(),
    });
    client.write("ls\r");
    agent.write("a b\r\n");
    agent.next(Event::Send { payload_type: Type::StdErr, payload: Bytes::from_static(b"no") });
    exchange(&mut agent, &mut client);
    assert_eq!((agent.data[0].0, &agent.data[0].1[..]), (Type::Size, &br#"{"cols":80,"rows":24}"#[..]));
    assert_eq!(agent.bytes(Type::Output), b"ls\r");
    assert_eq!(
        (client.bytes(Type::Output), client.bytes(Type::StdErr)),
        (b"a b\r\n".to_vec(), b"no".to_vec())
    );
    assert_eq!((agent.session.room(), client.session.room()), (1024, 1024));
}

#[test]
fn a_stream_is_cut_into_chunks_and_anything_else_is_one_message() {
    let mut agent = plain();
    agent.write(vec![b'x'; 2 * CHUNK + 1]);
    let lengths: Vec<_> = agent.take().iter().map(|message| message.payload.len()).collect();
    assert_eq!(lengths, [CHUNK, CHUNK, 1]);
    agent.next(Event::Send { payload_type: Type::Parameter, payload: vec![b'x'; 2 * CHUNK].into() });
    assert_eq!(agent.take().len(), 1);
    agent.write("");
    assert_eq!(agent.take().len(), 0);
}

#[test]
fn a_message_is_acknowledged_by_number_id_and_kind() {
    let mut agent = plain();
    agent.receive(&typed(0, "x"));
    let [frame] = &agent.take()[..] else { panic!("one message") };
    assert_eq!((frame.kind, frame.sequence, frame.flags), (Kind::Acknowledge, 0, FLAGS_ALONE));
    let acknowledged = Acknowledge::from_bytes(&frame.payload).unwrap();
    assert_eq!(acknowledged.message_type, "input_stream_data");
    assert_eq!(acknowledged.message_id, "00000000-0000-0000-0000-000000000007");
    assert_eq!((acknowledged.sequence, acknowledged.is_sequential), (0, true));
}

#[test]
fn messages_out_of_order_are_acknowledged_at_once_and_delivered_in_order() {
    let mut agent = plain();
    for (sequence, payload) in [(2, "c"), (1, "b")] {
        agent.receive(&typed(sequence, payload));
        assert_eq!(agent.take_of(Kind::Acknowledge).len(), 1);
        assert!(agent.data.is_empty());
    }
    agent.receive(&typed(0, "a"));
    assert_eq!(agent.bytes(Type::Output), b"abc");
}

#[test]
fn a_duplicate_is_acknowledged_again_and_dropped() {
    let mut agent = plain();
    for sequence in [0, 0, 2, 2, -1, i64::MIN] {
        agent.receive(&typed(sequence, "x"));
        assert_eq!(agent.take_of(Kind::Acknowledge).len(), 1, "{sequence}");
    }
    assert_eq!(agent.data.len(), 1);
    assert_eq!(agent.ignored.len(), 4);
}

#[test]
fn what_does_not_fit_is_not_acknowledged_and_the_next_in_order_always_fits() {
    let messages = limited(Limits { incoming: 2, ..Limits::default() });
    let bytes = limited(Limits { incoming_bytes: 2, ..Limits::default() });
    for mut agent in [messages, bytes] {
        for sequence in [i64::MAX, 2, 3] {
            agent.receive(&typed(sequence, "x"));
        }
        assert_eq!(agent.take_of(Kind::Acknowledge).len(), 2);
        assert!(matches!(agent.ignored[..], [Ignored::NoRoom { sequence: 3 }]));
        for sequence in [0, 1, 3] {
            agent.receive(&typed(sequence, "y"));
        }
        assert_eq!(agent.bytes(Type::Output), b"yyxy");
    }
}

#[test]
fn sending_is_refused_without_a_trace_if_there_is_no_room() {
    let mut agent = limited(Limits { outgoing: 3, ..Limits::default() });
    agent.write(vec![b'x'; 2 * CHUNK]);
    agent.take();
    assert_eq!(refused(&mut agent, Type::Output, vec![0; CHUNK + 1]), Refused::Full { needed: 2, room: 1 });
    agent.receive(&acknowledgement(1));
    agent.write(vec![b'x'; CHUNK + 1]);
    assert_eq!(sequences(&agent.take()), [2, 3]);
    assert_eq!(refused(&mut agent, Type::Size, "x"), Refused::Full { needed: 1, room: 0 });
}

#[test]
fn sending_is_refused_of_what_is_too_large_or_the_sessions_own() {
    let mut agent = plain();
    let large = vec![0; MAX_PAYLOAD + 1];
    assert_eq!(refused(&mut agent, Type::Size, large), Refused::TooLarge { found: MAX_PAYLOAD + 1 });
    let own = Type::HandshakeComplete;
    assert_eq!(refused(&mut agent, own, "x"), Refused::PayloadType(own));
    agent.close("");
    assert_eq!(refused(&mut agent, Type::Output, "x"), Refused::Over);
}

#[test]
fn a_message_is_sent_again_until_it_is_acknowledged() {
    let mut agent = plain();
    agent.write("x");
    let first = agent.take();
    agent.at(FIRST_TIMEOUT - ms(1));
    assert!(agent.take().is_empty());
    assert_eq!(agent.session.wake(), Some(FIRST_TIMEOUT));
    agent.at(FIRST_TIMEOUT);
    assert_eq!(agent.take(), first);
    agent.at(2 * FIRST_TIMEOUT);
    assert_eq!(agent.take(), first);
    agent.receive(&acknowledgement(0));
    assert_eq!(agent.session.wake(), None);
    agent.receive(&acknowledgement(0));
    agent.receive(&acknowledgement(77));
    agent.at(ms(60_000));
    assert!(agent.take().is_empty());
}

#[test]
fn the_timeout_follows_the_round_trip_and_has_bounds() {
    for (round_trip, least, most) in
        [(ms(0), GRANULARITY, ms(25)), (ms(300), ms(309), ms(350)), (ms(5000), MOST_TIMEOUT, MOST_TIMEOUT)]
    {
        let mut agent = plain();
        for sequence in 0..200 {
            agent.write("x");
            agent.at(agent.now + round_trip);
            agent.receive(&acknowledgement(sequence));
        }
        agent.write("x");
        let timeout = agent.session.wake().unwrap() - agent.now;
        assert!((least..=most).contains(&timeout), "{round_trip:?}: {timeout:?}");
    }
}

#[test]
fn sending_again_comes_in_rounds_of_a_bounded_size() {
    let mut agent = plain();
    agent.write(vec![0; 200 * CHUNK]);
    assert_eq!(agent.take().len(), 200);
    let burst = i64::try_from(RESEND_BURST).unwrap();
    for round in 0..2 {
        agent.at(FIRST_TIMEOUT + RESEND_INTERVAL * u32::try_from(round).unwrap());
        assert_eq!(sequences(&agent.take()), Vec::from_iter(round * burst..(round + 1) * burst));
        agent.next(Event::Tick);
        assert!(agent.take().is_empty());
    }
}

#[test]
fn a_peer_that_never_acknowledges_ends_the_session() {
    for mut side in [plain(), begun().1] {
        side.write("x");
        side.run(GIVE_UP - ms(1));
        assert!(side.ended.is_empty());
        side.at(GIVE_UP);
        assert!(matches!(side.ended[..], [End::Unacknowledged { .. }]), "{:?}", side.ended);
        assert_eq!(side.session.wake(), None);
        assert!(side.session.is_ended());
        side.next(Event::Tick);
        side.receive(&acknowledgement(0));
        assert_eq!(refused(&mut side, Type::Output, "x"), Refused::Over);
    }
}

#[test]
fn a_pause_holds_the_stream_back_but_not_acknowledgements() {
    let start = || message(Kind::StartPublication, 0, Type::None, "");
    for resumed_by in [start(), typed(1, "y"), acknowledgement(0)] {
        let mut agent = plain();
        agent.write("a");
        assert_eq!(agent.take().len(), 1);
        agent.receive(&typed(0, "x"));
        agent.take();
        agent.receive(&message(Kind::PausePublication, 0, Type::None, ""));
        agent.write("b");
        agent.at(GIVE_UP + ms(1));
        assert!(agent.take().is_empty());
        agent.receive(&resumed_by);
        assert!(sequences(&agent.take_of(Kind::OutputStreamData)).contains(&1), "{}", resumed_by.kind);
        assert!(agent.ended.is_empty());
    }
}

#[test]
fn a_pause_without_end_ends_the_session() {
    let mut agent = plain();
    for seconds in [0, 600] {
        agent.at(ms(seconds * 1000));
        agent.receive(&message(Kind::PausePublication, 0, Type::None, ""));
    }
    agent.run(MOST_PAUSE);
    assert_eq!(agent.ended, [End::Paused]);
}

#[test]
fn after_a_reconnection_everything_unacknowledged_is_sent_again_in_order() {
    let mut agent = plain();
    agent.write(vec![0; 3 * CHUNK]);
    agent.take();
    agent.receive(&acknowledgement(1));
    agent.open();
    assert_eq!(sequences(&agent.take()), [0, 2]);
    assert_eq!(agent.ready.len(), 1);
}

#[test]
fn an_agent_that_closes_waits_for_the_last_acknowledgement_and_reports_why() {
    let (mut agent, mut client) = begun();
    agent.write("bye");
    agent.close("the program ended");
    assert!(agent.ended.is_empty());
    exchange(&mut agent, &mut client);
    assert_eq!(agent.ended, [End::Closed]);
    assert_eq!(client.ended, [End::ClosedByPeer { output: "the program ended".to_owned() }]);
    assert_eq!(client.bytes(Type::Output), b"bye");
}

#[test]
fn an_agent_that_closes_does_not_wait_long() {
    let mut agent = plain();
    agent.write("bye");
    agent.close("");
    agent.close("again");
    agent.run(DRAIN - ms(1));
    assert!(agent.ended.is_empty());
    agent.at(DRAIN);
    assert_eq!(agent.ended, [End::Closed]);
    let closed = agent.take_of(Kind::ChannelClosed).remove(0);
    assert_eq!(ChannelClosed::from_bytes(&closed.payload).unwrap().output, "");
}

#[test]
fn a_client_that_closes_sends_nothing() {
    let (_, mut client) = begun();
    client.take();
    client.close("");
    assert_eq!(client.ended, [End::Closed]);
    assert!(client.take().is_empty());
}

#[test]
fn a_closed_channel_ends_the_session_whatever_its_text() {
    for payload in ["", "{}", "nonsense", r#"{"SchemaVersion":"1"}"#] {
        let mut client = client();
        client.open();
        client.receive(&message(Kind::ChannelClosed, 0, Type::None, payload));
        assert_eq!(client.ended, [End::ClosedByPeer { output: String::new() }]);
    }
}

#[test]
fn what_cannot_be_read_is_dropped() {
    let mut agent = plain();
    agent.next(Event::Frame(Bytes::from_static(b"\0\0\0t")));
    agent.receive(&message(Kind::Acknowledge, 0, Type::None, "{}"));
    assert!(matches!(agent.ignored[..], [Ignored::Frame(_), Ignored::Payload(_)]));
    assert!(agent.sent.is_empty() && agent.ended.is_empty());
}

#[test]
fn time_that_goes_back_does_not_move_the_session() {
    let mut agent = plain();
    agent.at(ms(1000));
    agent.write("x");
    let created = agent.take()[0].created;
    agent.at(ms(10));
    agent.write("y");
    assert_eq!(agent.take()[0].created, created);
}

#[test]
fn messages_have_ids_of_their_own() {
    let (mut agent, mut client) = (plain(), client());
    client.open();
    client.next(Event::SkipHandshake);
    let mut ids = Vec::new();
    for side in [&mut agent, &mut client] {
        side.write(vec![0; 50 * CHUNK]);
        ids.extend(side.take().iter().map(|message| message.id));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

proptest! {
    #[test]
    fn no_frame_makes_a_session_panic(frames in vec(vec(any::<u8>(), 0..300), 0..20), numbers in vec(any::<(i64, u32)>(), 0..20)) {
        let (mut agent, mut client) = begun();
        for frame in frames {
            agent.next(Event::Frame(frame.clone().into()));
            client.next(Event::Frame(frame.into()));
        }
        for (sequence, payload_type) in numbers {
            agent.receive(&message(Kind::InputStreamData, sequence, payload_type.into(), "x"));
            client.receive(&message(Kind::OutputStreamData, sequence, (payload_type % 14).into(), "x"));
        }
    }
}
