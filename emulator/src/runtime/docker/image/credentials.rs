//! The user's own registry logins, as `docker login` stores them: in `config.json` in `DOCKER_CONFIG` or `~/.docker`, or
//! with a credential helper that this file names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::clock::Clock;

/// The name under which `docker login` stores Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The user name by which a helper means: log in with this token instead of a password.
const TOKEN_USER: &str = "<token>";

/// How long a credential helper may take; after that it is killed.
const HELPER: Duration = Duration::from_secs(30);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: HashMap<String, Login>,
    creds_store: Option<String>,
    cred_helpers: HashMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Login {
    /// Base64 of `user:password`.
    auth: Option<String>,
    identitytoken: Option<String>,
}

/// The output of `docker-credential-NAME get`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    username: String,
    secret: String,
}

/// The login for `registry`; `None` is anonymous, also if the file can't be read or the helper fails.
pub(super) async fn find(registry: &str, clock: &Clock) -> Option<DockerCredentials> {
    let file = directory()?.join("config.json");
    let config: Config = serde_json::from_slice(&tokio::fs::read(&file).await.ok()?)
        .inspect_err(|error| {
            tracing::warn!(file = %file.display(), %error, "could not read the registry logins; pulling without a login");
        })
        .ok()?;
    let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
    match config.cred_helpers.get(server).or(config.creds_store.as_ref()) {
        Some(helper) => match clock.timeout(HELPER, ask(helper, server)).await {
            Ok(credentials) => credentials,
            Err(error) => {
                tracing::warn!(helper, server, %error, "the credential helper did not respond; pulling without a login");
                None
            }
        },
        None => config.login(server),
    }
}

impl Config {
    fn login(&self, server: &str) -> Option<DockerCredentials> {
        let bare = |name: &str| name.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let login = self.auths.get(server).or_else(|| {
            self.auths.iter().find(|(name, _)| bare(name) == bare(server)).map(|(_, login)| login)
        })?;
        let decoded = STANDARD.decode(login.auth.as_deref().unwrap_or_default()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (username, password) = text.split_once(':').unwrap_or_default();
        let identitytoken = login.identitytoken.clone().filter(|token| !token.is_empty());
        (identitytoken.is_some() || !username.is_empty()).then(|| DockerCredentials {
            username: Some(username.to_owned()),
            password: Some(password.to_owned()),
            serveraddress: Some(server.to_owned()),
            identitytoken,
            ..DockerCredentials::default()
        })
    }
}

/// Runs a credential helper (docker/docker-credential-helpers: the server on its input, JSON on its output).
async fn ask(helper: &str, server: &str) -> Option<DockerCredentials> {
    let mut child = Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .inspect_err(|error| {
            tracing::warn!(helper, %error, "could not run the credential helper; pulling without a login");
        })
        .ok()?;
    child.stdin.take()?.write_all(server.as_bytes()).await.ok()?;
    let output = child.wait_with_output().await.ok()?;
    let login: Secret = serde_json::from_slice(&output.stdout).ok()?;
    let is_token = login.username == TOKEN_USER;
    Some(DockerCredentials {
        serveraddress: Some(server.to_owned()),
        identitytoken: is_token.then(|| login.secret.clone()),
        username: (!is_token).then_some(login.username),
        password: (!is_token).then_some(login.secret),
        ..DockerCredentials::default()
    })
}

fn directory() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".docker")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(config: &str, server: &str) -> Option<(String, String)> {
        let config: Config = serde_json::from_str(config).unwrap();
        config.login(server).map(|found| (found.username.unwrap(), found.password.unwrap()))
    }

    #[test]
    fn a_login_is_found_by_its_server() {
        // ada:secret:1
        let config = r#"{"auths": {"https://registry.example.com/": {"auth": "YWRhOnNlY3JldDox"}, "empty.example.com": {}}}"#;
        assert_eq!(login(config, "registry.example.com"), Some(("ada".to_owned(), "secret:1".to_owned())));
        assert_eq!(login(config, "empty.example.com"), None);
        assert_eq!(login(config, "other.example.com"), None);
        assert_eq!(login("{}", "registry.example.com"), None);
    }
}
