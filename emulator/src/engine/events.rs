//! The event router: carries the runtime's events to the supervisors of the containers that they are about.

use futures::StreamExt;

use super::context::Context;
use super::task::Event;
use super::work::mailbox::Message;
use crate::runtime;

/// Routes events until the runtime's stream ends.
pub(super) async fn route(context: &Context) {
    let mut events = context.runtime.events();
    // From here on no event is missed; an audit finds what happened before.
    context.audit.notify_one();
    while let Some(event) = events.next().await {
        let (container_id, happened): (_, fn(usize, runtime::Event) -> Option<Event>) = match &event {
            runtime::Event::Resync => {
                context.audit.notify_one();
                continue;
            }
            runtime::Event::SandboxExited { sandbox_id } => {
                sandbox_exited(context, sandbox_id);
                continue;
            }
            runtime::Event::Started { container_id, .. }
            | runtime::Event::Health { container_id, .. }
            | runtime::Event::Exited { container_id, .. } => (container_id.clone(), of_container),
        };
        let route = context.routes.lock().get(&container_id).cloned();
        if let Some(route) = route
            && let Some(happened) = happened(route.container, event)
        {
            // A supervisor that has just ended does not need it.
            let _ = route.supervisor.send(Message::Happened(happened));
        }
    }
}

fn of_container(container: usize, event: runtime::Event) -> Option<Event> {
    match event {
        runtime::Event::Started { at, .. } => Some(Event::Started { container, at }),
        runtime::Event::Health { healthy, .. } => Some(Event::Health { container, healthy }),
        runtime::Event::Exited { exit, .. } => Some(Event::Exited { container, exit }),
        runtime::Event::SandboxExited { .. } | runtime::Event::Resync => None,
    }
}

/// Reports the exit to the task of the sandbox; an idle sandbox leaves the pool.
fn sandbox_exited(context: &Context, sandbox_id: &str) {
    // Before the pool exists, the start checks all sandboxes itself.
    let task_arn = context.pool_now().and_then(|pool| pool.exited(sandbox_id));
    if let Some(supervisor) = task_arn.and_then(|task_arn| context.supervisor(&task_arn)) {
        let lost = Event::SandboxLost { sandbox_id: sandbox_id.to_owned() };
        // A supervisor that has just ended does not need it.
        let _ = supervisor.send(Message::Happened(lost));
    }
}
