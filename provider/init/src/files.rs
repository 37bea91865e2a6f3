//! The three files, written in place.
//!
//! The containers of a task see one file each, mounted into every one of them: it must be the same file afterwards, so
//! it is written in place and never renamed over. No other container has started yet.

use std::{fmt, fs, io, net::IpAddr, path::Path};

use crate::{Plan, hosts::hosts, resolv_conf::ResolvConf};

/// A file was not read or written.
#[derive(Debug)]
pub struct Error {
    attempt: &'static str,
    path: String,
    source: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.attempt, self.path, self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Writes the files of the folder `etc`; returns lines for the log.
pub fn write(etc: &Path, plan: &Plan, hostname: &str, addresses: &[IpAddr]) -> Result<Vec<String>, Error> {
    let Plan { resolv_conf, added, domain, aliases } = plan;
    let mut log = Vec::new();
    if !resolv_conf.is_empty() {
        let path = etc.join("resolv.conf");
        let base = if *added { ResolvConf::parse(&read(&path)?) } else { ResolvConf::default() };
        let (content, left_out) = base.with(resolv_conf.clone()).fit();
        log.extend(left_out);
        put(&path, &content.to_string(), &mut log)?;
    }
    if addresses.is_empty() {
        log.push(
            "the task's hosts file lacks its own address: the task has no route that would show it"
                .to_owned(),
        );
    }
    let hosts = hosts(addresses, hostname, domain.as_deref(), aliases);
    put(&etc.join("hosts"), &hosts, &mut log)?;
    put(&etc.join("hostname"), &format!("{hostname}\n"), &mut log)?;
    Ok(log)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| error("reading", path, source))
}

fn put(path: &Path, content: &str, log: &mut Vec<String>) -> Result<(), Error> {
    // Truncates the existing file.
    fs::write(path, content).map_err(|source| error("writing", path, source))?;
    log.push(format!("wrote {}", path.display()));
    Ok(())
}

fn error(attempt: &'static str, path: &Path, source: io::Error) -> Error {
    Error { attempt, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn inodes(etc: &Path) -> Vec<u64> {
        ["resolv.conf", "hosts", "hostname"].map(|file| fs::metadata(etc.join(file)).unwrap().ino()).to_vec()
    }

    #[test]
    fn the_files_that_are_there_are_written_in_place() {
        let etc = tempfile::tempdir().unwrap();
        let etc = etc.path();
        let before = "nameserver 10.0.0.2\nsearch ec2.internal\noptions timeout:1\n";
        fs::write(etc.join("resolv.conf"), before).unwrap();
        fs::write(etc.join("hosts"), "127.0.0.1 localhost\n".repeat(100)).unwrap();
        fs::write(etc.join("hostname"), "ip-10-0-0-7.ec2.internal\n").unwrap();
        let there = inodes(etc);
        let text = |file: &str| fs::read_to_string(etc.join(file)).unwrap();
        let own = ["10.0.0.7".parse().unwrap()];

        write(etc, &Plan::default(), "web", &own).unwrap();
        assert_eq!(text("resolv.conf"), before, "nothing asked for, nothing changed");
        assert_eq!(text("hostname"), "web\n");
        assert!(text("hosts").ends_with("10.0.0.7\tweb\n") && !text("hosts").contains("127.0.0.1 localhost"));

        let arguments = ["--nameserver=10.96.0.10", "--option=timeout:3"].map(str::to_owned);
        let added =
            Plan::parse(arguments.clone().into_iter().chain(["--add-to-task-dns".to_owned()])).unwrap();
        write(etc, &added, "web", &own).unwrap();
        let both = "search ec2.internal\nnameserver 10.0.0.2\nnameserver 10.96.0.10\noptions timeout:3\n";
        assert_eq!(text("resolv.conf"), both);

        let log = write(etc, &Plan::parse(arguments).unwrap(), "web", &[]).unwrap();
        assert_eq!(text("resolv.conf"), "nameserver 10.96.0.10\noptions timeout:3\n");
        assert!(log.iter().any(|line| line.contains("no route")), "{log:?}");
        assert_eq!(inodes(etc), there, "the same files");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir(etc.path().join("hosts")).unwrap();
        let error = write(etc.path(), &Plan::default(), "web", &[]).unwrap_err().to_string();
        assert!(error.starts_with("writing ") && error.contains("/hosts: "), "{error}");
    }
}
