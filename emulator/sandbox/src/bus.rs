//! `bus SOCKET`: the helper of an emulator that is not root, for an engine whose cgroup driver is systemd. It copies standard
//! input to the system bus, and the bus's output to standard output. So the emulator calls systemd as root, the user of this
//! program.

use std::io::{Read, Result, Write};
use std::os::unix::net::UnixStream;

pub(crate) fn serve(socket: &str) -> Result<()> {
    let mut bus = UnixStream::connect(socket)?;
    crate::write_ready()?;
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
