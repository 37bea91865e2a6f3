//! `neargate doctor`: what works here and how to fix what does not, one line per check.
//!
//! ```text
//! ok    engine    Docker 20.10.24 at unix:///var/run/docker.sock
//! warn  limits    enforced per container: only root may create systemd slices
//!                 run neargate as root …
//! ```
//!
//! `fail`: tasks can't run. `warn`: they run, but something differs from Fargate.

mod engine;
mod place;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Options {
    /// As for `neargate serve`.
    pub docker_host: Option<String>,
    pub listen: SocketAddr,
    /// `None`: a private temporary one, which needs no check.
    pub data_dir: Option<PathBuf>,
}

/// Runs the checks and prints them. `false` if one failed.
///
/// # Errors
/// `out` can't be written.
pub async fn run(options: &Options, out: &mut (impl Write + Send)) -> io::Result<bool> {
    let Options { docker_host, listen, data_dir } = options;
    let mut checks = vec![place::port(*listen)];
    checks.extend(data_dir.as_deref().map(place::data_dir));
    checks.extend(engine::checks(docker_host.as_deref()).await);
    let mut passed = true;
    for check in checks {
        write!(out, "{check}")?;
        passed &= check.status != Status::Fail;
    }
    Ok(passed)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    status: Status,
    /// One word.
    subject: &'static str,
    found: String,
    /// How a user can fix it.
    fix: Option<String>,
}

impl Check {
    fn ok(subject: &'static str, found: impl Into<String>) -> Self {
        Self { status: Status::Ok, subject, found: found.into(), fix: None }
    }

    fn warn(subject: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Warn, subject, found: found.into(), fix: Some(fix.into()) }
    }

    fn fail(subject: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Fail, subject, found: found.into(), fix: Some(fix.into()) }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "fail",
        };
        writeln!(f, "{status:<5} {:<10} {}", self.subject, self.found)?;
        match &self.fix {
            Some(fix) => writeln!(f, "{:<5} {:<10} {fix}", "", "→ fix:"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_a_line_and_its_fix_another() {
        assert_eq!(Check::ok("port", "is free").to_string(), "ok    port       is free\n");
        let check = Check::fail("port", "is taken", "take another");
        assert_eq!(check.to_string(), "fail  port       is taken\n      → fix:     take another\n");
    }
}
