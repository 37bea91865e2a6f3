//! The port and the data directory.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::Check;
use crate::store::{self, Lock};

pub(super) fn port(listen: SocketAddr) -> Check {
    const SUBJECT: &str = "port";
    match TcpListener::bind(listen) {
        Ok(_) => Check::ok(SUBJECT, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Check::fail(
            SUBJECT,
            format!("{listen} is in use"),
            "neargate may be running already; else stop the program that listens there, or choose another address with --listen",
        ),
        Err(error) => Check::fail(
            SUBJECT,
            format!("can't listen on {listen}: {error}"),
            "choose an address of this machine and a port above 1023 with --listen",
        ),
    }
}

pub(super) fn data_dir(directory: &Path) -> Check {
    const SUBJECT: &str = "data dir";
    const FIX: &str = "choose a writable directory with --data-dir";
    let name = directory.display();
    if !directory.exists() {
        let above = directory.ancestors().skip(1).find(|above| above.is_dir());
        return match above.map(|above| tempfile::tempfile_in(above).map_err(|error| (above, error))) {
            Some(Ok(_)) => Check::ok(SUBJECT, format!("{name} will be created")),
            Some(Err((above, error))) => {
                Check::fail(SUBJECT, format!("{name} can't be created: {}: {error}", above.display()), FIX)
            }
            None => {
                Check::fail(SUBJECT, format!("{name} can't be created: no directory above it exists"), FIX)
            }
        };
    }
    let held = if directory.join("lock").exists() { Lock::acquire(directory).map(drop) } else { Ok(()) };
    match (held, tempfile::tempfile_in(directory)) {
        (Err(store::Error::Locked { pid, .. }), _) => Check::warn(
            SUBJECT,
            format!("{name} is in use by process {pid}"),
            "that process is another neargate; a second one needs its own directory: choose one with --data-dir",
        ),
        (Err(error), _) => Check::fail(SUBJECT, format!("{name}: {error}"), FIX),
        (Ok(()), Err(error)) => Check::fail(SUBJECT, format!("{name} can't be written: {error}"), FIX),
        (Ok(()), Ok(_)) => Check::ok(SUBJECT, format!("{name} can be used")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_port_in_use_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(port(listener.local_addr().unwrap()).status, Status::Fail);
        assert_eq!(port("127.0.0.1:0".parse().unwrap()).status, Status::Ok);
    }

    #[test]
    fn a_data_dir_is_checked_without_being_created() {
        let directory = tempfile::tempdir().unwrap();
        let absent = directory.path().join("a/b");
        assert_eq!(data_dir(&absent).status, Status::Ok);
        assert!(!directory.path().join("a").exists());
        assert_eq!(data_dir(directory.path()).status, Status::Ok);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

        let _held = Lock::acquire(directory.path()).unwrap();
        let check = data_dir(directory.path());
        assert_eq!(check.status, Status::Warn);
        assert!(check.found.contains(&std::process::id().to_string()), "{check}");
    }
}
