//! Sessions as their users see them: events in, what is to be done out, in a time that the tests move.

mod handshake;
mod lossy;
mod stream;
mod support;
