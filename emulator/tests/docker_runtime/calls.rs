//! Connections that a task makes inside its sandbox, as the emulator receives them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use neargate::runtime::docker::{Options, Runtime};
use neargate::runtime::{Call, Filter, Inward, Runtime as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{World, connect, docker, exit, wait_for_output, with_world};

fn at(inward: Inward) -> String {
    inward.address().to_string()
}

/// Serves calls until it is dropped.
fn serve(runtime: &Runtime) -> AbortOnDropHandle<()> {
    let mut calls = runtime.calls();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut under_way = JoinSet::new();
        while let Some(call) = calls.next().await {
            under_way.spawn(answer(call));
        }
    }))
}

/// By a word of three letters: `who` returns the caller, `all` echoes what follows, `big` returns a large reply, `yes`
/// only closes.
async fn answer(mut call: Call) -> std::io::Result<()> {
    let mut word = [0; 3];
    call.stream.read_exact(&mut word).await?;
    match &word {
        b"who" => {
            let answer = format!("{} {:?}", call.sandbox_id, call.to);
            call.stream.write_all(answer.as_bytes()).await?;
        }
        b"all" => {
            let (mut read, mut write) = tokio::io::split(&mut call.stream);
            tokio::io::copy(&mut read, &mut write).await?;
        }
        b"big" => call.stream.write_all(&vec![b'x'; 16 << 20]).await?,
        _ => drop(call.stream.read(&mut word).await?),
    }
    call.stream.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_is_known_by_its_sandbox_and_no_port_of_a_task_is_taken() {
    with_world(|world| async move {
        let _serving = serve(&world.runtime);
        // Nothing may leave it: an address inside the sandbox is not a peer.
        let silent = neargate::runtime::SandboxSpec {
            filter: Arc::new(Filter::default()),
            ..crate::support::sandbox(&world.network, Some(world.address(11)))
        };
        let tasks = [world.task(10, 256, 512, &[]).await, world.task_in(&silent, 256, 512, &[]).await];
        for task in &tasks {
            // The ports of the same numbers, on all addresses.
            for inward in Inward::ALL {
                let port = inward.address().port().to_string();
                let name = format!("serve-{port}");
                task.run_tool(&name, &["serve", &port, "the task's own"]).await;
                let own = format!("127.0.0.1:{port}");
                assert_eq!(task.prints(&["say", "hey", &own]).await, "the task's own");
                let expected = format!("{} {inward:?}", task.sandbox_id);
                assert_eq!(task.prints(&["call", "who", &at(inward)]).await, expected);
            }
        }
        let [first, _] = &tasks;
        let echoed = first.prints(&["mirror", "all", "3000000", &at(Inward::Metadata)]).await;
        assert_eq!(echoed, "3000000 true");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_at_once_are_answered_beside_one_that_does_not_read() {
    with_world(|world| async move {
        let _serving = serve(&world.runtime);
        let task = world.task(10, 256, 512, &[]).await;
        let address = at(Inward::Endpoint);
        let slow = task.run_tool("slow", &["ignore", "big", &address]).await;
        wait_for_output(&world.runtime, &slow, "ignores").await;
        let answers = task.prints(&["crowd", "100", "who", &address]).await;
        let who = format!("{} Endpoint", task.sandbox_id);
        assert_eq!(answers, format!("connected\n{{{who:?}: 100}}"));
        // And the filter is set meanwhile.
        world.runtime.set_filter(&task.sandbox_id, &Arc::default()).await.unwrap();
        assert_eq!(task.prints(&["mirror", "all", "300000", &address]).await, "300000 true");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nothing_takes_is_closed_at_once() {
    with_world(|world| async move {
        let task = world.task(10, 256, 512, &[]).await;
        let answer = task.prints(&["call", "who", &at(Inward::Metadata)]).await;
        assert!(answer.starts_with("closed"), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_takes_the_calls_over_and_ends_those_that_are_open() {
    with_world(|world| async move {
        let _serving = serve(&world.runtime);
        let task = world.task(10, 256, 512, &[]).await;
        let address = at(Inward::Metadata);
        let open = task.run_tool("open", &["call", "yes", &address]).await;
        let before = task.prints(&["call", "who", &address]).await;
        assert!(before.starts_with(&task.sandbox_id), "{before}");

        // As an emulator that was restarted: its first message to an adopted sandbox is the filter.
        let again = connect(world.options.clone()).await.unwrap();
        let mut calls = again.calls();
        again.set_filter(&task.sandbox_id, &Arc::new(Filter::open())).await.unwrap();
        assert_eq!(exit(&world.runtime, &open).await.code, 0, "an open call ends with its process");
        let taken = tokio::spawn(async move {
            let call = calls.next().await.expect("a call");
            let to = (call.sandbox_id.clone(), call.to);
            answer(call).await.map(|()| to)
        });
        let name = format!("{} Metadata", task.sandbox_id);
        assert_eq!(task.prints(&["call", "who", &address]).await, name);
        assert_eq!(taken.await.unwrap().unwrap(), (task.sandbox_id.clone(), Inward::Metadata));
    })
    .await;
}

/// A connection to the engine that can be cut.
struct Cable {
    socket: PathBuf,
    connections: Arc<parking_lot::Mutex<JoinSet<()>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Cable {
    fn lay(directory: &std::path::Path) -> Self {
        let socket = directory.join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let connections = Arc::new(parking_lot::Mutex::new(JoinSet::new()));
        let accepted = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                accepted.lock().spawn(async move {
                    let mut far = UnixStream::connect("/var/run/docker.sock").await.unwrap();
                    // Ends with either side.
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { socket, connections, _accepting: AbortOnDropHandle::new(accepting) }
    }

    fn cut(&self) {
        self.connections.lock().abort_all();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_attach_is_made_again_and_ends_the_calls_that_came_by_it() {
    with_world(|world: Arc<World>| async move {
        if std::env::var_os("DOCKER_HOST").is_some() {
            eprintln!("SKIPPED: the engine is not at its own socket");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let cable = Cable::lay(directory.path());
        let host = format!("unix://{}", cable.socket.display());
        let task = world.task(10, 256, 512, &[]).await;
        let remote = connect(Options { docker_host: Some(host), ..world.options.clone() }).await.unwrap();
        let mut calls = remote.calls();
        remote.set_filter(&task.sandbox_id, &Arc::new(Filter::open())).await.unwrap();
        let address = at(Inward::Metadata);
        let open = task.run_tool("open", &["call", "yes", &address]).await;
        let mut call = within("the first call", calls.next()).await.expect("a call");
        let mut word = [0; 3];
        call.stream.read_exact(&mut word).await.unwrap();
        cable.cut();
        assert_eq!(within("the end of the call", call.stream.read(&mut word)).await.unwrap(), 0);
        // Without any request: the link attaches again by itself.
        assert_eq!(exit(&world.runtime, &open).await.code, 0);
        let later = task.run_tool("later", &["call", "who", &address]).await;
        let call = within("a call over the new attach", calls.next()).await.expect("a call");
        answer(call).await.unwrap();
        wait_for_output(&world.runtime, &later, &task.sandbox_id).await;
        remote.set_filter(&task.sandbox_id, &Arc::default()).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_to_a_program_that_does_not_answer_ends_with_a_reason_and_holds_up_no_other() {
    with_world(|world| async move {
        let (sick, well) = (world.task(10, 256, 512, &[]).await, world.task(11, 256, 512, &[]).await);
        docker().pause_container(&sick.sandbox_name()).await.unwrap();
        let filter = Arc::new(Filter::open());
        let word = world.runtime.set_filter(&sick.sandbox_id, &filter);
        let mut word = std::pin::pin!(word);
        assert!(futures::poll!(&mut word).is_pending());
        world.runtime.set_filter(&well.sandbox_id, &filter).await.unwrap();
        let refused = within("a reason", word).await.unwrap_err().to_string();
        assert!(refused.contains(&sick.sandbox_name()) && refused.contains("did not respond"), "{refused}");
        docker().unpause_container(&sick.sandbox_name()).await.unwrap();
        world.runtime.set_filter(&sick.sandbox_id, &filter).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_to_a_sandbox_that_does_not_run_is_refused_at_once() {
    with_world(|world| async move {
        let task = world.task(10, 256, 512, &[]).await;
        docker().kill_container(&task.sandbox_name(), None).await.unwrap();
        let again = connect(world.options.clone()).await.unwrap();
        for runtime in [&world.runtime, &again] {
            let word = runtime.set_filter(&task.sandbox_id, &Arc::default()).await;
            let refused = word.unwrap_err().to_string();
            assert!(refused.contains("is not running"), "{refused}");
        }
    })
    .await;
}

async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
    waited.unwrap_or_else(|_| panic!("waited for {what}"))
}
