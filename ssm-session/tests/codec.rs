//! The frame's bytes: against the real plugin's, with every byte missing, every byte corrupted, and both ways.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};
use ssm_session::Message;
use ssm_session::message::{Error, FLAGS_ALONE, Field, HEADER_LENGTH, Kind, MAX_PAYLOAD};
use ssm_session::payload::Type;
use uuid::{Uuid, uuid};

/// [`message`] as serialized by SerializeClientMessage of the real session-manager-plugin (b79d06c1d3a2, run as
/// a Go program).
const GOLDEN: &str = concat!(
    "00000074",
    "696e7075745f73747265616d5f64617461202020202020202020202020202020",
    "00000001",
    "0000019b76daa87b",
    "0000000000000102",
    "0000000000000001",
    "8899aabbccddeeff0011223344554677",
    "3674c13c3eb42ef32effd127a689c6118191a811bca335ffa3f509eff051d253",
    "00000001",
    "00000006",
    "6c73202d6c0d",
);

const ID: Uuid = uuid!("00112233-4455-4677-8899-aabbccddeeff");

/// Where each field ends, in bytes.
const ENDS: [(Field, usize); 11] = [
    (Field::HeaderLength, 4),
    (Field::MessageType, 36),
    (Field::SchemaVersion, 40),
    (Field::CreatedDate, 48),
    (Field::SequenceNumber, 56),
    (Field::Flags, 64),
    (Field::MessageId, 80),
    (Field::PayloadDigest, 112),
    (Field::PayloadType, 116),
    (Field::PayloadLength, 120),
    (Field::Payload, 126),
];

fn message() -> Message {
    Message {
        kind: Kind::InputStreamData,
        schema_version: 1,
        created: 1_767_225_600_123,
        sequence: 258,
        flags: 1,
        id: ID,
        payload_type: Type::Output,
        payload: Bytes::from_static(b"ls -l\r"),
    }
}

fn golden() -> Vec<u8> {
    let digits = GOLDEN.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("two digits")).collect()
}

/// The field that the byte at this place belongs to.
fn field_at(place: usize) -> Field {
    ENDS.into_iter().find(|(_, end)| place < *end).expect("in the frame").0
}

fn decode(frame: &[u8]) -> Result<Message, Error> {
    Message::decode(&Bytes::copy_from_slice(frame))
}

/// The frame with these bytes from a place on.
fn with(place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = golden();
    frame[place..place + bytes.len()].copy_from_slice(bytes);
    frame
}

#[test]
fn a_message_is_the_plugins_bytes() {
    assert_eq!(message().encode().unwrap(), golden());
}

#[test]
fn the_plugins_bytes_are_the_message() {
    assert_eq!(decode(&golden()).unwrap(), message());
}

#[test]
fn a_frame_that_ends_anywhere_names_the_field_that_does_not_fit() {
    let frame = golden();
    for length in 0..frame.len() {
        let error = decode(&frame[..length]).unwrap_err();
        assert!(matches!(error, Error::Truncated { has, .. } if has == length), "{length}: {error}");
        assert_eq!(error.field(), field_at(length), "{length}: {error}");
        assert!(error.to_string().contains(&field_at(length).to_string()), "{error}");
    }
}

#[test]
fn a_corrupted_byte_is_another_value_or_an_error_of_its_field() {
    let frame = golden();
    for place in 0..frame.len() {
        for mask in 1..=u8::MAX {
            let mut corrupted = frame.clone();
            corrupted[place] ^= mask;
            let decoded = decode(&corrupted);
            let expected = match field_at(place) {
                // A smaller length leaves a tail, with a larger one something is missing.
                Field::PayloadLength => {
                    let error = decoded.unwrap_err();
                    let fields = [Field::PayloadLength, Field::Payload];
                    assert!(fields.contains(&error.field()), "{place} ^ {mask:#x}: {error}");
                    continue;
                }
                // A header without PayloadType is another valid header; the type is then read as the length.
                Field::HeaderLength if decoded == Err(Error::Trailing { found: 9 }) => continue,
                // Nothing protects these: every value is valid.
                Field::SchemaVersion
                | Field::CreatedDate
                | Field::SequenceNumber
                | Field::Flags
                | Field::MessageId
                | Field::PayloadType => {
                    assert_ne!(decoded.unwrap(), message(), "{place} ^ {mask:#x}");
                    continue;
                }
                Field::HeaderLength => Field::HeaderLength,
                Field::MessageType => {
                    // One padding for another.
                    if decoded.as_ref() == Ok(&message()) && place >= 21 {
                        continue;
                    }
                    Field::MessageType
                }
                Field::PayloadDigest | Field::Payload => Field::PayloadDigest,
            };
            assert_eq!(decoded.unwrap_err().field(), expected, "{place} ^ {mask:#x}");
        }
    }
}

#[test]
fn each_fault_is_named() {
    let cases: [(Vec<u8>, Error); 8] = [
        (with(0, &0_u32.to_be_bytes()), Error::HeaderLength { found: 0 }),
        (with(0, &u32::MAX.to_be_bytes()), Error::HeaderLength { found: u32::MAX }),
        (with(4, b"output_stream_date"), Error::Kind { found: "output_stream_date".to_owned() }),
        (with(4, &[b' '; 32]), Error::Kind { found: String::new() }),
        (with(40, &[0; 8]), Error::Created),
        (with(80, &[0; 32]), Error::Digest),
        (with(116, &u32::MAX.to_be_bytes()), Error::TooLarge { found: u32::MAX as usize }),
        (with(116, &5_u32.to_be_bytes()), Error::Trailing { found: 1 }),
    ];
    for (frame, error) in cases {
        assert_eq!(decode(&frame), Err(error));
    }
}

#[test]
fn a_payload_has_a_largest_size_both_ways() {
    let largest = Message { payload: vec![b'x'; MAX_PAYLOAD].into(), ..message() };
    assert_eq!(Message::decode(&largest.encode().unwrap()).unwrap(), largest);
    let larger = Message { payload: vec![b'x'; MAX_PAYLOAD + 1].into(), ..message() };
    assert_eq!(larger.encode(), Err(Error::TooLarge { found: MAX_PAYLOAD + 1 }));
}

#[test]
fn an_empty_payload_needs_no_digest() {
    let mut frame = with(116, &[0; 4]);
    frame.truncate(120);
    assert_eq!(decode(&frame).unwrap(), Message { payload: Bytes::new(), ..message() });
}

/// As github.com/mmmorris1975/ssm-session-client has received it: NULs after the type, a header without PayloadType.
#[test]
fn the_services_channel_closed_has_a_short_header() {
    let closed = Message {
        kind: Kind::ChannelClosed,
        flags: FLAGS_ALONE,
        payload_type: Type::None,
        payload: Bytes::from_static(b"{}"),
        ..message()
    };
    let mut frame = closed.encode().unwrap().to_vec();
    frame.drain(112..116);
    frame[..4].copy_from_slice(&112_u32.to_be_bytes());
    frame[4 + "channel_closed".len()..36].fill(0);
    assert_eq!(decode(&frame).unwrap(), closed);
}

#[test]
fn publication_is_started_and_paused_by_the_kind_alone() {
    for kind in [Kind::StartPublication, Kind::PausePublication] {
        let mut frame = Message { kind, ..message() }.encode().unwrap().to_vec();
        frame[..4].fill(0);
        frame[36..].fill(0);
        let bare = decode(&frame).unwrap();
        assert_eq!((bare.kind, bare.payload.len()), (kind, 0));
    }
}

#[test]
fn every_kind_and_type_goes_both_ways() {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.name().ends_with("publication")) {
        let sent = Message { kind, ..message() };
        assert_eq!(Message::decode(&sent.encode().unwrap()).unwrap(), sent);
    }
    for number in (0..100).chain([u32::MAX]) {
        assert_eq!(u32::from(Type::from(number)), number);
    }
    assert_eq!(Type::from(13), Type::Other(13));
}

#[test]
fn the_header_is_what_comes_before_the_payloads_length() {
    let before = ENDS.into_iter().find(|(field, _)| *field == Field::PayloadType).unwrap().1;
    assert_eq!(HEADER_LENGTH as usize, before);
}

fn messages() -> impl Strategy<Value = Message> {
    let kinds = [Kind::InputStreamData, Kind::OutputStreamData, Kind::Acknowledge, Kind::ChannelClosed];
    let kind = prop::sample::select(kinds.to_vec());
    let numbers = (any::<u32>(), 1..=u64::MAX, any::<i64>(), any::<u64>(), any::<u128>(), any::<u32>());
    (kind, numbers, vec(any::<u8>(), 0..2000)).prop_map(|(kind, numbers, payload)| {
        let (schema_version, created, sequence, flags, id, payload_type) = numbers;
        let id = Uuid::from_u128(id);
        let payload_type = payload_type.into();
        Message { kind, schema_version, created, sequence, flags, id, payload_type, payload: payload.into() }
    })
}

proptest! {
    #[test]
    fn a_message_goes_both_ways(message in messages()) {
        prop_assert_eq!(Message::decode(&message.encode().unwrap()), Ok(message));
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
    }
}
