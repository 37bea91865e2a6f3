//! Log events in and out, over HTTP and committed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use harness::emulator::{Emulator, Options};
use harness::work::Work;
use serde_json::{Value, json};

use super::http::{self, Connection};
use super::report::{self, Row};

const GROUP: &str = "/bench";
const BATCH: usize = 1_000;
const FEW: usize = 100_000;
const MANY: usize = 10_000_000;
const PAGE: usize = 10_000;
const PUT: &str = "Logs_20140328.PutLogEvents";

pub(crate) async fn measure(work: &Work) -> anyhow::Result<Vec<Row>> {
    let arguments = vec!["--runtime".to_owned(), "simulated".to_owned()];
    let mut emulator = Emulator::start(work, "logs", Options { arguments, ..Options::default() }).await?;
    let endpoint = emulator.endpoint();
    let mut connection = Connection::open(&endpoint).await?;
    connection.logs("CreateLogGroup", json!({"logGroupName": GROUP}).to_string().into()).await?;

    let batches = put_batches(&endpoint, &mut connection).await?;
    let ones = put_one_by_one(&endpoint, &mut connection).await?;
    let few = page_out_of(&mut connection, "few", FEW).await?;
    let many = page_out_of(&mut connection, "many", MANY).await?;
    emulator.terminate().await?;
    Ok(vec![
        Row {
            what: format!("PutLogEvents, {BATCH} × 100 B per call"),
            measured: format!("{batches:.0} events/s"),
            reference: "2 connections, one stream each".to_owned(),
            budget: "≥ 200,000/s".to_owned(),
            within: batches >= 200_000.0,
        },
        Row {
            what: "PutLogEvents, one event per call".to_owned(),
            measured: format!("{ones:.0}/s"),
            reference: "16 connections".to_owned(),
            budget: "≥ 5,000/s".to_owned(),
            within: ones >= 5_000.0,
        },
        Row {
            what: format!("GetLogEvents, {PAGE} × 60 B out of {MANY}"),
            measured: format!("{many:.1} ms"),
            reference: format!("{few:.1} ms out of {FEW}"),
            budget: "≤ 30 ms, no slower than out of few".to_owned(),
            // Two medians of the same work differ by this much on a shared machine.
            within: many <= 30.0 && many <= few * 1.2,
        },
    ])
}

async fn put_batches(endpoint: &str, connection: &mut Connection) -> anyhow::Result<f64> {
    for user in 0..2 {
        stream(connection, &format!("batches-{user}")).await?;
    }
    let now = Arc::new(AtomicI64::new(millis()));
    let message = "x".repeat(100);
    let body = move |user: usize, _| {
        let at = now.fetch_add(1, Ordering::Relaxed);
        put(&format!("batches-{user}"), (0..BATCH).map(|_| (at, message.as_str())))
    };
    let load = http::load(endpoint, 2, Duration::from_secs(10), PUT, body).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of events")]
    let events = load.per_second * BATCH as f64;
    Ok(events)
}

async fn put_one_by_one(endpoint: &str, connection: &mut Connection) -> anyhow::Result<f64> {
    for user in 0..16 {
        stream(connection, &format!("ones-{user}")).await?;
    }
    let body = |user: usize, _| put(&format!("ones-{user}"), [(millis(), "one event")].into_iter());
    Ok(http::load(endpoint, 16, Duration::from_secs(10), PUT, body).await?.per_second)
}

/// The median of reading pages from the middle of a stream of `events` events, in milliseconds.
async fn page_out_of(connection: &mut Connection, name: &str, events: usize) -> anyhow::Result<f64> {
    stream(connection, name).await?;
    let begin = millis() - 3_600_000;
    let message = "y".repeat(60);
    for batch in 0..events / PAGE {
        let at = begin + i64::try_from(batch).unwrap_or(0);
        connection.logs("PutLogEvents", put(name, (0..PAGE).map(|_| (at, message.as_str())))).await?;
    }
    let middle = begin + i64::try_from(events / PAGE / 2).unwrap_or(0);
    let request = json!({
        "logGroupName": GROUP, "logStreamName": name, "startFromHead": true, "limit": PAGE, "startTime": middle,
    });
    let request = Bytes::from(request.to_string());
    let mut samples = Vec::new();
    for _ in 0..30 {
        let sent = Instant::now();
        let page = connection.logs("GetLogEvents", request.clone()).await?;
        samples.push(sent.elapsed().as_secs_f64() * 1000.0);
        let page: Value = serde_json::from_slice(&page).context("reading a page")?;
        let count = page["events"].as_array().map_or(0, Vec::len);
        ensure!(count == PAGE, "a page of {count} events");
    }
    Ok(report::median(&mut samples))
}

async fn stream(connection: &mut Connection, name: &str) -> anyhow::Result<()> {
    let input = json!({"logGroupName": GROUP, "logStreamName": name});
    connection.logs("CreateLogStream", input.to_string().into()).await.map(drop)
}

/// The body of PutLogEvents, written as text: the generator must not use more CPU than what it measures.
fn put<'m>(stream: &str, events: impl Iterator<Item = (i64, &'m str)>) -> Bytes {
    let mut body = format!(r#"{{"logGroupName":"{GROUP}","logStreamName":"{stream}","logEvents":["#);
    for (place, (timestamp, message)) in events.enumerate() {
        let comma = if place == 0 { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(body, r#"{comma}{{"timestamp":{timestamp},"message":"{message}"}}"#);
    }
    body.push_str("]}");
    body.into()
}

#[expect(clippy::disallowed_methods, reason = "events must carry the time at which they are put")]
fn millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
