//! The lasting way to a sandbox's program. It is attached once, and again whenever that is lost, for as long as the
//! sandbox runs; open calls end with the attach that they came by.

use std::time::Duration;

use bollard::Docker;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::TIMEOUT;
use super::session::{Answer, Callee, Refused, Session, Word};

/// Between two attaches that fail, at first and at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Link {
    words: mpsc::UnboundedSender<Word>,
    /// Ended with the link.
    _attached: AbortOnDropHandle<()>,
}

impl Link {
    pub(super) fn new(docker: Docker, container: String, callee: Callee) -> Self {
        let (words, queue) = mpsc::unbounded_channel();
        let attached = tokio::spawn(keep(docker, container, callee, queue));
        Self { words, _attached: AbortOnDropHandle::new(attached) }
    }

    pub(super) async fn greet(&self) -> Result<Vec<u8>, String> {
        let (answer, answered) = oneshot::channel();
        self.ask(Word::Greet { answer }, answered).await
    }

    pub(super) async fn say(&self, verb: &'static str, arguments: String) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.ask(Word::Do { verb, arguments, answer }, answered).await
    }

    async fn ask<T>(&self, word: Word, answered: oneshot::Receiver<Result<T, String>>) -> Result<T, String> {
        // Its end is the link's own.
        let _ = self.words.send(word);
        match tokio::time::timeout(TIMEOUT, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the attach to its program was lost".to_owned()),
            Err(_) => {
                let _ = self.words.send(Word::Renew);
                Err(format!("its program did not answer within {} s", TIMEOUT.as_secs()))
            }
        }
    }
}

/// Attaches for as long as there may be words.
async fn keep(docker: Docker, container: String, callee: Callee, mut words: mpsc::UnboundedReceiver<Word>) {
    let mut pause = SHORTEST_PAUSE;
    let mut first = None;
    let mut again = false;
    loop {
        let begun = tokio::time::timeout(TIMEOUT, Session::begin(&docker, &container, again)).await;
        again = true;
        let late = || Refused { reason: "the engine did not attach in time".to_owned(), gone: false };
        let refused = match begun.unwrap_or_else(|_| Err(late())) {
            Ok(mut session) => {
                pause = SHORTEST_PAUSE;
                if first.take().is_none_or(|word| session.take(word)) {
                    session.run(&callee, &mut words).await;
                }
                Refused { reason: "the attach was lost".to_owned(), gone: false }
            }
            Err(refused) => {
                for word in first.take().into_iter().chain(std::iter::from_fn(|| words.try_recv().ok())) {
                    word.fail(&refused.reason);
                }
                refused
            }
        };
        debug!(container, reason = refused.reason, "not attached to the sandbox; its calls are ended");
        // A word is a reason to try at once.
        let next = match refused.gone {
            true => Ok(words.recv().await),
            false => tokio::time::timeout(pause, words.recv()).await,
        };
        match next {
            Ok(None) => return,
            // Which it is about to be.
            Ok(Some(Word::Renew)) | Err(_) => {}
            Ok(Some(word)) => first = Some(word),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
