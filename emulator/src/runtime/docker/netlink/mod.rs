//! The netlink messages that a sandbox's program sends in its namespace, byte by byte: addresses in [`address`], routes in
//! [`route`], packet filters in [`nft`]. Pure.
//!
//! A message is a header and attributes, an attribute a length, a kind and bytes, all padded to four. Headers are in
//! the byte order of the machine: the program is built for the engine's architecture, as this one is (linux/netlink.h).

mod address;
mod nft;
mod route;

pub(super) use address::addresses;
pub(super) use nft::{Interface, filter, guard, inward, port};
pub(super) use route::routes;

/// `NETLINK_ROUTE` and `NETLINK_NETFILTER`.
const ROUTE: u8 = 0;
const NETFILTER: u8 = 12;

/// Message flags.
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const REPLACE: u16 = 0x100;
const CREATE: u16 = 0x400;

/// The kind of an acknowledgement, `NLMSG_ERROR`, also without an error.
const ERROR: u16 = 2;
const HEADER: usize = 16;
/// The bit in an attribute's kind for an attribute that contains attributes.
const NESTED: u16 = 0x8000;

/// Messages of one protocol that the kernel processes together.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) protocol: u8,
    pub(super) bytes: Vec<u8>,
    messages: u32,
    /// The number of acknowledgements to expect.
    acknowledgements: usize,
}

impl Batch {
    fn new(protocol: u8) -> Self {
        Self { protocol, bytes: Vec::new(), messages: 0, acknowledgements: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds a message: the protocol's own header, then attributes.
    fn message(&mut self, kind: u16, flags: u16, head: &[u8], attributes: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.bytes.len();
        self.messages += 1;
        self.acknowledgements += usize::from(flags & ACKNOWLEDGE != 0);
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend(self.messages.to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.extend(head);
        attributes(&mut Attributes(&mut self.bytes));
        // A message has some KiB, because the elements of a set are split into pieces.
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Checks by the kernel's responses whether it has done all of it.
    pub(super) fn done(&self, responses: &[Vec<u8>]) -> Result<(), String> {
        let mut acknowledged = 0;
        for response in responses {
            let field = |at: usize| response.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
            let kind = response.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
            match (kind, field(HEADER)) {
                (Some(ERROR), Some(0)) => acknowledged += 1,
                (Some(ERROR), Some(code)) => {
                    let error = std::io::Error::from_raw_os_error(0i32.wrapping_sub_unsigned(code));
                    let message = field(8).unwrap_or(0);
                    return Err(format!("message {message} of {}: {error}", self.messages));
                }
                _ => {}
            }
        }
        if acknowledged == self.acknowledgements {
            return Ok(());
        }
        Err(format!("the kernel acknowledged {acknowledged} of {} messages", self.acknowledgements))
    }
}

/// The attributes of a message, or of an attribute.
struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.with(kind, |bytes| bytes.extend(value));
    }

    /// A number in network byte order, as nf_tables requires.
    fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A string, with the NUL at its end.
    fn text(&mut self, kind: u16, value: &str) {
        self.with(kind, |bytes| {
            bytes.extend(value.as_bytes());
            bytes.push(0);
        });
    }

    fn nested(&mut self, kind: u16, attributes: impl FnOnce(&mut Attributes<'_>)) {
        self.with(kind | NESTED, |bytes| attributes(&mut Attributes(bytes)));
    }

    fn with(&mut self, kind: u16, value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        value(self.0);
        // The longest attribute is a set's elements, which are split into pieces that fit.
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An acknowledgement of the message of this number, as the kernel writes it.
    fn acknowledgement(message: u32, error: i32) -> Vec<u8> {
        let mut bytes = 36u32.to_ne_bytes().to_vec();
        bytes.extend(ERROR.to_ne_bytes());
        bytes.extend(0u16.to_ne_bytes());
        bytes.extend(message.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(error.to_ne_bytes());
        bytes
    }

    #[test]
    fn lengths_count_the_head_and_leave_out_the_padding() {
        let mut batch = Batch::new(ROUTE);
        batch.message(24, ACKNOWLEDGE, &[9, 9, 9, 9], |attributes| {
            attributes.text(1, "lo");
            attributes.nested(2, |inner| inner.number(3, 0x0102_0304));
        });
        let length = |at: usize| u16::from_ne_bytes([batch.bytes[at], batch.bytes[at + 1]]);
        assert_eq!(batch.bytes.len(), 16 + 4 + 8 + 12);
        assert_eq!((length(0), length(20), length(28), length(32)), (40, 7, 12, 8));
        assert_eq!(batch.bytes[24..28], *b"lo\0\0");
        assert_eq!(batch.bytes[36..40], [1, 2, 3, 4], "network byte order");
    }

    #[test]
    fn a_batch_is_done_when_all_requested_acknowledgements_have_arrived() {
        let mut batch = Batch::new(ROUTE);
        for flags in [ACKNOWLEDGE, 0, ACKNOWLEDGE] {
            batch.message(24, flags, &[], |_| {});
        }
        assert_eq!(batch.done(&[acknowledgement(1, 0), acknowledgement(3, 0)]), Ok(()));
        for (responses, expected) in [
            (vec![], "acknowledged 0 of 2"),
            (vec![acknowledgement(1, 0)], "acknowledged 1 of 2"),
            (vec![acknowledgement(1, 0), acknowledgement(2, -1)], "message 2 of 3: Operation not permitted"),
            (vec![vec![1, 2, 3], acknowledgement(1, 0)[..18].to_vec()], "acknowledged 0 of 2"),
        ] {
            let error = batch.done(&responses).expect_err("it is not done");
            assert!(error.contains(expected), "{error}");
        }
    }
}
