//! The lines between the emulator and a sandbox's program. `emulator/sandbox/src/main.rs` documents each of them.

/// The protocol of this emulator and of the program in its image: the value of a sandbox's label. A sandbox without this
/// label is of a release whose program only passes netlink messages.
pub(crate) const PROTOCOL: &str = "1";

/// Bytes of a connection that each side accepts without having given credit: part of the protocol.
pub(super) const WINDOW: usize = 64 * 1024;

/// A message of the program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Hello { resolv_conf: Vec<u8> },
    Done { number: u64, responses: Vec<Vec<u8>> },
    Failed { number: u64, reason: String },
    Open { connection: u32, place: String },
    Credit { connection: u32, bytes: usize },
    Data { connection: u32, bytes: Vec<u8> },
    End { connection: u32 },
    Reset { connection: u32 },
}

impl Message {
    /// Reads a line of this session; `None` for a line of another session, and for a malformed one.
    pub(super) fn read(line: &[u8], session: &str) -> Option<Self> {
        let line = String::from_utf8_lossy(line);
        let mut words = line.trim().strip_prefix(session)?.split_whitespace();
        let verb = words.next()?;
        if verb == "hello" {
            return Some(Self::Hello { resolv_conf: bytes(words.next().unwrap_or_default())? });
        }
        let number = words.next()?;
        let connection = || number.parse().ok();
        Some(match verb {
            "done" => Self::Done {
                number: number.parse().ok()?,
                responses: words.map(bytes).collect::<Option<_>>()?,
            },
            "failed" => {
                Self::Failed { number: number.parse().ok()?, reason: words.collect::<Vec<_>>().join(" ") }
            }
            "open" => Self::Open { connection: connection()?, place: words.next()?.to_owned() },
            "credit" => Self::Credit { connection: connection()?, bytes: words.next()?.parse().ok()? },
            "data" => Self::Data { connection: connection()?, bytes: bytes(words.next()?)? },
            "end" => Self::End { connection: connection()? },
            "reset" => Self::Reset { connection: connection()? },
            _ => return None,
        })
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.extend([digit(byte >> 4), digit(*byte)]);
    }
    text
}

pub(super) fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_line_of_the_session_is_read() {
        let read = |line: &str| Message::read(line.as_bytes(), "5e55");
        assert_eq!(read("5e55 hello 6e0a\n"), Some(Message::Hello { resolv_conf: b"n\n".to_vec() }));
        assert_eq!(
            read("5e55 done 7 00ff 01\n"),
            Some(Message::Done { number: 7, responses: vec![vec![0, 255], vec![1]] })
        );
        let reason = "Operation not permitted (os error 1)".to_owned();
        assert_eq!(read(&format!("5e55 failed 7 {reason}\n")), Some(Message::Failed { number: 7, reason }));
        assert_eq!(read("5e55 data 3 6869\n"), Some(Message::Data { connection: 3, bytes: b"hi".to_vec() }));
        for line in
            ["", "5e55", "0123 end 3", "5e55 data 3 686", "5e55 credit 3", "5e55 end x", "5e55 sing 3"]
        {
            assert_eq!(read(line), None, "{line}");
        }
        assert_eq!(bytes(&hex(&[0, 7, 171, 255])).as_deref(), Some(&[0, 7, 171, 255][..]));
    }
}
