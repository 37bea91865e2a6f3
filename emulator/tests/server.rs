//! The server on a real socket: it reports where it listens, serves, refuses to share, and ends in order.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use http_body_util::BodyExt as _;
use neargate::clock::Clock;
use neargate::engine::{self, Engine};
use neargate::options::{Command, Options, Serve};
use neargate::runtime::{faulty, simulated};
use neargate::server::{Guard, Server};
use neargate::store::Store;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tower::ServiceExt as _;

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(30);

fn options(data_dir: &Path, listen: &str) -> Serve {
    let data_dir = data_dir.to_str().expect("temporary directories have UTF-8 names");
    let arguments =
        ["neargate", "serve", "--runtime", "simulated", "--listen", listen, "--data-dir", data_dir];
    match Options::parse_from(arguments).command {
        Command::Serve(serve) => serve,
        other => panic!("{other:?}"),
    }
}

async fn get_health(connection: &mut TcpStream) -> String {
    connection.write_all(b"GET /_neargate/health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    let length = connection.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn a_server_serves_until_it_receives_the_end_and_can_be_started_again() {
    let data = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let server = Server::start(options(data.path(), "127.0.0.1:0")).await.unwrap();
        let address = server.address();
        let (end, ended) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async {
            // A dropped sender means the same.
            let _ = ended.await;
        }));
        let mut connection = TcpStream::connect(address).await.unwrap();
        let answer = get_health(&mut connection).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("x-amzn-requestid: "), "{answer}");

        // The idle connection does not keep the server alive.
        end.send(()).unwrap();
        tokio::time::timeout(DEADLINE, running).await.unwrap().unwrap().unwrap();
        assert_eq!(connection.read(&mut [0; 1]).await.unwrap(), 0, "the connection is closed");
        assert!(TcpStream::connect(address).await.is_err(), "it still listens");
    }
}

#[tokio::test]
async fn what_is_in_use_is_reported_in_one_line_with_what_to_do() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(options(data.path(), "127.0.0.1:0")).await.unwrap();
    let address = server.address().to_string();
    let refusal = |result: anyhow::Result<Server>| format!("{:#}", result.expect_err("it is in use"));

    let port = refusal(Server::start(options(other.path(), &address)).await);
    assert_eq!(
        port,
        format!("cannot listen on {address}: another program has that port; choose another by --listen")
    );
    let locked = refusal(Server::start(options(data.path(), "127.0.0.1:0")).await);
    assert!(
        locked.starts_with("the data directory ") && locked.contains("is in use by another neargate"),
        "{locked}"
    );
    assert!(locked.ends_with("stop that one or choose another by --data-dir"), "{locked}");
    assert!(!locked.contains('\n'), "{locked}");
}

#[tokio::test]
async fn a_data_directory_in_memory_is_gone_afterwards() {
    let server = Server::start(options(Path::new(":memory:"), "127.0.0.1:0")).await.unwrap();
    let directories = || {
        let entries = std::fs::read_dir(std::env::temp_dir()).unwrap();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let ours = format!("neargate-{}-", std::process::id());
        names.filter(|name| name.starts_with(&ours)).count()
    };
    assert_eq!(directories(), 1);
    server.run(std::future::ready(())).await.unwrap();
    assert_eq!(directories(), 0);
}

/// A Docker socket that accepts connections and never responds.
fn silent_socket(directory: &Path) -> (tokio::net::UnixListener, String) {
    let path = directory.join("docker.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    (listener, format!("unix://{}", path.display()))
}

/// The program itself, which ends with the test.
fn program(data: &Path, more: &[&str]) -> tokio::process::Child {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_neargate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .args(more)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn signal(child: &tokio::process::Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn a_signal_ends_the_program_while_the_container_engine_hangs_at_the_start() {
    for which in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let data = tempfile::tempdir().unwrap();
        let (socket, url) = silent_socket(data.path());
        let mut child = program(&data.path().join("data"), &["--docker-host", &url]);
        // It has called the engine: it is in the midst of its start, and its handlers are installed.
        let _held = tokio::time::timeout(DEADLINE, socket.accept()).await.unwrap().unwrap();
        signal(&child, which);
        let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
        assert!(ended.expect("it is deaf while it starts").unwrap().success());
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut child = program(data.path(), &["--runtime", "simulated"]);
    let mut stdout = tokio::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    tokio::time::timeout(DEADLINE, stdout.read_line(&mut line)).await.unwrap().unwrap();
    let address = line.trim().strip_prefix("neargate: listening on http://").unwrap().to_owned();

    // A request that does not end delays the end by 10 s.
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let head = "POST /_neargate/reset HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut other = TcpStream::connect(&address).await.unwrap();
    assert!(get_health(&mut other).await.starts_with("HTTP/1.1 200"));
    signal(&child, rustix::process::Signal::TERM);
    // The first has been received once the server no longer listens.
    let refused = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, refused).await.unwrap();
    assert!(child.try_wait().unwrap().is_none(), "it waits for the request");
    signal(&child, rustix::process::Signal::TERM);
    let ended = tokio::time::timeout(Duration::from_secs(5), child.wait()).await;
    assert_eq!(ended.expect("it still waits").unwrap().code(), Some(1));
}

#[tokio::test]
async fn health_responds_within_two_seconds_though_the_container_engine_hangs() {
    let data = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let runtime = faulty::Runtime::new(Arc::new(simulated::Runtime::new(clock.clone())), clock.clone());
    let store = Store::open(data.path()).await.unwrap();
    let options = engine::Options {
        region: "us-east-1".to_owned(),
        vpc: engine::vpc::Choice::Builtin { strict: false },
        activating: false,
        sandbox_pool: 0,
        ephemeral: true,
        publish_ports: false,
    };
    runtime.on_call(|call, _| match call {
        faulty::Call::Info | faulty::Call::Inventory => Some(faulty::Fault::Hang),
        _ => None,
    });
    let engine = Engine::start(options, store, Arc::new(runtime.clone()), clock).await.unwrap();
    let prices = neargate::cost::Prices::builtin();
    let emulator = neargate::api::Emulator {
        engine,
        account: "000000000000".into(),
        region: "us-east-1".into(),
        prices,
    };
    let request =
        http::Request::get("/_neargate/health").header("Host", "localhost").body(axum::body::Body::empty());
    let door = neargate::server::Door::new(emulator, Guard::new(None, &[]));
    let response = tokio::time::timeout(Duration::from_secs(10), door.oneshot(request.unwrap())).await;
    let response = response.expect("health waits for the engine").unwrap();
    assert_eq!(response.status(), 503);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let health: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(health["ready"], false, "{health}");
    assert!(health["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{health}");
    assert!(health["runtime"]["error"].as_str().unwrap().contains("does not respond in time"), "{health}");
    assert!(health["activities"].is_object(), "{health}");
}
