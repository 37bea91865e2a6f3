//! Sessions as their users see them: events in, actions out, with a time that the tests move.

mod handshake;
mod lossy;
mod stream;
mod support;
