//! The query protocols in requests that no SDK would send: each gets the service's own error shape, none a 500.

use aws_sdk_ecs::types::{AssignPublicIp, AwsVpcConfiguration, NetworkConfiguration};
use axum::body::Body;
use http::Request;

use neargate::api::Caller;

use crate::support::{Emulator, container, reached, register, run_task};

/// A form, signed for a service if one is named.
fn post(service: Option<&str>, form: &str) -> Request<Body> {
    let mut request = Request::post("/")
        .header("Host", "localhost:4566")
        .header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    if let Some(service) = service {
        let credential = format!("AKID/20261121/eu-west-1/{service}/aws4_request");
        let value = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00");
        request = request.header("Authorization", value);
    }
    request.body(Body::from(form.to_owned())).unwrap()
}

#[tokio::test]
async fn what_is_no_request_of_a_query_service_is_refused_in_its_own_shape() {
    let emulator = Emulator::start().await;
    let deep = format!("Action=DescribeVpcs&Version=2016-11-15&{}=1", vec!["a"; 20_000].join("."));
    for (service, form, code, ec2) in [
        (Some("ec2"), "", "MissingParameter", false),
        (Some("ec2"), "Action=DescribeVpcs", "MissingParameter", false),
        (Some("iam"), "Action=ListUsers&Version=2010-05-08", "InvalidAction", false),
        (None, "Action=ListUsers&Version=2010-05-08", "InvalidAction", false),
        (Some("ec2"), "Action=DescribeVpcs&Version=2009-01-01", "NoSuchVersion", true),
        (Some("ec2"), "Action=Fly&Version=2016-11-15", "InvalidAction", true),
        (Some("ec2"), "Action=RunInstances&Version=2016-11-15", "UnsupportedOperation", true),
        (None, "Action=DescribeVpcs&Version=2016-11-15&Colour=red", "UnknownParameter", true),
        (Some("ec2"), &deep, "MalformedQueryString", true),
        (Some("ec2"), "Action=DescribeVpcs&Version=2016-11-15&%FF=%FF", "UnknownParameter", true),
        (Some("sts"), "Action=Fly&Version=2011-06-15", "InvalidAction", false),
        (Some("sts"), "Action=AssumeRole&Version=2011-06-15", "UnsupportedOperation", false),
    ] {
        let (status, id, body) = emulator.text(post(service, form)).await;
        let shown: String = form.chars().take(80).collect();
        assert_eq!(status, 400, "{shown}: {body}");
        assert!(body.contains(&format!("<Code>{code}</Code>")), "{shown}: {body}");
        let (begin, request_id) = if ec2 {
            ("<Response><Errors><Error><Code>", format!("<RequestID>{id}</RequestID></Response>"))
        } else {
            (
                "<ErrorResponse><Error><Type>Sender</Type>",
                format!("<RequestId>{id}</RequestId></ErrorResponse>"),
            )
        };
        assert!(body.contains(begin) && body.ends_with(&request_id), "{shown}: {body}");
    }
}

#[tokio::test]
async fn the_version_names_the_service_of_a_request_that_is_not_signed() {
    let emulator = Emulator::start().await;
    let (status, id, body) = emulator.text(post(None, "Action=DescribeVpcs&Version=2016-11-15")).await;
    assert_eq!(status, 200, "{body}");
    let begin = "<DescribeVpcsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15\"><requestId>";
    assert!(body.contains(&format!("{begin}{id}</requestId><vpcSet><item>")), "{body}");
    let (status, _, body) =
        emulator.text(post(Some("sts"), "Action=GetCallerIdentity&Version=2011-06-15")).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("<GetCallerIdentityResult><Account>000000000000</Account>"), "{body}");
}

#[tokio::test]
async fn a_task_that_is_assigned_a_public_address_shows_it_at_its_interface() {
    let emulator = Emulator::start().await;
    let ecs = emulator.ecs();
    register(&ecs, "app", vec![container(&[])]).await;
    for (assigned, public) in [(AssignPublicIp::Enabled, true), (AssignPublicIp::Disabled, false)] {
        let vpc = AwsVpcConfiguration::builder().subnets("subnet-0a1b2c3d").assign_public_ip(assigned);
        let network = NetworkConfiguration::builder().awsvpc_configuration(vpc.build().unwrap()).build();
        let ran = run_task(&ecs, "app").network_configuration(network).send().await.unwrap();
        let task = reached(&ecs, ran.tasks()[0].task_arn().unwrap(), "RUNNING").await;
        let details = task.attachments()[0].details();
        let detail = |name: &str| {
            details
                .iter()
                .find(|detail| detail.name() == Some(name))
                .and_then(|detail| detail.value())
                .unwrap()
        };
        let form = format!(
            "Action=DescribeNetworkInterfaces&Version=2016-11-15&NetworkInterfaceId.1={}",
            detail("networkInterfaceId")
        );
        let request = Request::post("/")
            .header("Host", "localhost:4566")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .unwrap();
        let (status, _, body) = emulator.text(request).await;
        assert_eq!(status, 200, "{body}");
        let association = format!("<publicIp>{}</publicIp>", detail("privateIPv4Address"));
        assert_eq!(body.contains(&association), public, "{body}");
        assert_eq!(body.contains("<association>"), public, "{body}");
    }
}

#[tokio::test]
async fn a_task_calls_under_awss_own_host_names_and_is_its_role() {
    let emulator = Emulator::start().await;
    let task = Caller::Task {
        arn: "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef".into(),
        role: Some("arn:aws:iam::000000000000:role/app/reader".into()),
    };
    let ask = |method: &str, host: &str, path: &str, caller: Option<&Caller>| {
        let mut request = post(Some("sts"), "Action=GetCallerIdentity&Version=2011-06-15");
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        request.headers_mut().insert("Host", host.parse().unwrap());
        request.extensions_mut().extend(
            caller
                .cloned()
                .map(|caller| {
                    let mut extensions = http::Extensions::new();
                    extensions.insert(caller);
                    extensions
                })
                .unwrap_or_default(),
        );
        request
    };
    let sts = "sts.us-east-1.amazonaws.com";
    let (status, _, body) = emulator.text(ask("POST", sts, "/", Some(&task))).await;
    assert_eq!(status, 200, "{body}");
    let session = "assumed-role/reader/0123456789abcdef0123456789abcdef";
    assert!(body.contains(&format!("<Arn>arn:aws:sts::000000000000:{session}</Arn>")), "{body}");
    // The same host name means nothing outside of a task, and neargate's own paths are not for tasks.
    assert_eq!(emulator.text(ask("POST", sts, "/", None)).await.0, 403);
    for path in ["/_neargate/health", "/_neargate/reset", "/_neargate/cost"] {
        assert_eq!(emulator.text(ask("GET", "localhost", path, Some(&task))).await.0, 403, "{path}");
    }
}
