//! Keeps the supervisors of tasks alive: one that panics is restarted from the stored task.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tracing::warn;

use super::observation::{ByTask, Observation};
use super::supervisor::Supervisor;
use crate::engine::context::Context;
use crate::engine::task::Task;

/// The name of supervisors in health.
const NAME: &str = "supervisors";

/// Between a panic of a supervisor and its next start: doubled each time, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Polls `work`, the first supervisor of a task, and a new one after each panic. While none runs, requests for the task are
/// written to the store.
pub(in crate::engine) async fn keep_alive(
    context: Arc<Context>,
    task_arn: String,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let mut work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work);
    let mut pause = PAUSE;
    while let Err(panic) = AssertUnwindSafe(&mut work).catch_unwind().await {
        context.background.panicked(NAME, &*panic);
        // Ends what the panicked supervisor had under way.
        work = Box::pin(std::future::ready(()));
        context.clock.sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        if let Some(task) = context.registry.get(&task_arn).filter(|task| !task.is_stopped()) {
            work = Box::pin(begin_again(Arc::clone(&context), task));
        }
    }
}

async fn begin_again(context: Arc<Context>, task: Arc<Task>) {
    let inventory = loop {
        match context.inventory().await {
            Ok(inventory) => break inventory,
            Err(error) => {
                warn!(%error, "could not list the containers of a task whose supervisor panicked; retrying in {PAUSE:?}");
                context.clock.sleep(PAUSE).await;
            }
        }
    };
    let observation = ByTask::new(&inventory).of(&task);
    adopt(context, task, observation).await;
}

/// Supervises a task that an earlier supervisor left, of which the runtime held `observation`.
pub(in crate::engine) async fn adopt(context: Arc<Context>, task: Arc<Task>, observation: Observation) {
    Supervisor::new(context, task).adopt(observation).await;
}
