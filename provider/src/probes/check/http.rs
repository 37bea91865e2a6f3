//! `httpGet`: a status of 200 to 399 is enough. Redirects are followed on the same host (`pkg/probe/http/http.go`).
//!
//! One connection per request, HTTP/1.1, no proxy: on hyper itself, because the pool, the proxy and the resolver of a higher-level client
//! would all have to be switched off.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, StatusCode,
    header::{CONNECTION, HOST, LOCATION},
    uri::Authority,
};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_rustls::TlsConnector;

use super::{Outcome, authority, dial};
use crate::probes::spec::{Get, target};

/// Redirects followed at most.
const REDIRECTS: usize = 10;

/// Bytes of a body that are reported.
const BODY: usize = 10 * 1024;

pub(super) async fn run(get: &Get, tls: &Arc<rustls::ClientConfig>, timeout: Duration) -> Outcome {
    let deadline = Instant::now() + timeout;
    let mut place = Place::of(get);
    let mut headers = get.headers.clone();
    for _ in 0..REDIRECTS {
        let answer = match place.answer(&headers, tls, deadline).await {
            Ok(answer) => answer,
            Err(why) => return Outcome::Failure(why),
        };
        let status = answer.status();
        if !(200..400).contains(&status.as_u16()) {
            // The body may contain the container's secrets: it is not reported.
            return Outcome::Failure(format!("HTTP probe failed with statuscode: {}", status.as_u16()));
        }
        if !status.is_redirection() {
            return Outcome::Success;
        }
        match place.redirect(status, answer.headers()) {
            Some(next) if next.host == get.host => {
                if (next.https, next.port) != (place.https, place.port) {
                    headers.remove(HOST);
                }
                place = next;
            }
            _ => {
                let body = tokio::time::timeout_at(deadline, beginning(answer.into_body())).await;
                let body = body.unwrap_or_default();
                return Outcome::Warning(format!("Probe terminated redirects, Response body: {body}"));
            }
        }
    }
    Outcome::Failure(format!("Get {:?}: stopped after {REDIRECTS} redirects", place.url()))
}

/// One request; an error only if there was no response at all.
pub(super) async fn answered(get: &Get, tls: &Arc<rustls::ClientConfig>, timeout: Duration) -> Outcome {
    let deadline = Instant::now() + timeout;
    let place = Place::of(get);
    match place.answer(&get.headers, tls, deadline).await {
        Ok(_) => Outcome::Success,
        Err(why) => Outcome::Failure(why),
    }
}

/// The target of a request.
struct Place {
    https: bool,
    host: String,
    port: u16,
    target: String,
}

impl Place {
    fn of(get: &Get) -> Self {
        Self { https: get.https, host: get.host.clone(), port: get.port, target: get.target.clone() }
    }

    /// The response to one request, or the error in the words of Go's client.
    async fn answer(
        &self,
        headers: &HeaderMap,
        tls: &Arc<rustls::ClientConfig>,
        deadline: Instant,
    ) -> Result<hyper::Response<Incoming>, String> {
        let why = match tokio::time::timeout_at(deadline, ask(self, headers, tls, deadline)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(why)) => why,
            Err(_) => "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned(),
        };
        Err(format!("Get {:?}: {why}", self.url()))
    }

    fn url(&self) -> String {
        let Self { https, host, port, target } = self;
        let scheme = if *https { "https" } else { "http" };
        format!("{scheme}://{}{target}", authority(host, *port))
    }

    /// The target of a redirect; `None` if the response is not one.
    fn redirect(&self, status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = headers.get(LOCATION)?.to_str().ok().filter(|location| !location.is_empty())?;
        let (https, rest) = match location.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, Some(rest)),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, Some(rest)),
            Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => return None,
            _ => (self.https, location.strip_prefix("//")),
        };
        let Some(rest) = rest else {
            let path = if location.starts_with('/') {
                location.to_owned()
            } else if location.starts_with('?') {
                format!("{}{location}", self.path())
            } else {
                // Relative to the current target.
                let folder =
                    self.path().rfind('/').and_then(|slash| self.path().get(..=slash)).unwrap_or("/");
                format!("{folder}{location}")
            };
            return Some(Self { https, host: self.host.clone(), port: self.port, target: target(&path) });
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (named, path) = rest.split_at(end);
        let named: Authority = named.parse().ok()?;
        Some(Self {
            https,
            host: named.host().trim_matches(['[', ']']).to_owned(),
            port: named.port_u16().unwrap_or(if https { 443 } else { 80 }),
            target: target(path),
        })
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("/")
    }
}

async fn ask(
    place: &Place,
    headers: &HeaderMap,
    tls: &Arc<rustls::ClientConfig>,
    deadline: Instant,
) -> Result<hyper::Response<Incoming>, String> {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = place.target.parse().map_err(|error| format!("{error}"))?;
    *request.headers_mut() = headers.clone();
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if request.headers().get(HOST).is_none_or(HeaderValue::is_empty) {
        let host = authority(&place.host, place.port);
        request.headers_mut().insert(HOST, host.parse().map_err(|error| format!("{error}"))?);
    }
    let stream = dial(&place.host, place.port, deadline).await?;
    if !place.https {
        return send(stream, request).await;
    }
    let name = ServerName::try_from(place.host.clone()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
    send(stream.map_err(|error| format!("tls: {error}"))?, request).await
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<hyper::Response<Incoming>, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    // The connection ends with its last user: the response's body.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(words)
}

/// Go calls a connection that ends before the response `EOF`.
fn words(error: hyper::Error) -> String {
    if error.is_incomplete_message() { "EOF".to_owned() } else { error.to_string() }
}

/// The beginning of a body, as text.
async fn beginning(mut body: Incoming) -> String {
    let mut seen = Vec::new();
    while seen.len() < BODY {
        match body.frame().await {
            Some(Ok(frame)) => seen.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(_)) | None => break,
        }
    }
    seen.truncate(BODY);
    String::from_utf8_lossy(&seen).into_owned()
}
