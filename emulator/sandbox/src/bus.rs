//! `bus SOCKET`: the helper of an emulator that is not root, for an engine whose cgroup driver is systemd. What comes on
//! standard input goes to the system bus, and what the bus says to standard output: the emulator speaks to systemd by it, as
//! the root that this program is.

use std::io::{Read, Result, Write};
use std::os::unix::net::UnixStream;

pub(crate) fn serve(socket: &str) -> Result<()> {
    let mut bus = UnixStream::connect(socket)?;
    crate::say_ready()?;
    let mut to_bus = bus.try_clone()?;
    std::thread::spawn(move || {
        let _ = pass(&mut std::io::stdin().lock(), &mut to_bus);
        // The emulator has ended, and so has its connection.
        std::process::exit(0)
    });
    pass(&mut bus, &mut std::io::stdout().lock())
}

fn pass(from: &mut impl Read, to: &mut impl Write) -> Result<()> {
    let mut chunk = [0; 16 * 1024];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(()),
            length => to.write_all(&chunk[..length]).and_then(|()| to.flush())?,
        }
    }
}
