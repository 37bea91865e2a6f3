//! The event router: carries the runtime's events to the supervisors of the containers that they are about.

use futures::StreamExt;

use super::context::Context;
use super::task::Event;
use super::work::mailbox::Message;
use crate::runtime;

/// Routes events for as long as the runtime lives.
pub(super) async fn route(context: &Context) {
    let mut events = context.runtime.events();
    // From here on nothing is missed; what happened before is found by an audit.
    context.audit.notify_one();
    while let Some(event) = events.next().await {
        let (container_id, happened): (_, fn(usize, runtime::Event) -> Option<Event>) = match &event {
            runtime::Event::Resync => {
                context.audit.notify_one();
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
            // One that has just ended has no use for it.
            let _ = route.supervisor.send(Message::Happened(happened));
        }
    }
}

fn of_container(container: usize, event: runtime::Event) -> Option<Event> {
    match event {
        runtime::Event::Started { at, .. } => Some(Event::Started { container, at }),
        runtime::Event::Health { healthy, .. } => Some(Event::Health { container, healthy }),
        runtime::Event::Exited { exit, .. } => Some(Event::Exited { container, exit }),
        runtime::Event::Resync => None,
    }
}
