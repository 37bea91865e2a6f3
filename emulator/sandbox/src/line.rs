//! The lines of the protocol: words, with bytes in hexadecimal.

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.extend([digit(byte >> 4), digit(*byte)]);
    }
    text
}

pub(crate) fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// Capacity in bytes that an empty buffer keeps.
const USUAL: usize = 128 * 1024;

/// Splits bytes that arrive in pieces into lines.
#[derive(Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to here the bytes are known to hold no end of that line.
    searched: usize,
}

impl Lines {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.bytes.is_empty() {
            // A line with a packet filter can have megabytes.
            self.bytes.shrink_to(USUAL);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line, without its end.
    pub(crate) fn next(&mut self) -> Option<String> {
        let found = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = found.map(|found| self.searched + found) else {
            self.searched = self.bytes.len();
            return None;
        };
        let line = String::from_utf8_lossy(&self.bytes[self.start..end]).trim().to_owned();
        (self.start, self.searched) = (end + 1, end + 1);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_hexadecimal_and_malformed_text_is_refused() {
        assert_eq!(bytes(&hex(&[0, 7, 171, 255])).as_deref(), Some(&[0, 7, 171, 255][..]));
        for malformed in ["0", "0g", "é0"] {
            assert_eq!(bytes(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn a_line_may_come_in_pieces() {
        let mut lines = Lines::default();
        lines.push(b"\na b");
        assert_eq!(lines.next().as_deref(), Some(""));
        assert_eq!(lines.next(), None);
        lines.push(b"c\nd\n");
        assert_eq!(lines.next().as_deref(), Some("a bc"));
        assert_eq!(lines.next().as_deref(), Some("d"));
        assert_eq!(lines.next(), None);
    }
}
