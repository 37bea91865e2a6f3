//! One connection of a task, between its socket here and a stream in the emulator.
//!
//! Each side sends no more than the other one has room for, so that a slow connection holds up nothing but itself: what
//! the emulator sends waits here, up to [`WINDOW`]; what the task sends stays in the kernel until the emulator has given
//! credit for it.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use crate::line::hex;
use crate::sys::{READABLE, WRITABLE};

/// Bytes that the emulator may send without credit: part of the protocol.
const WINDOW: usize = 64 * 1024;

/// Bytes of one line.
const CHUNK: usize = 16 * 1024;

/// How long the emulator may take to give its first credit. Then it is not there, and the task need not wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is sent to the emulator, without the session and the connection.
pub(crate) enum Said {
    Data(String),
    Credit(usize),
    End,
    Reset,
}

pub(crate) struct Connection {
    stream: TcpStream,
    opened: Instant,
    greeted: bool,
    /// Bytes that the emulator has room for.
    credit: usize,
    /// Bytes that the task has not taken yet.
    waiting: VecDeque<u8>,
    /// The emulator sends no more.
    no_more: bool,
    /// Both ways of the socket.
    read_ended: bool,
    write_ended: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            opened: Instant::now(),
            greeted: false,
            credit: 0,
            waiting: VecDeque::new(),
            no_more: false,
            read_ended: false,
            write_ended: false,
        })
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// What it waits for; 0: for the emulator alone.
    pub(crate) fn interest(&self) -> i16 {
        let read = if !self.read_ended && self.credit > 0 { READABLE } else { 0 };
        let write = if !self.waiting.is_empty() && !self.write_ended { WRITABLE } else { 0 };
        read | write
    }

    /// How long it may go on without a message from the emulator; `None` once there was one.
    pub(crate) fn patience(&self) -> Option<Duration> {
        (!self.greeted).then(|| PATIENCE.saturating_sub(self.opened.elapsed()))
    }

    pub(crate) fn give_credit(&mut self, bytes: usize) {
        self.greeted = true;
        self.credit = self.credit.saturating_add(bytes);
    }

    /// Takes what the emulator sends. `false`: it is more than there was room for.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> bool {
        self.waiting.extend(bytes);
        self.waiting.len() <= WINDOW
    }

    pub(crate) fn end(&mut self) {
        self.no_more = true;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.read_ended && self.write_ended
    }

    /// Moves what can be moved without waiting.
    pub(crate) fn go_on(&mut self, say: &mut impl FnMut(Said)) {
        if self.write(say).and_then(|()| self.read(say)).is_err() {
            (self.read_ended, self.write_ended) = (true, true);
            say(Said::Reset);
        }
    }

    fn write(&mut self, say: &mut impl FnMut(Said)) -> std::io::Result<()> {
        let before = self.waiting.len();
        while !self.waiting.is_empty() && !self.write_ended {
            let (first, _) = self.waiting.as_slices();
            match self.stream.write(first) {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match before - self.waiting.len() {
            0 => {}
            written => say(Said::Credit(written)),
        }
        if self.no_more && self.waiting.is_empty() && !self.write_ended {
            self.write_ended = true;
            // Fails where the task has gone: then the read says so.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    fn read(&mut self, say: &mut impl FnMut(Said)) -> std::io::Result<()> {
        if self.read_ended || self.credit == 0 {
            return Ok(());
        }
        let mut chunk = [0; CHUNK];
        let room = chunk.len().min(self.credit);
        match self.stream.read(&mut chunk[..room]) {
            Ok(0) => {
                self.read_ended = true;
                say(Said::End);
            }
            Ok(length) => {
                self.credit -= length;
                say(Said::Data(hex(&chunk[..length])));
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
