//! `grpc`: `grpc.health.v1.Health/Check` must answer SERVING (`pkg/probe/grpc/grpc.go`).
//!
//! Written directly on hyper's HTTP/2: it is one unary call whose request and response have one field each, much less code than
//! a gRPC client with generated types.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::Instant;

use super::{Outcome, authority, dial};
use crate::probes::spec::AGENT;

/// A response holds one small number; a longer one is invalid.
const ANSWER: usize = 1_024;

pub(super) async fn run(host: &str, port: u16, service: &str, timeout: Duration) -> Outcome {
    let address = authority(host, port);
    let deadline = Instant::now() + timeout;
    let stream = match dial(host, port, deadline).await {
        Ok(stream) => stream,
        Err(why) if Instant::now() >= deadline => {
            return Outcome::Failure(format!(
                "timeout: failed to connect service {address:?} within {timeout:?}: {why}"
            ));
        }
        Err(why) => {
            return Outcome::Failure(format!("error: failed to connect service at {address:?}: {why}"));
        }
    };
    match tokio::time::timeout_at(deadline, call(TokioIo::new(stream), &address, service, timeout)).await {
        Ok(Ok(Status::Serving)) => Outcome::Success,
        Ok(Ok(status)) => Outcome::Failure(format!("service unhealthy (responded with {:?})", status.name())),
        Ok(Err(Failed::Rpc { code: 12, message })) => Outcome::Failure(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        )),
        Ok(Err(Failed::Rpc { code, message })) => Outcome::Failure(format!(
            "error: health rpc probe failed: rpc error: code = {} desc = {message}",
            code_name(code)
        )),
        Ok(Err(Failed::Transport(why))) => Outcome::Failure(format!("error: health rpc probe failed: {why}")),
        Err(_) => Outcome::Failure(format!("timeout: health rpc did not complete within {timeout:?}")),
    }
}

/// `HealthCheckResponse.ServingStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Unknown,
    Serving,
    NotServing,
    ServiceUnknown,
    Other,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
            Self::Other => "an invalid status",
        }
    }
}

enum Failed {
    /// The call returned an error.
    Rpc { code: u32, message: String },
    /// There was no response, or not one in gRPC.
    Transport(String),
}

async fn call(
    stream: TokioIo<tokio::net::TcpStream>,
    address: &str,
    service: &str,
    timeout: Duration,
) -> Result<Status, Failed> {
    let transport = |error: hyper::Error| Failed::Transport(error.to_string());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.map_err(transport)?;
    // The connection ends with its last user: the response's body.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", AGENT)
        .header("grpc-timeout", format!("{}m", timeout.as_millis()))
        .body(Full::new(request(service)))
        .map_err(|error| Failed::Transport(error.to_string()))?;
    let answer = sender.send_request(request).await.map_err(transport)?;
    if !answer.status().is_success() {
        return Err(Failed::Transport(format!("unexpected HTTP status code {}", answer.status().as_u16())));
    }
    // An error may be in the headers, without a body.
    if answer.headers().contains_key("grpc-status") {
        verdict(answer.headers())?;
    }
    let mut body = answer.into_body();
    let mut message = BytesMut::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(transport)?.into_data() {
            Ok(data) if message.len() + data.len() <= ANSWER => message.put(data),
            Ok(_) => return Err(Failed::Transport("the answer is too long".to_owned())),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    verdict(&trailers)?;
    response(&message).ok_or_else(|| Failed::Transport("the answer is no HealthCheckResponse".to_owned()))
}

/// `HealthCheckRequest { string service = 1; }` after gRPC's five bytes: not compressed, length.
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(1 << 3 | 2);
        varint(&mut message, service.len());
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    // The API server accepts no service name anywhere near four gigabytes.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

fn varint(out: &mut BytesMut, mut number: usize) {
    while number >= 0x80 {
        out.put_u8(0x80 | u8::try_from(number & 0x7f).unwrap_or(0));
        number >>= 7;
    }
    out.put_u8(u8::try_from(number).unwrap_or(0));
}

/// `HealthCheckResponse { ServingStatus status = 1; }`: an empty message is status 0, unknown fields are skipped.
fn response(framed: &[u8]) -> Option<Status> {
    let (head, rest) = framed.split_first_chunk::<5>()?;
    let (compressed, length) = head.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if *compressed != 0 || usize::try_from(length).ok()? != rest.len() {
        return None;
    }
    let (mut rest, mut status) = (rest, 0);
    while !rest.is_empty() {
        let key;
        (key, rest) = number(rest)?;
        match (key >> 3, key & 7) {
            (1, 0) => (status, rest) = number(rest)?,
            (_, 0) => (_, rest) = number(rest)?,
            (_, 1) => rest = rest.get(8..)?,
            (_, 2) => {
                let length;
                (length, rest) = number(rest)?;
                rest = rest.get(usize::try_from(length).ok()?..)?;
            }
            (_, 5) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(match status {
        0 => Status::Unknown,
        1 => Status::Serving,
        2 => Status::NotServing,
        3 => Status::ServiceUnknown,
        _ => Status::Other,
    })
}

/// A varint, and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f).checked_shl(u32::try_from(at * 7).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

/// `grpc-status` and `grpc-message`.
fn verdict(headers: &HeaderMap) -> Result<(), Failed> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").map(str::parse) {
        Some(Ok(0)) => Ok(()),
        Some(Ok(code)) => {
            Err(Failed::Rpc { code, message: text("grpc-message").unwrap_or_default().to_owned() })
        }
        Some(Err(_)) | None => Err(Failed::Transport("the answer has no grpc-status".to_owned())),
    }
}

/// Names as Go's `codes` spells them.
fn code_name(code: u32) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| format!("Code({code})"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_string_behind_its_length() {
        assert_eq!(request(""), &[0, 0, 0, 0, 0][..]);
        assert_eq!(request("ab"), &[0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b'][..]);
        let long = request(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn an_answer_is_a_status_whatever_else_it_holds_and_nonsense_is_none() {
        for (bytes, status) in [
            (&[0, 0, 0, 0, 0][..], Some(Status::Unknown)),
            (&[0, 0, 0, 0, 2, 8, 1], Some(Status::Serving)),
            (&[0, 0, 0, 0, 2, 8, 2], Some(Status::NotServing)),
            (&[0, 0, 0, 0, 2, 8, 3], Some(Status::ServiceUnknown)),
            (&[0, 0, 0, 0, 2, 8, 9], Some(Status::Other)),
            (&[0, 0, 0, 0, 6, 0x12, 2, b'h', b'i', 8, 1], Some(Status::Serving)),
            (&[0, 0, 0, 0, 3, 8, 0x81, 0], Some(Status::Serving)),
            (&[], None),
            (&[0, 0, 0], None),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0, 0, 3, 8, 1], None),
            (&[0, 0, 0, 0, 1, 8], None),
            (&[0, 0, 0, 0, 3, 0x12, 200, 1], None),
            (&[0, 0, 0, 0, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], None),
        ] {
            assert_eq!(response(bytes), status, "{bytes:?}");
        }
    }
}
