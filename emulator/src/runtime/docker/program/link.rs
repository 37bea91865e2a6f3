//! The lasting connection to a sandbox's program. It attaches once, and again after each loss of the attach connection, as
//! long as the sandbox runs. Open calls end with the attach connection over which they arrived.

use std::time::Duration;

use bollard::Docker;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::TIMEOUT;
use super::session::{Callee, Refused, Request, Response, Session};

/// The shortest and the longest pause between two failed attempts to attach.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Link {
    requests: mpsc::UnboundedSender<Request>,
    /// Aborted with the link.
    _attached: AbortOnDropHandle<()>,
}

impl Link {
    pub(super) fn new(docker: Docker, container: String, callee: Callee) -> Self {
        let (requests, queue) = mpsc::unbounded_channel();
        let attached = tokio::spawn(keep_attached(docker, container, callee, queue));
        Self { requests, _attached: AbortOnDropHandle::new(attached) }
    }

    /// The program's `/etc/resolv.conf`, as it was at the start.
    pub(super) async fn hello(&self) -> Result<Vec<u8>, String> {
        let (response, receiver) = oneshot::channel();
        self.send(Request::Hello { response }, receiver).await
    }

    pub(super) async fn request(&self, verb: &'static str, arguments: String) -> Response {
        let (response, receiver) = oneshot::channel();
        self.send(Request::Do { verb, arguments, response }, receiver).await
    }

    async fn send<T>(
        &self,
        request: Request,
        receiver: oneshot::Receiver<Result<T, String>>,
    ) -> Result<T, String> {
        // The queue ends only with the link.
        let _ = self.requests.send(request);
        match tokio::time::timeout(TIMEOUT, receiver).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => Err("the attach connection to its program was lost".to_owned()),
            Err(_) => {
                let _ = self.requests.send(Request::Renew);
                Err(format!("its program did not respond within {} s", TIMEOUT.as_secs()))
            }
        }
    }
}

/// Attaches as long as there may be requests.
async fn keep_attached(
    docker: Docker,
    container: String,
    callee: Callee,
    mut requests: mpsc::UnboundedReceiver<Request>,
) {
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
                if first.take().is_none_or(|request| session.take(request)) {
                    session.run(&callee, &mut requests).await;
                }
                Refused { reason: "the attach connection was lost".to_owned(), gone: false }
            }
            Err(refused) => {
                for request in first.take().into_iter().chain(std::iter::from_fn(|| requests.try_recv().ok()))
                {
                    request.fail(&refused.reason);
                }
                refused
            }
        };
        debug!(container, reason = refused.reason, "not attached to the sandbox; its calls have ended");
        // A request ends the pause.
        let next = match refused.gone {
            true => Ok(requests.recv().await),
            false => tokio::time::timeout(pause, requests.recv()).await,
        };
        match next {
            Ok(None) => return,
            // The next iteration attaches again anyway.
            Ok(Some(Request::Renew)) | Err(_) => {}
            Ok(Some(request)) => first = Some(request),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
