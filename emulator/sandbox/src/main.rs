//! PID 1 of a sandbox: it holds the network namespace that the containers of one task join. There it does for the
//! emulator what can only be done from inside: it gives the kernel what the emulator wants (routes, packet filters), and
//! hands on the connections that the task makes to addresses inside the namespace.
//!
//! Both sides write lines. What the emulator writes here:
//!
//! ```text
//! SESSION hello                     a session begins; what the one before left is closed
//! SESSION netlink N PROTOCOL HEX    send these bytes to the kernel on a netlink socket of that protocol
//! SESSION reserve N DEVICE          keep AF_XDP sockets off this device
//! SESSION listen N PLACE ADDRESS    accept TCP connections at this address and port
//! SESSION credit C BYTES            so many more bytes of connection C can be taken
//! SESSION data C HEX
//! SESSION end C                     no more data
//! SESSION reset C                   connection C is over
//! ```
//!
//! And what it reads:
//!
//! ```text
//! SESSION hello HEX                 this program speaks protocol 1; /etc/resolv.conf as it was at the start
//! SESSION done N [HEX …]            what the kernel answered, message by message
//! SESSION failed N REASON
//! SESSION open C PLACE              the task has connected. No data before the first credit
//! SESSION credit, data, end, reset  as above
//! ```
//!
//! Lines, because a process that writes them may be killed in the middle of one: the next one begins with a newline. The
//! session is in each, because everything written here reaches every process that is attached, and may come late.
//!
//! The version of the protocol is a label on the sandbox's container: `neargate.protocol`. A change that the emulator of
//! another release would not understand is another number.
//!
//! With arguments it is something else: the helper by which an emulator that is not root holds the limits of tasks ([`bus`],
//! [`cgroups`]). One program, because it is one image to load, and each of them is a page of std. The helper says `ready`
//! first, or `failed REASON`.
//!
//! It links nothing beyond std, so that `emulator/build.rs` can compile it with plain rustc into one static file. It
//! needs no signal handler: the runtime gives its container the stop signal SIGKILL, for PID 1 of a namespace ignores
//! a SIGTERM that it does not handle, and here is nothing to put in order.

mod bus;
mod cgroups;
mod connection;
mod line;
mod sys;

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use connection::{Connection, Said};
use line::{Lines, bytes, hex};
use sys::{Entry, READABLE};

/// Connections at a time. More wait in the kernel's queue.
const CONNECTIONS: usize = 256;

/// Bytes of the kernel's answer that are passed on: an acknowledgement repeats what it refuses, and its head is enough.
const ANSWER: usize = 512;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let helped = match arguments.as_slice() {
        ["bus", socket] => bus::serve(socket),
        ["cgroups", instance, hierarchies @ ..] => cgroups::serve(instance, hierarchies),
        _ => hold(),
    };
    if let Err(error) = helped {
        // Where it was ready already, nothing is attached any more.
        let _ = say_line(&format!("failed {error}"));
    }
}

/// What a helper says first.
fn say_ready() -> Result<()> {
    say_line("ready")
}

fn say_line(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush())
}

/// Holds the sandbox until it is killed.
fn hold() -> ! {
    // Before any container of the task can write to it: it names the resolvers that the filter lets through.
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
    /// Nothing comes any more from the engine.
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
        // One that waits for the emulator alone is left out: the kernel would say again and again that its peer is gone.
        let busy = self.connections.values().filter(|connection| connection.interest() != 0);
        entries.extend(busy.map(|connection| entry(connection.descriptor(), connection.interest())));
        let patience = self.connections.values().filter_map(Connection::patience).min();
        // A millisecond more, so that it is over when the wait is.
        let timeout = patience.map_or(-1, |left| i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX));
        if sys::wait(&mut entries, timeout).is_err() {
            return;
        }
        let came = |descriptor: i32| {
            entries.iter().any(|entry| entry.descriptor == descriptor && entry.returned != 0)
        };
        let ready: Vec<u32> = self
            .connections
            .iter()
            .filter(|(_, connection)| came(connection.descriptor()))
            .map(|(id, _)| *id)
            .collect();
        let calling: Vec<String> = self
            .listeners
            .iter()
            .filter(|(_, listener)| came(listener.as_raw_fd()))
            .map(|(place, _)| place.clone())
            .collect();
        let instructed = came(0);
        for id in ready {
            self.go_on(id);
        }
        for place in calling {
            self.accept(&place);
        }
        if instructed {
            self.read();
        }
        self.give_up();
    }

    fn read(&mut self) {
        let mut chunk = [0; 64 * 1024];
        match std::io::stdin().lock().read(&mut chunk) {
            Ok(0) => self.input_ended = true,
            Ok(length) => self.lines.push(&chunk[..length]),
            Err(error) => self.input_ended = error.kind() != ErrorKind::Interrupted,
        }
        while let Some(line) = self.lines.next() {
            self.obey(&line);
        }
    }

    /// Does what a line says.
    fn obey(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some(session), Some(verb)) = (words.next(), words.next()) else { return };
        let words: Vec<&str> = words.collect();
        if verb == "hello" {
            session.clone_into(&mut self.session);
            self.connections.clear();
            self.say(&format!("hello {}", hex(&self.resolv_conf)));
        } else if session == self.session {
            match (verb, words.as_slice()) {
                ("netlink", [number, protocol, batch]) => self.done(number, send(protocol, batch)),
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
                        self.pass(connection, verb, words);
                    }
                }
                _ => {}
            }
        }
    }

    fn done(&self, number: &str, result: Result<String>) {
        match result {
            Ok(answer) => self.say(&format!("done {number}{answer}")),
            Err(error) => self.say(&format!("failed {number} {error}")),
        }
    }

    fn reserve(&mut self, device: &str) -> Result<String> {
        if !self.reserved.contains_key(device) {
            self.reserved.insert(device.to_owned(), sys::take_xdp(device)?);
        }
        Ok(String::new())
    }

    fn listen(&mut self, place: &str, address: &str) -> Result<String> {
        let address: SocketAddr = address.parse().map_err(|_| malformed("the address is none"))?;
        if self.listeners.get(place).is_none_or(|there| there.local_addr().ok() != Some(address)) {
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
        self.say(&format!("open {} {place}", self.last));
    }

    /// What the emulator says of a connection.
    fn pass(&mut self, id: u32, verb: &str, words: &[&str]) {
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
            self.go_on(id);
        } else {
            self.connections.remove(&id);
            self.say(&format!("reset {id}"));
        }
    }

    fn go_on(&mut self, id: u32) {
        let session = &self.session;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.go_on(&mut |said| match said {
            Said::Data(data) => say(session, &format!("data {id} {data}")),
            Said::Credit(credit) => say(session, &format!("credit {id} {credit}")),
            Said::End => say(session, &format!("end {id}")),
            Said::Reset => say(session, &format!("reset {id}")),
        });
        if connection.is_done() {
            self.connections.remove(&id);
        }
    }

    /// Closes the connections that the emulator did not greet in time.
    fn give_up(&mut self) {
        let session = &self.session;
        self.connections.retain(|id, connection| {
            let waits = connection.patience().is_none_or(|left| !left.is_zero());
            if !waits {
                say(session, &format!("reset {id}"));
            }
            waits
        });
    }

    fn say(&self, words: &str) {
        say(&self.session, words);
    }
}

/// Fails where nothing is attached: then nothing waits for it.
fn say(session: &str, words: &str) {
    let _ = say_line(&format!("{session} {words}"));
}

/// Sends a batch of messages, and answers those that the kernel sends back.
fn send(protocol: &str, batch: &str) -> Result<String> {
    let protocol = protocol.parse().map_err(|_| malformed("the protocol is no number"))?;
    let batch = bytes(batch).ok_or_else(|| malformed("the batch is not hexadecimal"))?;
    let mut kernel = sys::netlink(protocol, batch.len())?;
    // One batch, one datagram. The kernel has done all of it and queued what it says before this returns.
    kernel.write_all(&batch)?;
    let mut answer = String::new();
    let mut message = [0; ANSWER];
    loop {
        match kernel.read(&mut message) {
            Ok(0) => return Ok(answer),
            Ok(length) => {
                answer.push(' ');
                answer.push_str(&hex(&message[..length]));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(answer),
            Err(error) => return Err(error),
        }
    }
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}
