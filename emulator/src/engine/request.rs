//! Requests for an existing task: to stop, to change its tags.
//!
//! A request goes to the task's supervisor. A task without one (the engine is not ready, its supervisor is being restarted,
//! it has stopped) is changed in the store, in one transaction; a later supervisor begins with what the store has.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::engine::{Engine, Error, run_detached};
use super::task::{Event, StopCode, Task, next};
use super::work::mailbox::Message;
use super::{ledger, tag, update};
use crate::clock::{Elapsed, Timestamp};
use crate::store;

/// The time limit of a request. A supervisor replies at once, so one that does not has failed, as has a store that does not
/// commit.
const BOUND: Duration = Duration::from_secs(20);

/// Why it is not known whether a request was carried out.
enum Trouble {
    Store(store::Error),
    Unanswered(Elapsed),
}

impl From<store::Error> for Trouble {
    fn from(source: store::Error) -> Self {
        Self::Store(source)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Store(source) => Self::Store(source),
            Trouble::Unanswered(source) => Self::Unanswered(source),
        }
    }
}

impl<E> From<Trouble> for update::Error<E> {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Store(source) => Self::Store(source),
            Trouble::Unanswered(source) => Self::Unanswered(source),
        }
    }
}

impl Engine {
    /// Asks a task to stop. Returns it as StopTask does: desired STOPPED, not stopped yet. `None` if there is no
    /// such task.
    ///
    /// # Errors
    /// It could not be committed.
    pub async fn stop(
        &self,
        task_arn: &str,
        code: StopCode,
        reason: String,
    ) -> Result<Option<Arc<Task>>, Error> {
        let message = {
            let reason = reason.clone();
            move |reply| Message::Stop { code, reason: reason.clone(), reply }
        };
        let event = Event::Stop { code, reason };
        // A task that has stopped stays as it is.
        let change = move |task: &Task, now| Ok(next(task, &event, now).unwrap_or_else(|_| task.clone()));
        let asked = self.ask(task_arn, message, Ok::<_, Infallible>, change).await?;
        Ok(asked.map(|Ok(task)| task))
    }

    /// Changes the tags of a task: `change` is applied to the tags at the time of the write.
    ///
    /// # Errors
    /// There is no such task; a task may not have the tags after the change; it could not be committed.
    pub async fn tag(
        &self,
        task_arn: &str,
        change: tag::Change,
    ) -> Result<Arc<Task>, update::Error<tag::Broken>> {
        let message = {
            let change = change.clone();
            move |reply| Message::Tag { change: change.clone(), reply }
        };
        let change = move |task: &Task, now| {
            let tags = change.apply(&task.tags)?;
            Ok(next(task, &Event::Tagged(tags), now).unwrap_or_else(|_| task.clone()))
        };
        let asked = self.ask(task_arn, message, |reply| reply, change).await?;
        asked.ok_or(update::Error::NotFound)?.map_err(update::Error::Refused)
    }

    /// Sends `message` to the supervisor and converts its reply with `read`, or applies `change` in the store. It completes
    /// even if the caller goes away: what is committed is published.
    async fn ask<R, E>(
        &self,
        task_arn: &str,
        message: impl Fn(oneshot::Sender<R>) -> Message + Send + Sync + 'static,
        read: impl Fn(R) -> Result<Arc<Task>, E> + Send + Sync + 'static,
        change: impl Fn(&Task, Timestamp) -> Result<Task, E> + Clone + Send + Sync + 'static,
    ) -> Result<Option<Result<Arc<Task>, E>>, Trouble>
    where
        R: Send + 'static,
        E: Send + 'static,
    {
        let (engine, arn) = (self.clone(), task_arn.to_owned());
        run_detached(async move {
            let context = &engine.0.context;
            let asked = async {
                loop {
                    if let Some(supervisor) = context.supervisor(&arn) {
                        let (reply, response) = oneshot::channel();
                        if supervisor.send(message(reply)).is_ok()
                            && let Ok(response) = response.await
                        {
                            return Ok::<_, Trouble>(Some(read(response)));
                        }
                        // It ended or panicked before it handled this. If it is still registered, it has stopped its task.
                        if context.supervisor(&arn).is_some_and(|now| now.same_channel(&supervisor)) {
                            supervisor.closed().await;
                        }
                    } else if let Some(changed) = engine.change_unsupervised(&arn, change.clone()).await? {
                        return Ok(changed);
                    }
                }
            };
            context.clock.timeout(BOUND, asked).await.map_err(Trouble::Unanswered)?
        })
        .await
    }

    /// Changes a task in the store and publishes it. `None`: it has a supervisor by now, which must get the request.
    async fn change_unsupervised<E: Send + 'static>(
        &self,
        task_arn: &str,
        change: impl Fn(&Task, Timestamp) -> Result<Task, E> + Send + Sync + 'static,
    ) -> Result<Option<Option<Result<Arc<Task>, E>>>, store::Error> {
        let context = &self.0.context;
        let (arn, now) = (task_arn.to_owned(), context.clock.now());
        let _turn = context.unsupervised.lock().await;
        let changed = context
            .store
            .write(move |connection| {
                Box::pin(async move { ledger::change(connection, &arn, |task| change(task, now)).await })
            })
            .await?;
        // Under this lock no supervisor is added: one that is added later reads what was committed.
        let supervisors = context.supervisors.lock();
        if supervisors.get(task_arn).is_some_and(|supervisor| !supervisor.is_closed()) {
            return Ok(None);
        }
        Ok(Some(changed.map(|changed| {
            changed.map(|task| {
                let task = Arc::new(task);
                context.publish(&task);
                task
            })
        })))
    }
}
