//! One connection of a task, between its socket here and a stream in the emulator.
//!
//! Each side sends no more than the other one has room for, so that a slow connection delays no other. Data from the
//! emulator is buffered here, up to [`WINDOW`]. Data from the task stays in the kernel until the emulator has given credit
//! for it.

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

/// How long the emulator may take to give its first credit. After that it is considered absent, and the task need not wait.
const FIRST_CREDIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A message to the emulator, without the session and the connection.
pub(crate) enum Message {
    Data(String),
    Credit(usize),
    End,
    Reset,
}

pub(crate) struct Connection {
    stream: TcpStream,
    opened: Instant,
    has_had_credit: bool,
    /// Bytes that the emulator has room for.
    credit: usize,
    /// Bytes that the task has not received yet.
    waiting: VecDeque<u8>,
    /// The emulator sends no more data.
    no_more: bool,
    /// Both directions of the socket.
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
            has_had_credit: false,
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

    /// The events of the socket that it waits for; 0: only for the emulator.
    pub(crate) fn interest(&self) -> i16 {
        let read = if !self.read_ended && self.credit > 0 { READABLE } else { 0 };
        let write = if !self.waiting.is_empty() && !self.write_ended { WRITABLE } else { 0 };
        read | write
    }

    /// The time that is left for the emulator's first credit; `None` after it.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        (!self.has_had_credit).then(|| FIRST_CREDIT_TIMEOUT.saturating_sub(self.opened.elapsed()))
    }

    pub(crate) fn give_credit(&mut self, bytes: usize) {
        self.has_had_credit = true;
        self.credit = self.credit.saturating_add(bytes);
    }

    /// Receives data from the emulator. `false` if it is more than the window allows.
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

    /// Transfers the data that can be transferred without waiting.
    pub(crate) fn transfer(&mut self, send: &mut impl FnMut(Message)) {
        if self.write(send).and_then(|()| self.read(send)).is_err() {
            (self.read_ended, self.write_ended) = (true, true);
            send(Message::Reset);
        }
    }

    fn write(&mut self, send: &mut impl FnMut(Message)) -> std::io::Result<()> {
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
            written => send(Message::Credit(written)),
        }
        if self.no_more && self.waiting.is_empty() && !self.write_ended {
            self.write_ended = true;
            // Fails if the task has closed its side: then the read reports it.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    fn read(&mut self, send: &mut impl FnMut(Message)) -> std::io::Result<()> {
        if self.read_ended || self.credit == 0 {
            return Ok(());
        }
        let mut chunk = [0; CHUNK];
        let room = chunk.len().min(self.credit);
        match self.stream.read(&mut chunk[..room]) {
            Ok(0) => {
                self.read_ended = true;
                send(Message::End);
            }
            Ok(length) => {
                self.credit -= length;
                send(Message::Data(hex(&chunk[..length])));
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
