//! DescribeTasks of one id among ten thousand stored tasks.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use harness::work::Work;
use serde_json::json;

use super::report::Row;
use super::{http, scale};

const CONNECTIONS: usize = 16;
const TASKS: usize = 10_000;

pub(crate) async fn measure(work: &Work) -> anyhow::Result<Vec<Row>> {
    let mut emulator = scale::simulated(work, "describe").await?;
    let endpoint = emulator.endpoint();
    scale::fill(&endpoint, TASKS).await?;
    let listed =
        http::Connection::open(&endpoint).await?.ecs("ListTasks", &json!({"maxResults": 100})).await?;
    let tasks = listed["taskArns"].as_array().context("ListTasks returned no list")?;
    let bodies: Vec<Bytes> = tasks.iter().map(|task| json!({"tasks": [task]}).to_string().into()).collect();
    let target = http::ecs("DescribeTasks");
    let body = move |user: usize, call: u64| {
        let place = user.wrapping_add(usize::try_from(call).unwrap_or(0)) % bodies.len();
        bodies[place].clone()
    };
    let load = http::load(&endpoint, CONNECTIONS, Duration::from_secs(10), target, body).await?;
    emulator.terminate().await?;
    Ok(vec![Row {
        what: format!("DescribeTasks of one id, {TASKS} stored"),
        measured: format!("{:.0}/s, p99 {:.1} ms", load.per_second, load.p99),
        reference: format!("{CONNECTIONS} connections, p50 {:.1} ms", load.p50),
        budget: "≥ 10,000/s, p99 ≤ 10 ms".to_owned(),
        within: load.per_second >= 10_000.0 && load.p99 <= 10.0,
    }])
}
