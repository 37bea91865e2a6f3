//! The way to the engine, and what its refusals become.

use bollard::errors::Error as DockerError;
use bollard::{API_DEFAULT_VERSION, Docker};

use crate::runtime::Error;

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// Seconds that the engine may take to begin an answer. Creating and starting wait for disks and image layers on a
/// busy machine; what takes longer by its nature (a stop, a pull) sets its own.
const TIMEOUT: u64 = 120;

/// `docker_host`, else `DOCKER_HOST`, else Docker's own socket.
pub(crate) fn host(docker_host: Option<&str>) -> String {
    docker_host
        .map(str::to_owned)
        .or_else(|| std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()))
        .unwrap_or_else(|| DEFAULT_HOST.to_owned())
}

/// Connects to `unix://`, `tcp://` or `http://` and agrees on the API version.
pub(crate) async fn connect(host: &str) -> Result<Docker, Error> {
    let docker = if host.starts_with("unix://") {
        Docker::connect_with_unix(host, TIMEOUT, API_DEFAULT_VERSION)
    } else if host.starts_with("tcp://") || host.starts_with("http://") {
        Docker::connect_with_http(host, TIMEOUT, API_DEFAULT_VERSION)
    } else {
        return Err(Error::Unreachable {
            host: host.to_owned(),
            reason: "a Docker host begins with unix://, tcp:// or http://".to_owned(),
        });
    };
    let unreachable =
        |error: DockerError| Error::Unreachable { host: host.to_owned(), reason: reason(&error) };
    docker.map_err(unreachable)?.negotiate_version().await.map_err(unreachable)
}

/// Turns a refusal into [`Error::Failed`] of what was `attempted`, a request without an answer into
/// [`Error::NoAnswer`], and an engine that is not there into [`Error::Unreachable`].
pub(crate) fn failed(host: &str, attempted: impl Into<String>) -> impl FnOnce(DockerError) -> Error {
    move |error| {
        let reason = reason(&error);
        let unreachable = match &error {
            DockerError::HyperLegacyError { err } => err.is_connect(),
            DockerError::SocketNotFoundError(_) => true,
            _ => false,
        };
        if unreachable {
            Error::Unreachable { host: host.to_owned(), reason }
        } else if is_without_answer(&error) {
            Error::NoAnswer { attempted: attempted.into(), reason }
        } else {
            Error::Failed { attempted: attempted.into(), reason }
        }
    }
}

/// The engine was asked and went away, or did not answer in time: what was asked for may be done or not.
fn is_without_answer(error: &DockerError) -> bool {
    matches!(
        error,
        DockerError::RequestTimeoutError
            | DockerError::HyperResponseError { .. }
            | DockerError::HyperLegacyError { .. }
    )
}

/// The engine's own message, else the whole chain of what went wrong on the way.
pub(crate) fn reason(error: &DockerError) -> String {
    match error {
        DockerError::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        DockerError::DockerStreamError { error } => error.trim().to_owned(),
        DockerError::RequestTimeoutError => "the engine did not answer in time".to_owned(),
        DockerError::SocketNotFoundError(path) => format!("there is no socket {path}"),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(error) = source {
                let part = error.to_string();
                if !text.contains(&part) {
                    text = format!("{text}: {part}");
                }
                source = error.source();
            }
            text
        }
    }
}

/// The HTTP status of a refusal.
pub(crate) fn status(error: &DockerError) -> Option<u16> {
    match error {
        DockerError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// `None` where the engine refused with one of `statuses`: 404 where gone is what was wanted, 409 where it is there
/// already, 304 where nothing was to do.
pub(crate) fn unless<T>(result: Result<T, DockerError>, statuses: &[u16]) -> Result<Option<T>, DockerError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if status(&error).is_some_and(|status| statuses.contains(&status)) => Ok(None),
        Err(error) => Err(error),
    }
}
