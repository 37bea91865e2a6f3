//! `GET /_neargate/cost` over tasks of the simulated runtime.

use aws_sdk_ecs::types::Tag;
use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::support::{Emulator, container, reached, register, run_task};

/// Status, content type and body of the report.
async fn ask(emulator: &Emulator, query: &str, accept: &str) -> (u16, String, String) {
    let request = http::Request::get(format!("/_neargate/cost{query}"))
        .header("host", "localhost")
        .header("accept", accept)
        .body(Body::empty())
        .unwrap();
    let response = emulator.door.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

async fn json(emulator: &Emulator, query: &str) -> Value {
    let (status, kind, body) = ask(emulator, query, "*/*").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"), "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn tasks_that_run_and_tasks_that_stopped_are_billed_by_task_service_and_tag() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    let runs = register(&ecs, "runs", vec![container(&[])]).await;
    let ends = register(
        &ecs,
        "ends",
        vec![container(&[("SIMULATED_EXIT_CODE", "0"), ("SIMULATED_EXIT_AFTER_MS", "1")])],
    )
    .await;
    let team = Tag::builder().key("team").value("blue").build();
    let run = run_task(&ecs, &runs).tags(team).send().await.unwrap();
    let running = run.tasks()[0].task_arn().unwrap().to_owned();
    let run = run_task(&ecs, &ends).send().await.unwrap();
    let stopped = run.tasks()[0].task_arn().unwrap().to_owned();
    reached(&ecs, &running, "RUNNING").await;
    reached(&ecs, &stopped, "STOPPED").await;

    let report = json(&emulator, "").await;
    // 0.25 vCPU and 0.5 GB for the minimum of one minute.
    let minute = 60.0 * (0.25 * 0.04048 + 0.5 * 0.004445) / 3600.0;
    let dollars = report["total"]["dollars"].as_f64().unwrap();
    assert!((dollars - 2.0 * minute).abs() < 1e-12, "{report}");
    assert_eq!((&report["total"]["tasks"], &report["total"]["runningTasks"]), (&2.into(), &1.into()));
    let arns: Vec<&str> =
        report["groups"].as_array().unwrap().iter().filter_map(|group| group["key"].as_str()).collect();
    assert!(
        arns.len() == 2 && arns.contains(&running.as_str()) && arns.contains(&stopped.as_str()),
        "{report}"
    );
    assert_eq!(report["ec2"]["instanceType"], "m5.large");
    let ec2 = report["ec2"]["dollars"].as_f64().unwrap();
    assert!((ec2 - 60.0 * 0.096 / 3600.0).abs() < 1e-12, "{report}");

    let by_tag = json(&emulator, "?by=tag:team&instanceType=c5.large").await;
    let keys: Vec<&Value> = by_tag["groups"].as_array().unwrap().iter().map(|group| &group["key"]).collect();
    assert!(keys.contains(&&Value::Null) && keys.contains(&&"blue".into()), "{by_tag}");
    assert_eq!(by_tag["ec2"]["instanceType"], "c5.large");
}

#[tokio::test]
async fn the_report_comes_as_json_text_or_a_picture_by_query_or_accept() {
    let emulator = Emulator::start().await;
    for (query, accept, kind) in [
        ("", "text/html, text/plain;q=0.9", "text/plain; charset=utf-8"),
        ("", "image/svg+xml", "image/svg+xml"),
        ("", "", "application/json"),
        ("?format=text", "image/svg+xml", "text/plain; charset=utf-8"),
        ("?format=svg", "*/*", "image/svg+xml"),
        ("?format=json", "text/plain", "application/json"),
    ] {
        let (status, content_type, body) = ask(&emulator, query, accept).await;
        assert_eq!((status, content_type.as_str()), (200, kind), "{query} {accept}: {body}");
    }
    for (query, message) in [
        ("?by=family", "task, service, cluster or tag:KEY"),
        ("?format=xml", "json, text or svg"),
        ("?instanceType=m5.tiny", "m5.large"),
        ("?group=task", "unknown field"),
    ] {
        let (status, _, body) = ask(&emulator, query, "").await;
        assert_eq!(status, 400, "{query}");
        assert!(body.contains(message), "{query}: {body}");
    }
}
