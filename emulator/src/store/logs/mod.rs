//! CloudWatch Logs: groups, their streams, and the events of a stream.
//!
//! ```text
//! append ──▶ log_streams (sums, next number) ──▶ the block where the first event belongs ──▶ merged, split, put back
//! page   ──▶ the blocks of a span, in order  ──▶ events in (timestamp, sequence) order
//! ```
//!
//! Events are packed into blocks of some tens of kilobytes, because one row per event costs more for the row than for
//! the message, in writing and reading. [`block`] decides what is in a block, [`events`] which block an event belongs to.

mod block;
mod cursors;
mod events;
mod groups;
mod streams;

pub use block::{Event, OVERHEAD, Position, Stored};
pub use cursors::{cursor, delete_cursor, put_cursor};
pub use events::{Appended, Page, Span, append, delete_expired, page};
pub use groups::{
    Group, GroupFilter, GroupId, NewGroup, create_group, delete_group, group, groups, set_protection,
    set_retention, set_tags, stored_bytes,
};
pub use streams::{
    Created, Place, Stream, StreamFilter, StreamId, StreamOrder, create_stream, delete_stream, ensure_stream,
    place, stream, streams, streams_within,
};
