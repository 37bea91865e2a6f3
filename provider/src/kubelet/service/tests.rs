//! The API over real sockets and real certificates, against an API server in memory.

mod world;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use kube::runtime::watcher;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use self::world::{Api, Authority, Identity, Trust, pod, request};
use super::*;

const UNAUTHORIZED: (StatusCode, &str) = (StatusCode::UNAUTHORIZED, "Unauthorized");

fn seen((status, body): &(StatusCode, String)) -> (StatusCode, &str) {
    (*status, body)
}

#[tokio::test]
async fn no_request_is_served_without_authentication_and_none_without_the_right() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;

    let stranger = Authority::new().sign("kube-apiserver", &["system:masters"], 2100);
    let expired = authority.sign("kube-apiserver", &["system:masters"], 2020);
    let nameless = authority.sign("", &["system:masters"], 2100);
    for path in
        ["/containerLogs/default/web/main", "/pods", "/healthz", "/exec/default/web/main", "/no/such/route"]
    {
        assert_eq!(seen(&api.get(path, None, None).await), UNAUTHORIZED, "anonymous, {path}");
        assert_eq!(
            seen(&api.get(path, Some(&stranger), None).await),
            UNAUTHORIZED,
            "another authority, {path}"
        );
    }
    assert_eq!(
        seen(&api.get("/healthz", Some(&expired), None).await),
        UNAUTHORIZED,
        "an expired certificate"
    );
    assert_eq!(
        seen(&api.get("/healthz", Some(&nameless), None).await),
        UNAUTHORIZED,
        "a certificate without a name"
    );
    assert_eq!(seen(&api.get("/healthz", None, Some("bad")).await), UNAUTHORIZED, "a bad token");
    assert!(api.cluster.0.reviewed.lock().is_empty(), "no access is reviewed without a user");

    let user = authority.sign("jane", &["devs"], 2100);
    assert_eq!(
        seen(&api.get("/healthz", Some(&user), None).await),
        (
            StatusCode::FORBIDDEN,
            "Forbidden (user=jane, verb=get, resource=nodes, subresource(s)=[healthz proxy])\n"
        )
    );
    assert_eq!(
        seen(&api.get("/stats/summary", None, Some("good")).await),
        (
            StatusCode::FORBIDDEN,
            "Forbidden (user=system:serviceaccount:monitoring:scraper, verb=get, resource=nodes, \
             subresource(s)=[stats])\n"
        )
    );

    let server = authority.sign("kube-apiserver-kubelet-client", &["system:masters"], 2100);
    assert_eq!(seen(&api.get("/healthz", Some(&server), None).await), (StatusCode::OK, "ok"));
    assert_eq!(seen(&api.get("/healthz", None, Some("good")).await), (StatusCode::OK, "ok"));
    assert_eq!(
        seen(&api.get("/healthz", Some(&stranger), Some("good")).await),
        (StatusCode::OK, "ok"),
        "an invalid certificate does not stop a valid token"
    );
    api.shutdown.cancel();
    api.task.await.unwrap();
}

#[tokio::test]
async fn the_cluster_is_asked_as_a_kubelet_asks_and_once() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    for _ in 0..3 {
        assert_eq!(api.get("/healthz", None, Some("good")).await.0, StatusCode::OK);
        assert_eq!(api.get("/healthz", None, Some("bad")).await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(api.cluster.0.token_reviews.load(Ordering::Relaxed), 2, "one of each token");
    let reviewed = api.cluster.0.reviewed.lock().clone();
    let ask = |subresource: &str| {
        json!({
            "user": "system:serviceaccount:monitoring:scraper", "uid": "u9",
            "groups": ["reader", "system:authenticated"],
            "resourceAttributes": {
                "verb": "get", "version": "v1", "resource": "nodes", "subresource": subresource, "name": "fargate",
            },
        })
    };
    assert_eq!(
        reviewed,
        [ask("healthz"), ask("proxy")],
        "the refusal and the permission are both remembered"
    );
}

#[tokio::test]
async fn the_clusters_own_authority_counts_and_its_successor_under_standing_connections() {
    let (old, new) = (Authority::new(), Authority::new());
    let api = Api::start(Trust::Cluster(&old)).await;
    let identity = |authority: &Authority| authority.sign("kube-apiserver", &["system:masters"], 2100);
    let (by_old, by_new) = (identity(&old), identity(&new));
    let mut standing = api.connect(Some(&by_old)).await;
    let mut waiting = api.connect(Some(&by_new)).await;
    let status = async |sender: &mut hyper::client::conn::http1::SendRequest<Empty<Bytes>>| {
        sender.ready().await.unwrap();
        let answer = sender.send_request(request("/healthz", None)).await.unwrap();
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        status
    };
    let reaches = async |sender: &mut _, wanted: StatusCode| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let got = status(sender).await;
            if got == wanted {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "still {got}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    reaches(&mut standing, StatusCode::OK).await;
    assert_eq!(status(&mut waiting).await, StatusCode::UNAUTHORIZED);
    *api.cluster.0.client_ca.lock() = new.0.pem();
    reaches(&mut waiting, StatusCode::OK).await;
    assert_eq!(status(&mut standing).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_built_is_501_and_says_its_name() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    for (path, name) in [
        ("/exec/default/web/main?command=sh", "exec"),
        ("/attach/default/web/u1/main", "attach"),
        ("/portForward/default/web", "portForward"),
        ("/stats/summary", "stats/summary"),
        ("/metrics/resource", "metrics/resource"),
        ("/configz", "configz"),
        ("/logs/syslog", "logs"),
    ] {
        let answer = api.get(path, Some(&server), None).await;
        assert_eq!(seen(&answer), (StatusCode::NOT_IMPLEMENTED, &*format!("501 not implemented: {name}\n")));
    }
    for (path, status, text) in [
        ("/no/such/route", StatusCode::NOT_FOUND, "404 page not found\n"),
        ("/containerLogs/default/other/main", StatusCode::NOT_FOUND, "pod \"other\" does not exist"),
        ("/containerLogs/other/web/main", StatusCode::NOT_FOUND, "pod \"web\" does not exist"),
        (
            "/containerLogs/default/web/none",
            StatusCode::NOT_FOUND,
            "container \"none\" not found in pod \"web\"",
        ),
        (
            "/containerLogs/default/web/main?previous=true",
            StatusCode::BAD_REQUEST,
            "previous terminated container \"main\" in pod \"web\" not found",
        ),
        (
            "/containerLogs/default/web/main?tailLines=-1",
            StatusCode::BAD_REQUEST,
            "invalid value \"-1\" of tailLines: must be an integer not below 0",
        ),
    ] {
        assert_eq!(seen(&api.get(path, Some(&server), None).await), (status, text), "{path}");
    }
}

#[tokio::test]
async fn pods_are_the_nodes_and_running_pods_those_with_a_container_that_runs() {
    let authority = Authority::new();
    let mut api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    let mut done = pod(json!({ "terminated": { "exitCode": 0 } }));
    done.metadata.name = Some("done".to_owned());
    api.pods.apply_watcher_event(&watcher::Event::Apply(done));
    let names = async |path| {
        let (_, body) = api.get(path, Some(&server), None).await;
        let list: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PodList"), &json!("v1")));
        let items = list["items"].as_array().unwrap().clone();
        let mut names: Vec<_> =
            items.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        (names, items)
    };
    assert_eq!(names("/pods").await.0, ["done", "web"]);
    let (running, items) = names("/runningpods/").await;
    assert_eq!(running, ["web"]);
    assert_eq!(items[0]["spec"]["containers"], json!([{ "name": "main", "image": "img" }]));
}

#[tokio::test]
async fn a_followed_log_comes_line_by_line_and_ends_with_its_container() {
    let authority = Authority::new();
    let mut api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    api.lines.lines.lock().extend(["one".to_owned(), "two".to_owned()]);

    let (_, body) =
        api.get("/containerLogs/default/web/main?tailLines=1&timestamps=true", Some(&server), None).await;
    assert_eq!(body, "2026-11-18T11:06:40.000000000Z two\n");
    assert_eq!(api.lines.asked.lock()[0].to_string(), "/fargate:pods/main/0123abcd");
    let (_, body) = api.get("/containerLogs/default/web/main?limitBytes=6", Some(&server), None).await;
    assert_eq!(body, "one\ntw");

    let mut sender = api.connect(Some(&server)).await;
    let answer =
        sender.send_request(request("/containerLogs/default/web/main?follow=true", None)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    let mut next = async || {
        let frame =
            tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("a line in time");
        frame.map(|frame| frame.unwrap().into_data().unwrap())
    };
    assert_eq!(next().await.unwrap(), "one\ntwo\n");
    api.lines.lines.lock().push("three".to_owned());
    assert_eq!(next().await.unwrap(), "three\n");
    api.pods.apply_watcher_event(&watcher::Event::Apply(pod(
        json!({ "terminated": { "exitCode": 0, "containerID": "ecs://pods/0123abcd/r1" } }),
    )));
    api.lines.lines.lock().push("four".to_owned());
    assert_eq!(next().await.unwrap(), "four\n");
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn a_follower_that_leaves_costs_no_more_calls() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    api.lines.lines.lock().push("one".to_owned());
    let mut sender = api.connect(Some(&server)).await;
    let answer =
        sender.send_request(request("/containerLogs/default/web/main?follow=true", None)).await.unwrap();
    drop((answer, sender));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        // A follower polls twice in this time.
        let calls = api.lines.asked.lock().len();
        tokio::time::sleep(Duration::from_millis(800)).await;
        if api.lines.asked.lock().len() == calls {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "still reading");
    }
}

/// Kubernetes takes the last common name of several, as Go does; another one here could be an administrator's.
#[tokio::test]
async fn of_several_common_names_the_last_is_the_user() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "admin");
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "jane");
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.0).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let both = Identity(certificate.der().clone(), key);
    let (status, body) = api.get("/healthz", Some(&both), None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.starts_with("Forbidden (user=jane, "), "{body}");
}

#[tokio::test]
async fn strangers_leave_room_for_those_who_may_and_go_after_their_time() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    let stranger = Authority::new().sign("kube-apiserver", &["system:masters"], 2100);
    let mut known = api.connect(Some(&server)).await;
    assert_eq!(known.send_request(request("/healthz", None)).await.unwrap().status(), StatusCode::OK);

    let begun = tokio::time::Instant::now();
    // HTTP/2 that has sent its preface, answers pings, and has once made a request that was denied.
    let stream = api.shake_hands(Some(&stranger), &[b"h2"]).await;
    let (mut sender, connection) = hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(
        TokioExecutor::new(),
        TokioIo::new(stream),
    )
    .await
    .unwrap();
    let ended = tokio::spawn(async move { drop(connection.await) });
    let asked = Request::get("https://fargate/healthz").body(Empty::new()).unwrap();
    assert_eq!(sender.send_request(asked).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let (mut shaken, mut silent) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        shaken.push(api.shake_hands(None, &[b"h2", b"http/1.1"]).await);
        shaken.push(api.shake_hands(None, &[]).await);
    }
    for _ in 0..300 {
        silent.push(TcpStream::connect(api.address).await.unwrap());
    }
    let path = "/containerLogs/default/web/main";
    let answer = tokio::time::timeout(Duration::from_secs(20), api.get(path, Some(&server), None)).await;
    assert_eq!(answer.expect("a response in spite of the strangers").0, StatusCode::OK);
    known.ready().await.unwrap();
    assert_eq!(known.send_request(request("/healthz", None)).await.unwrap().status(), StatusCode::OK);

    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the stranger is closed").unwrap();
    // The authorized one is not closed: it may stay.
    tokio::time::sleep_until(begun + crate::kubelet::strangers::TIME + Duration::from_secs(1)).await;
    known.ready().await.unwrap();
    assert_eq!(known.send_request(request("/healthz", None)).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_silent_handshake_delays_no_other_and_closing_ends_followers() {
    let authority = Authority::new();
    let api = Api::start(Trust::File(&authority)).await;
    let server = authority.sign("kube-apiserver", &["system:masters"], 2100);
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(api.address).await.unwrap());
    }
    assert_eq!(seen(&api.get("/healthz", Some(&server), None).await), (StatusCode::OK, "ok"));

    let mut sender = api.connect(Some(&server)).await;
    let answer =
        sender.send_request(request("/containerLogs/default/web/main?follow=true", None)).await.unwrap();
    api.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), answer.into_body().collect()).await;
    assert!(ended.expect("the follower ends").is_ok(), "and ends in order");
    tokio::time::timeout(Duration::from_secs(20), api.task).await.expect("the API ends").unwrap();
}
