//! `neargate cost`: asks an emulator that runs for its report, and prints it or writes it to a file.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::options::Cost;

/// A report of all tasks that there ever were may take a moment.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks, and prints or writes what is answered.
///
/// # Errors
/// Nothing answers, something else than Neargate does, or it refuses; each in one line.
pub async fn cost(options: Cost) -> anyhow::Result<()> {
    let Cost { endpoint, by, instance_type, json, svg } = options;
    let format = match (json, &svg) {
        (true, _) => "json",
        (_, Some(_)) => "svg",
        _ => "text",
    };
    let asked = [("format", format), ("by", &by.to_string()), ("instanceType", &instance_type)];
    let asked = serde_urlencoded::to_string(asked).context("cannot write the query")?;
    let report = get(&endpoint, &format!("/_neargate/cost?{asked}")).await?;
    match svg {
        Some(file) => {
            std::fs::write(&file, &report).with_context(|| format!("cannot write {}", file.display()))
        }
        None => {
            let end: &[u8] = if json { b"\n" } else { b"" };
            std::io::stdout().write_all(&[&report, end].concat()).context("cannot print")
        }
    }
}

async fn get(endpoint: &str, path: &str) -> anyhow::Result<Bytes> {
    let base = endpoint.trim_end_matches('/');
    let uri: Uri = format!("{base}{path}").parse().with_context(|| format!("{endpoint} is not a URL"))?;
    if uri.scheme_str() != Some("http") {
        bail!("{endpoint} is not a neargate: name one by --endpoint, such as http://127.0.0.1:4566");
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = tokio::time::timeout(TIMEOUT, async {
        let answer = client.get(uri).await.map_err(|_| {
            anyhow::anyhow!(
                "nothing answers at {endpoint}: start it by `neargate serve`, or name another by --endpoint"
            )
        })?;
        let status = answer.status();
        let body = answer.into_body().collect().await.with_context(|| format!("{endpoint} broke off"))?;
        anyhow::Ok((status, body.to_bytes()))
    });
    let (status, body) = answer.await.with_context(|| format!("{endpoint} does not answer in time"))??;
    if status == StatusCode::OK {
        return Ok(body);
    }
    let message = serde_json::from_slice::<serde_json::Value>(&body)
        .ok()
        .and_then(|body| body.get("message")?.as_str().map(str::to_owned));
    match message {
        Some(message) => bail!("{endpoint} refuses: {message}"),
        None => bail!("{endpoint} answers {status}: is it a neargate?"),
    }
}
