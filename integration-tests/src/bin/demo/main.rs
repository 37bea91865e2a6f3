//! `make demo`: a Kubernetes Deployment runs as Fargate tasks in local containers, shown as it happens.
//!
//! ```text
//! emulator ─▶ control plane ─▶ provider ─▶ apply ─▶ scale 1 → 4 ─▶ logs -f ─▶ aws ecs … ─▶ scale 4 → 1 ─▶ nothing left
//! ```
//!
//! Ctrl-C at any moment skips to the last step.

mod screen;
mod script;
mod stage;
mod table;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use screen::Screen;
use stage::Stage;

/// Shows a Kubernetes Deployment run as AWS Fargate tasks in local Docker containers.
#[derive(Debug, Parser)]
struct Options {
    /// Leave everything running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Options { keep } = Options::parse();
    let mut screen = Screen::new();
    let mut stage = match Stage::new() {
        Ok(stage) => stage,
        Err(error) => return failed(&error),
    };
    let played = tokio::select! {
        played = play(&mut stage, &mut screen, keep) => played.map(|()| ExitCode::SUCCESS),
        signal = interrupted() => signal.map(|()| {
            screen.say("interrupted: cleaning up");
            ExitCode::from(130)
        }),
    };
    if played.is_err() {
        screen.say(&stage.dump());
    }
    let cleared = stage.clear(&mut screen).await;
    match played.and_then(|code| cleared.map(|()| code)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("demo: {error:?}");
    ExitCode::FAILURE
}

async fn play(stage: &mut Stage, screen: &mut Screen, keep: bool) -> anyhow::Result<()> {
    stage.set(screen).await?;
    script::play(stage, screen).await?;
    if keep || asked_to_keep().await? {
        screen.say(&stage.by_hand()?);
        screen.say("Ctrl-C ends it and cleans up.");
        std::future::pending::<()>().await;
    }
    screen.say(&stage::how_to_go_on());
    Ok(())
}

/// Asks only if stdin and stdout are a terminal.
async fn asked_to_keep() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Ok(false);
    }
    println!("\nLeave it running, to continue by hand? [y/N]");
    let (say, said) = tokio::sync::oneshot::channel();
    // Its own thread, which is never joined: Ctrl-C must not hang if the user types nothing.
    std::thread::spawn(move || {
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer).map(|_| answer);
        say.send(read)
    });
    Ok(said.await??.trim().eq_ignore_ascii_case("y"))
}

/// SIGINT or SIGTERM.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
