//! The connection to the engine, and the translation of its errors.

use bollard::errors::Error as DockerError;
use bollard::{API_DEFAULT_VERSION, Docker};

use crate::runtime::Error;

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// Seconds until the engine has to begin its response. Creating and starting wait for disks and image layers on a
/// busy machine; requests that always take longer (a stop, a pull) set their own timeout.
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

/// Turns an error response into [`Error::Failed`] with what was `attempted`, a request without a response into
/// [`Error::NoAnswer`], and a failed connection into [`Error::Unreachable`].
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
        } else if is_without_response(&error) {
            Error::NoAnswer { attempted: attempted.into(), reason }
        } else {
            Error::Failed { attempted: attempted.into(), reason }
        }
    }
}

/// The connection was lost after the request, or the engine did not respond in time: it may have performed the request or not.
fn is_without_response(error: &DockerError) -> bool {
    matches!(
        error,
        DockerError::RequestTimeoutError
            | DockerError::HyperResponseError { .. }
            | DockerError::HyperLegacyError { .. }
    )
}

/// The engine's own message, else the error with all its sources.
pub(crate) fn reason(error: &DockerError) -> String {
    match error {
        DockerError::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        DockerError::DockerStreamError { error } => error.trim().to_owned(),
        DockerError::RequestTimeoutError => "the engine did not respond in time".to_owned(),
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

/// `None` if the engine responded with one of `statuses`: 404 if the object to remove does not exist, 409 if the object to
/// create exists already, 304 if nothing had to be changed.
pub(crate) fn unless<T>(result: Result<T, DockerError>, statuses: &[u16]) -> Result<Option<T>, DockerError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if status(&error).is_some_and(|status| statuses.contains(&status)) => Ok(None),
        Err(error) => Err(error),
    }
}
