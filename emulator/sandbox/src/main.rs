//! PID 1 of a sandbox: it holds the network namespace that the containers of one task join. It does for the emulator what
//! can only be done inside that namespace: it passes the emulator's netlink messages (routes, packet filters) to the kernel,
//! and forwards the connections that the task opens to addresses inside the namespace.
//!
//! Both sides write lines. The emulator writes:
//!
//! ```text
//! SESSION hello                     a session begins; the connections of the previous one are closed
//! SESSION netlink N PROTOCOL HEX    send these bytes to the kernel on a netlink socket of that protocol
//! SESSION reserve N DEVICE          keep AF_XDP sockets off this device
//! SESSION listen N PLACE ADDRESS    accept TCP connections at this address and port
//! SESSION credit C BYTES            the sender can receive this many more bytes of connection C
//! SESSION data C HEX
//! SESSION end C                     no more data
//! SESSION reset C                   connection C is over
//! ```
//!
//! This program writes:
//!
//! ```text
//! SESSION hello HEX                 the response to hello, in protocol 1: /etc/resolv.conf as it was at the start
//! SESSION done N [HEX …]            the kernel's responses, one word per message
//! SESSION failed N REASON
//! SESSION open C PLACE              the task has connected. No data before the first credit
//! SESSION credit, data, end, reset  as above
//! ```
//!
//! It is a protocol of lines, because a process that writes may be killed in the middle of one: the next process begins with
//! a newline. Each line has the session, because the output reaches every process that is attached, and may arrive late.
//!
//! The version of the protocol is a label on the sandbox's container: `neargate.protocol`. It has a new number after each
//! change that the emulator of another release would not understand.
//!
//! With arguments the program is a helper: with it an emulator that is not root enforces the limits of tasks ([`bus`],
//! [`cgroups`]). It is the same program, because then only one image has to be loaded, and each helper is a page of code. The
//! helper first writes `ready` or `failed REASON`.
//!
//! It links nothing beyond std, so that `emulator/build.rs` can compile it with plain rustc into one static file. It
//! needs no signal handler: the stop signal of its container is SIGKILL, because PID 1 of a namespace ignores a SIGTERM
//! that it does not handle, and this program has nothing to clean up.

mod bus;
mod cgroups;
mod connection;
mod line;
mod sys;

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use connection::{Connection, Message};
use line::{Lines, bytes, hex};
use sys::{Entry, READABLE};

/// The largest number of open connections. More wait in the kernel's queue.
const CONNECTIONS: usize = 256;

/// Bytes of a kernel's response that are forwarded: an error repeats the refused message, of which the head is enough.
const RESPONSE: usize = 512;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let helped = match arguments.as_slice() {
        ["bus", socket] => bus::serve(socket),
        ["cgroups", instance, hierarchies @ ..] => cgroups::serve(instance, hierarchies),
        _ => hold(),
    };
    if let Err(error) = helped {
        // If it was ready before, no process may be attached any more.
        let _ = write_line(&format!("failed {error}"));
    }
}

/// The first line of a helper.
fn write_ready() -> Result<()> {
    write_line("ready")
}

fn write_line(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush())
}

/// Holds the sandbox until it is killed.
fn hold() -> ! {
    // Read before a container of the task can change it: it names the resolvers that the packet filter allows.
    let resolv_conf = std::fs::read("/etc/resolv.conf").unwrap_or_default();
    let mut sandbox = Sandbox { resolv_conf, ..Sandbox::default() };
    loop {
        sandbox.wait();
    }
}

#[derive(Default)]
struct Sandbox {
    resolv_conf: Vec<u8>,
    lines: Lines,
    /// The engine sends no more input.
    input_ended: bool,
    /// The session that the emulator began last.
    session: String,
    listeners: BTreeMap<String, TcpListener>,
    connections: BTreeMap<u32, Connection>,
    /// The number of the connection that was accepted last.
    last: u32,
    /// By device.
    reserved: BTreeMap<String, Vec<OwnedFd>>,
}

impl Sandbox {
    /// Waits for something to do, and does it.
    fn wait(&mut self) {
        let entry = |descriptor, events| Entry { descriptor, events, returned: 0 };
        let mut entries = Vec::new();
        if !self.input_ended {
            entries.push(entry(0, READABLE));
        }
        if self.connections.len() < CONNECTIONS {
            entries.extend(self.listeners.values().map(|listener| entry(listener.as_raw_fd(), READABLE)));
        }
        // A connection that only waits for the emulator is left out: poll would return immediately once its peer has closed it.
        let busy = self.connections.values().filter(|connection| connection.interest() != 0);
        entries.extend(busy.map(|connection| entry(connection.descriptor(), connection.interest())));
        let time_left = self.connections.values().filter_map(Connection::time_left).min();
        // A millisecond more, so that the time has passed when the wait ends.
        let timeout = time_left.map_or(-1, |left| i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX));
        if sys::wait(&mut entries, timeout).is_err() {
            return;
        }
        let is_ready = |descriptor: i32| {
            entries.iter().any(|entry| entry.descriptor == descriptor && entry.returned != 0)
        };
        let ready: Vec<u32> = self
            .connections
            .iter()
            .filter(|(_, connection)| is_ready(connection.descriptor()))
            .map(|(id, _)| *id)
            .collect();
        let pending: Vec<String> = self
            .listeners
            .iter()
            .filter(|(_, listener)| is_ready(listener.as_raw_fd()))
            .map(|(place, _)| place.clone())
            .collect();
        let has_input = is_ready(0);
        for id in ready {
            self.transfer(id);
        }
        for place in pending {
            self.accept(&place);
        }
        if has_input {
            self.read();
        }
        self.close_late();
    }

    fn read(&mut self) {
        let mut chunk = [0; 64 * 1024];
        match std::io::stdin().lock().read(&mut chunk) {
            Ok(0) => self.input_ended = true,
            Ok(length) => self.lines.push(&chunk[..length]),
            Err(error) => self.input_ended = error.kind() != ErrorKind::Interrupted,
        }
        while let Some(line) = self.lines.next() {
            self.execute(&line);
        }
    }

    /// Executes a line of the emulator.
    fn execute(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some(session), Some(verb)) = (words.next(), words.next()) else { return };
        let words: Vec<&str> = words.collect();
        if verb == "hello" {
            session.clone_into(&mut self.session);
            self.connections.clear();
            self.send(&format!("hello {}", hex(&self.resolv_conf)));
        } else if session == self.session {
            match (verb, words.as_slice()) {
                ("netlink", [number, protocol, batch]) => self.done(number, call_kernel(protocol, batch)),
                ("reserve", [number, device]) => {
                    let reserved = self.reserve(device);
                    self.done(number, reserved);
                }
                ("listen", [number, place, address]) => {
                    let listening = self.listen(place, address);
                    self.done(number, listening);
                }
                (verb, [connection, words @ ..]) => {
                    if let Ok(connection) = connection.parse() {
                        self.on_connection(connection, verb, words);
                    }
                }
                _ => {}
            }
        }
    }

    fn done(&self, number: &str, result: Result<String>) {
        match result {
            Ok(responses) => self.send(&format!("done {number}{responses}")),
            Err(error) => self.send(&format!("failed {number} {error}")),
        }
    }

    fn reserve(&mut self, device: &str) -> Result<String> {
        if !self.reserved.contains_key(device) {
            self.reserved.insert(device.to_owned(), sys::take_xdp(device)?);
        }
        Ok(String::new())
    }

    fn listen(&mut self, place: &str, address: &str) -> Result<String> {
        let address: SocketAddr = address.parse().map_err(|_| malformed("the address is malformed"))?;
        if self.listeners.get(place).is_none_or(|known| known.local_addr().ok() != Some(address)) {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            self.listeners.insert(place.to_owned(), listener);
        }
        Ok(String::new())
    }

    fn accept(&mut self, place: &str) {
        let Some(Ok((stream, _))) = self.listeners.get(place).map(TcpListener::accept) else { return };
        let Ok(connection) = Connection::new(stream) else { return };
        self.last = self.last.wrapping_add(1);
        self.connections.insert(self.last, connection);
        self.send(&format!("open {} {place}", self.last));
    }

    /// Executes a line about a connection.
    fn on_connection(&mut self, id: u32, verb: &str, words: &[&str]) {
        // It may have ended here already.
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let understood = match (verb, words) {
            ("credit", [credit]) => credit.parse().map(|credit| connection.give_credit(credit)).is_ok(),
            ("data", [data]) => bytes(data).is_some_and(|data| connection.take(&data)),
            ("end", []) => {
                connection.end();
                true
            }
            _ => {
                self.connections.remove(&id);
                return;
            }
        };
        if understood {
            self.transfer(id);
        } else {
            self.connections.remove(&id);
            self.send(&format!("reset {id}"));
        }
    }

    fn transfer(&mut self, id: u32) {
        let session = &self.session;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.transfer(&mut |message| match message {
            Message::Data(data) => send(session, &format!("data {id} {data}")),
            Message::Credit(credit) => send(session, &format!("credit {id} {credit}")),
            Message::End => send(session, &format!("end {id}")),
            Message::Reset => send(session, &format!("reset {id}")),
        });
        if connection.is_done() {
            self.connections.remove(&id);
        }
    }

    /// Closes the connections that the emulator gave no credit in time.
    fn close_late(&mut self) {
        let session = &self.session;
        self.connections.retain(|id, connection| {
            let is_kept = connection.time_left().is_none_or(|left| !left.is_zero());
            if !is_kept {
                send(session, &format!("reset {id}"));
            }
            is_kept
        });
    }

    fn send(&self, words: &str) {
        send(&self.session, words);
    }
}

/// Sends a line to the emulator. It fails if no process is attached: then none waits for the line.
fn send(session: &str, words: &str) {
    let _ = write_line(&format!("{session} {words}"));
}

/// Sends a batch of netlink messages, and returns the kernel's responses in hexadecimal, each after a space.
fn call_kernel(protocol: &str, batch: &str) -> Result<String> {
    let protocol = protocol.parse().map_err(|_| malformed("the protocol is not a number"))?;
    let batch = bytes(batch).ok_or_else(|| malformed("the batch is not hexadecimal"))?;
    let mut kernel = sys::netlink(protocol, batch.len())?;
    // The batch is one datagram. The kernel has processed all of it and queued its responses before this returns.
    kernel.write_all(&batch)?;
    let mut responses = String::new();
    let mut message = [0; RESPONSE];
    loop {
        match kernel.read(&mut message) {
            Ok(0) => return Ok(responses),
            Ok(length) => {
                responses.push(' ');
                responses.push_str(&hex(&message[..length]));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(responses),
            Err(error) => return Err(error),
        }
    }
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}
