//! Why a pull failed, derived from the engine's message, because the engine has no error code for it. Also the same reason
//! in the wording of Fargate's containerd, for which users search in their task's `stoppedReason`.

use bollard::errors::Error as DockerError;

use super::super::client::{reason, status};
use super::reference::Reference;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound,
    Denied,
    /// Name not resolved, connection refused, timeout, an error of the registry: another attempt may succeed.
    Unreachable,
    /// The engine can't store the image: no space, no such platform.
    Other,
}

impl Refusal {
    pub(super) fn of(error: &DockerError) -> Self {
        Self::of_message(status(error), &reason(error).to_lowercase())
    }

    fn of_message(status: Option<u16>, message: &str) -> Self {
        let contains = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if contains(&["denied", "unauthorized", "authentication required", "no basic auth credentials"]) {
            Self::Denied
        } else if contains(&["manifest unknown", "repository does not exist", "name unknown"]) {
            Self::NotFound
        } else if contains(&[
            "dial tcp",
            "lookup ",
            "no such host",
            "connection refused",
            "connection reset",
            "timeout",
            "timed out",
            "request canceled",
            "deadline exceeded",
            "eof",
            "toomanyrequests",
            "too many requests",
            "unexpected status",
            "received unexpected http status",
            "tls: ",
        ]) {
            Self::Unreachable
        } else if status == Some(404) || message.ends_with("not found") {
            Self::NotFound
        } else {
            Self::Other
        }
    }

    /// The text that Fargate writes after `failed to resolve ref REFERENCE: `.
    pub(super) fn cause(self, reference: &Reference, error: &DockerError) -> String {
        let message = reason(error);
        match self {
            Self::NotFound => format!("{reference}: not found"),
            Self::Denied => format!(
                "pull access denied, repository does not exist or may require authorization: server message: {message}"
            ),
            Self::Unreachable => format!("failed to do request: {message}"),
            Self::Other => message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_messages_are_classified() {
        for (status, message, expected) in [
            (404, "manifest for nginx:nope not found: manifest unknown: manifest unknown", Refusal::NotFound),
            (
                404,
                "pull access denied for nope, repository does not exist or may require 'docker login': denied: \
                   requested access to the resource is denied",
                Refusal::Denied,
            ),
            (
                500,
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io on 192.0.2.1:53: \
                   no such host",
                Refusal::Unreachable,
            ),
            (
                500,
                "Get \"https://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                Refusal::Unreachable,
            ),
            (500, "toomanyrequests: You have reached your pull rate limit.", Refusal::Unreachable),
            (500, "Head \"https://example.com/v2/x/manifests/1\": unauthorized", Refusal::Denied),
            (500, "write /var/lib/docker/tmp/x: no space left on device", Refusal::Other),
            (404, "no matching manifest for linux/amd64 in the manifest list entries", Refusal::NotFound),
        ] {
            assert_eq!(Refusal::of_message(Some(status), &message.to_lowercase()), expected, "{message}");
        }
    }

    #[test]
    fn the_cause_has_the_wording_of_fargate() {
        let reference = Reference::parse("nginx:nope").unwrap();
        let error = DockerError::DockerResponseServerError {
            status_code: 404,
            message: "manifest unknown".to_owned(),
        };
        let cause = Refusal::NotFound.cause(&reference, &error);
        assert_eq!(cause, "docker.io/library/nginx:nope: not found");
    }
}
