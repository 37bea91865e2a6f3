//! `neargate`: reads the command line, wires, runs. What goes wrong at the start is one line, with what to do.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use neargate::options::{Command, Options, Serve};
use neargate::server::Server;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Options::parse().command {
        Command::Serve(options) => serve(options).await,
        Command::Version => {
            println!("neargate {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("neargate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Serve) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_from_env("NEARGATE_LOG").unwrap_or_else(|_| EnvFilter::new("neargate=info,warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::start(options).await?;
    println!("neargate: listening on http://{}", server.address());
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server.run(end).await
}
