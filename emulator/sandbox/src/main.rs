//! PID 1 of a sandbox: it holds the network namespace that the containers of one task join, and tells the kernel in
//! there what the emulator wants: routes and packet filters.
//!
//! It knows nothing of either. A line on its standard input is an instruction, `ID PROTOCOL HEX`: the bytes are sent
//! to the kernel on a netlink socket of that protocol. The line that it answers, `ID HEX …`, is what the kernel said to
//! it, message by message; or `ID ! REASON`. Lines, because whoever writes them may be killed in the middle of one:
//! the next one begins with a newline.
//!
//! It links nothing beyond std, so that `emulator/build.rs` can compile it with plain rustc into one static file. It
//! needs no signal handler: the runtime gives its container the stop signal SIGKILL, for PID 1 of a namespace ignores
//! a SIGTERM that it does not handle, and here is nothing to put in order.

use std::fs::File;
use std::io::{BufRead, Error, ErrorKind, Read, Result, Write};

fn main() {
    let mut instructions = std::io::stdin().lock();
    let mut line = Vec::new();
    while matches!(instructions.read_until(b'\n', &mut line), Ok(read) if read > 0) {
        if let Some((id, instruction)) = String::from_utf8_lossy(&line).trim().split_once(' ') {
            let answer = carry_out(instruction).unwrap_or_else(|problem| format!(" ! {problem}"));
            // Who asked may be gone: then nobody waits for it.
            let _ = std::io::stdout().write_all(format!("{id}{answer}\n").as_bytes());
        }
        line.clear();
    }
    loop {
        // May return for no reason; nobody unparks it.
        std::thread::park();
    }
}

/// Sends a batch of messages, and answers those that the kernel sends back.
fn carry_out(instruction: &str) -> Result<String> {
    let (protocol, batch) = instruction.split_once(' ').ok_or_else(|| malformed("no protocol"))?;
    let mut kernel = netlink(protocol.parse().map_err(|_| malformed("the protocol is no number"))?)?;
    let batch = bytes(batch).ok_or_else(|| malformed("the batch is not hexadecimal"))?;
    // One batch, one datagram. The kernel has done all of it and queued what it says before this returns.
    kernel.write_all(&batch)?;
    let mut answer = String::new();
    // An acknowledgement repeats what it refuses; its head is enough.
    let mut message = [0; 512];
    loop {
        match kernel.read(&mut message) {
            Ok(0) => return Ok(answer),
            Ok(length) => {
                answer.push(' ');
                answer.extend(message[..length].iter().map(|byte| format!("{byte:02x}")));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(answer),
            Err(error) => return Err(error),
        }
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}

/// A netlink socket to the kernel, in the namespace of this process; reading it does not wait.
#[expect(unsafe_code, reason = "std has no netlink socket; this call is all that is missing")]
fn netlink(protocol: i32) -> Result<File> {
    use std::os::fd::FromRawFd;

    const AF_NETLINK: i32 = 16;
    const SOCK_RAW: i32 = 3;
    const SOCK_NONBLOCK: i32 = 0o4000;
    const SOCK_CLOEXEC: i32 = 0o2_000_000;
    unsafe extern "C" {
        fn socket(domain: i32, kind: i32, protocol: i32) -> i32;
    }
    // SAFETY: socket(2) takes three numbers and touches no memory of ours.
    match unsafe { socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol) } {
        -1 => Err(Error::last_os_error()),
        // SAFETY: the kernel just opened it for us, and nobody else knows it.
        descriptor => Ok(unsafe { File::from_raw_fd(descriptor) }),
    }
}
