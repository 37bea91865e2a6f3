//! The server on a real socket: it says where it listens, serves, refuses to share, and ends in order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::path::Path;
use std::time::Duration;

use clap::Parser as _;
use neargate::options::{Command, Options, Serve};
use neargate::server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

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
async fn a_server_serves_until_it_is_told_to_end_and_can_be_started_again() {
    let data = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let server = Server::start(options(data.path(), "127.0.0.1:0")).await.unwrap();
        let address = server.address();
        let (end, ended) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async {
            // A sender that is gone says the same.
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
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}

#[tokio::test]
async fn what_is_in_use_is_told_in_one_line_with_what_to_do() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(options(data.path(), "127.0.0.1:0")).await.unwrap();
    let address = server.address().to_string();
    let told = |result: anyhow::Result<Server>| format!("{:#}", result.expect_err("it is in use"));

    let port = told(Server::start(options(other.path(), &address)).await);
    assert_eq!(
        port,
        format!("cannot listen on {address}: another program has that port; choose another by --listen")
    );
    let locked = told(Server::start(options(data.path(), "127.0.0.1:0")).await);
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
