//! Requests that no SDK would send: each gets AWS's own error and a request id, none a 500.

use axum::body::Body;
use http::Request;

use crate::support::Emulator;

const JSON: &str = "application/x-amz-json-1.1";

fn post(content_type: Option<&str>, target: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post("/").header("Host", "localhost:4566");
    if let Some(content_type) = content_type {
        request = request.header("Content-Type", content_type);
    }
    if let Some(target) = target {
        request = request.header("X-Amz-Target", target);
    }
    request.body(body.into()).unwrap()
}

#[tokio::test]
async fn what_is_no_request_of_aws_json_is_refused_in_its_own_terms() {
    let emulator = Emulator::start().await;
    let run_task = Some("AmazonEC2ContainerServiceV20141113.RunTask");
    let deep = format!("{}1", r#"{"overrides":"#.repeat(10_000));
    let rows: Vec<(&str, Request<Body>, u16, &str)> = vec![
        ("no target", post(Some(JSON), None, "{}"), 400, "UnknownOperationException"),
        ("a target without a dot", post(Some(JSON), Some("RunTask"), "{}"), 400, "UnknownOperationException"),
        (
            "an unknown service",
            post(Some(JSON), Some("Nope_2014.RunTask"), "{}"),
            400,
            "UnknownOperationException",
        ),
        (
            "an unknown operation",
            post(Some(JSON), Some("AmazonEC2ContainerServiceV20141113.Fly"), "{}"),
            400,
            "UnknownOperationException",
        ),
        (
            "an operation that is not built",
            post(Some(JSON), Some("AmazonEC2ContainerServiceV20141113.CreateService"), "{}"),
            400,
            "NotImplementedException",
        ),
        ("no content type", post(None, run_task, "{}"), 400, "UnknownOperationException"),
        ("another content type", post(Some("text/xml"), run_task, "{}"), 400, "UnknownOperationException"),
        ("no JSON", post(Some(JSON), run_task, "<xml/>"), 400, "SerializationException"),
        ("half a JSON", post(Some(JSON), run_task, r#"{"count": "#), 400, "SerializationException"),
        ("a list", post(Some(JSON), run_task, "[]"), 400, "SerializationException"),
        ("a number", post(Some(JSON), run_task, "1"), 400, "SerializationException"),
        (
            "no UTF-8",
            post(Some(JSON), run_task, &b"{\"cluster\": \"\xff\xfe\"}"[..]),
            400,
            "SerializationException",
        ),
        ("deep nesting", post(Some(JSON), run_task, deep), 400, "SerializationException"),
        (
            "a string for a number",
            post(Some(JSON), run_task, r#"{"count": "1"}"#),
            400,
            "SerializationException",
        ),
        (
            "a body of 20 MB",
            post(Some(JSON), run_task, vec![b' '; 20_000_000]),
            413,
            "RequestEntityTooLargeException",
        ),
        (
            "GET",
            Request::get("/").header("Host", "localhost").body(Body::empty()).unwrap(),
            405,
            "UnknownOperationException",
        ),
        (
            "another path",
            Request::post("/x").header("Host", "localhost").body(Body::empty()).unwrap(),
            404,
            "UnknownOperationException",
        ),
        (
            "a foreign host",
            Request::post("/").header("Host", "evil.example").body(Body::empty()).unwrap(),
            403,
            "AccessDeniedException",
        ),
    ];
    for (what, request, status, code) in rows {
        let (found, id, body) = emulator.raw(request).await;
        assert_eq!((found, body["__type"].as_str()), (status, Some(code)), "{what}: {body}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}: {body}");
        assert_eq!(id.len(), 36, "{what} has a request id");
    }
}

/// A request may take the memory of its bytes, and little more: these once took 50 to 350 times their size.
#[tokio::test]
async fn requests_that_would_take_many_times_their_size_are_refused() {
    let emulator = Emulator::start().await;
    let register = Some("AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition");
    let describe = Some("AmazonEC2ContainerServiceV20141113.DescribeClusters");
    let containers = |bytes: usize| {
        format!(r#"{{"family":"f","containerDefinitions":[{}{{}}]}}"#, "{},".repeat(bytes / 3))
    };
    let unknown = |bytes: usize| format!(r#"{{"include":[{}"x"]}}"#, r#""x","y","#.repeat(bytes / 8));
    let form =
        |bytes: usize| format!("Action=DescribeVpcs&Version=2016-11-15&{}", "0.a.a.a.a=&".repeat(bytes / 11));
    let spread = |bytes: usize| {
        let names: String = (0..bytes / 16).map(|number| format!("&{number:06}.a.a.a.a=")).collect();
        format!("Action=DescribeVpcs&Version=2016-11-15{names}")
    };
    let query = Some("application/x-www-form-urlencoded");
    for (what, request, status, code) in [
        (
            "8 MiB of containers",
            post(Some(JSON), register, containers(8 << 20)),
            413,
            "RequestEntityTooLargeException",
        ),
        (
            "240 KiB of containers",
            post(Some(JSON), register, containers(240 << 10)),
            400,
            "SerializationException",
        ),
        (
            "8 MiB of unknown values",
            post(Some(JSON), describe, unknown(8 << 20)),
            413,
            "RequestEntityTooLargeException",
        ),
        (
            "240 KiB of unknown values",
            post(Some(JSON), describe, unknown(240 << 10)),
            400,
            "InvalidParameterException",
        ),
        ("an 8 MiB form", post(query, None, form(8 << 20)), 413, "RequestEntityTooLargeException"),
        ("a 60 KiB form", post(query, None, spread(60 << 10)), 400, "MalformedQueryString"),
    ] {
        let (found, _, body) = emulator.text(request).await;
        assert_eq!(found, status, "{what}: {:.200}", body);
        assert!(body.contains(code), "{what}: {:.200}", body);
    }
}

#[tokio::test]
async fn an_operation_that_is_not_built_is_named() {
    let emulator = Emulator::start().await;
    let request = post(Some(JSON), Some("AmazonEC2ContainerServiceV20141113.CreateService"), "{}");
    let (_, _, body) = emulator.raw(request).await;
    assert_eq!(body["message"], "neargate does not implement ecs:CreateService yet");
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_ask() {
    let emulator = Emulator::start().await;
    let ask = |origin: &str| {
        let mut request = post(Some(JSON), Some("AmazonEC2ContainerServiceV20141113.ListClusters"), "{}");
        request.headers_mut().insert("Origin", origin.parse().unwrap());
        request
    };
    let (status, _, body) = emulator.raw(ask("https://evil.example")).await;
    assert_eq!((status, body["__type"].as_str()), (403, Some("AccessDeniedException")));
    assert_eq!(emulator.raw(ask("http://localhost:4566")).await.0, 200);
}

#[tokio::test]
async fn an_image_on_another_page_cannot_ask_for_health_or_cost() {
    let emulator = Emulator::start().await;
    for path in ["/_neargate/health", "/_neargate/cost"] {
        // An <img> sends no Origin.
        let ask = |site: &str| {
            let request = Request::get(path).header("Host", "localhost:4566").header("Sec-Fetch-Site", site);
            request.body(Body::empty()).unwrap()
        };
        assert_eq!(emulator.raw(ask("cross-site")).await.0, 403, "{path}");
        assert_eq!(emulator.raw(ask("none")).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn reset_begins_once_its_request_is_whole() {
    let emulator = Emulator::start().await;
    emulator.ecs().create_cluster().cluster_name("mine").send().await.unwrap();
    let reset =
        |body: Body| Request::post("/_neargate/reset").header("Host", "localhost").body(body).unwrap();
    let broken = futures::stream::iter([Ok("x"), Err(std::io::Error::other("the client is gone"))]);
    assert_eq!(emulator.raw(reset(Body::from_stream(broken))).await.0, 400);
    assert_eq!(emulator.raw(reset(Body::from("x".repeat(1 << 20)))).await.0, 413);
    let clusters = emulator.ecs().list_clusters().send().await.unwrap();
    assert_eq!(clusters.cluster_arns().len(), 2, "nothing was reset");
    assert_eq!(emulator.raw(reset(Body::empty())).await.0, 204);
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_and_an_empty_body_asks_for_nothing_in_particular() {
    let emulator = Emulator::start().await;
    let mut ids = Vec::new();
    for content_type in [JSON, "application/x-amz-json-1.0", "APPLICATION/X-AMZ-JSON-1.1; charset=utf-8"] {
        let target = Some("AmazonEC2ContainerServiceV20141113.ListClusters");
        let (status, id, body) = emulator.raw(post(Some(content_type), target, "")).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["clusterArns"][0], "arn:aws:ecs:us-east-1:000000000000:cluster/default");
        ids.push(id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn health_reports_what_runs_and_reset_deletes_everything() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    ecs.create_cluster().cluster_name("mine").send().await.unwrap();
    let path = |method: &str, path: &str| {
        Request::builder().method(method).uri(path).header("Host", "[::1]:4566").body(Body::empty()).unwrap()
    };
    let (status, _, health) = emulator.raw(path("GET", "/_neargate/health")).await;
    assert_eq!(status, 200, "{health}");
    assert_eq!(health["runtime"]["name"], "simulated");
    assert_eq!(health["instance"].as_str().map(str::len), Some(32));

    let described = async || ecs.describe_clusters().clusters("mine").send().await.unwrap();
    assert_eq!(described().await.clusters().len(), 1);

    assert_eq!(emulator.raw(path("POST", "/_neargate/reset")).await.0, 204);
    assert!(described().await.clusters().is_empty(), "a cluster that was read before is not remembered");
    let clusters = ecs.list_clusters().send().await.unwrap();
    assert_eq!(clusters.cluster_arns(), ["arn:aws:ecs:us-east-1:000000000000:cluster/default"]);
    let (_, _, after) = emulator.raw(path("GET", "/_neargate/health")).await;
    assert_eq!(after["instance"], health["instance"], "the data directory keeps its id");
}
