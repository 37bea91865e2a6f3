//! The events on a pod, in the kubelet's words (`pkg/kubelet/events/event.go`).

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use kube::{
    Resource, ResourceExt,
    runtime::events::{self, EventType},
};

use super::status;
use crate::translate::Note;

/// Most bytes of an event's note (Kubernetes's `NoteLengthLimit`, `pkg/apis/core/validation/events.go`); one with more is refused.
const MOST_NOTE: usize = 1_024;

/// One event, before it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whether something went wrong.
    pub warning: bool,
    /// Its reason, in CamelCase.
    pub reason: &'static str,
    /// What was being done. The recorder merges events that differ only in their message.
    pub action: Cow<'static, str>,
    /// For people.
    pub message: String,
    /// The container that it is about, if one.
    pub container: Option<String>,
}

impl Event {
    /// Something that succeeded.
    #[must_use]
    pub fn normal(reason: &'static str, action: &'static str, message: String) -> Self {
        Self { warning: false, reason, action: Cow::Borrowed(action), message, container: None }
    }

    /// Something that did not.
    #[must_use]
    pub fn warning(reason: &'static str, action: &'static str, message: String) -> Self {
        Self { warning: true, reason, action: Cow::Borrowed(action), message, container: None }
    }

    /// The same, about one container.
    #[must_use]
    pub fn of(mut self, container: &str) -> Self {
        self.container = Some(container.to_owned());
        self
    }

    /// In the recorder's form, with the pod that it is about.
    #[must_use]
    pub fn to_published(&self, pod: &Pod) -> (events::Event, k8s_openapi::api::core::v1::ObjectReference) {
        let mut reference = pod.object_ref(&());
        reference.field_path = self.container.as_ref().map(|name| format!("spec.containers{{{name}}}"));
        let event = events::Event {
            type_: if self.warning { EventType::Warning } else { EventType::Normal },
            reason: self.reason.to_owned(),
            note: Some(note(&self.message)),
            action: self.action.clone().into_owned(),
            secondary: None,
        };
        (event, reference)
    }
}

/// The events for what is new in a status: so an event is sent once, even after restarts of the provider.
#[must_use]
pub fn between(pod: &Pod, status: &PodStatus) -> Vec<Event> {
    let before =
        pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let mut events = Vec::new();
    for now in status.container_statuses.iter().flatten() {
        let before = before.iter().find(|before| before.name == now.name);
        for event in container(pod, before, now) {
            // A refusal is about the pod, not about each container.
            if event.reason != status::UNSUPPORTED || !events.contains(&event) {
                events.push(event);
            }
        }
    }
    events
}

/// The message as an event's note: if it is too long, its beginning and ` ...`, as in kube-scheduler's `truncateMessage`.
fn note(message: &str) -> String {
    const CUT: &str = " ...";
    if message.len() <= MOST_NOTE {
        return message.to_owned();
    }
    format!("{}{CUT}", &message[..message.floor_char_boundary(MOST_NOTE - CUT.len())])
}

/// A refusal lists every reason: as many events as that takes.
fn refusal(message: &str) -> Vec<Event> {
    let Some((head, reasons)) = message.split_once(": ") else {
        return vec![Event::warning(status::UNSUPPORTED, "Translating", message.to_owned())];
    };
    let mut notes: Vec<String> = Vec::new();
    for reason in reasons.split(", ") {
        match notes.last_mut().filter(|note| note.len() + 2 + reason.len() <= MOST_NOTE) {
            Some(note) => note.extend([", ", reason]),
            None => notes.push(format!("{head}: {reason}")),
        }
    }
    let event = |(n, note): (usize, String)| {
        let mut event = Event::warning(status::UNSUPPORTED, "Translating", note);
        if n > 0 {
            event.action = Cow::Owned(format!("Translating-{}", n + 1));
        }
        event
    };
    notes.into_iter().enumerate().map(event).collect()
}

fn container(pod: &Pod, before: Option<&ContainerStatus>, now: &ContainerStatus) -> Vec<Event> {
    let state_before = before.and_then(|before| before.state.as_ref());
    let Some(state) = &now.state else { return Vec::new() };
    let name = now.name.as_str();
    if let Some(running) = &state.running {
        let same = state_before
            .and_then(|state| state.running.as_ref())
            .is_some_and(|b| b.started_at == running.started_at);
        return if same {
            Vec::new()
        } else {
            vec![Event::normal("Started", "Starting", format!("Started container {name}")).of(name)]
        };
    }
    let Some(waiting) = &state.waiting else { return Vec::new() };
    let waited = state_before.and_then(|state| state.waiting.as_ref());
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = waiting.message.clone().unwrap_or_default();
    let same_reason = waited.is_some_and(|waited| waited.reason.as_deref() == Some(reason));
    if same_reason
        && (reason != status::UNSUPPORTED || waited.is_some_and(|waited| waited.message == waiting.message))
    {
        return Vec::new();
    }
    match reason {
        status::UNSUPPORTED => refusal(&message),
        "CrashLoopBackOff" => {
            let (pod_name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
            let uid = pod.uid().unwrap_or_default();
            let message =
                format!("Back-off restarting failed container {name} in pod {pod_name}_{namespace}({uid})");
            vec![Event::warning("BackOff", "BackingOff", message).of(name)]
        }
        "ErrImagePull" => vec![
            Event::warning("Failed", "Pulling", format!("Failed to pull image \"{}\": {message}", now.image))
                .of(name),
            Event::warning("Failed", "Starting", "Error: ErrImagePull".to_owned()).of(name),
        ],
        "ImagePullBackOff" => vec![
            Event::normal("BackOff", "Pulling", format!("Back-off pulling image \"{}\"", now.image)).of(name),
            Event::warning("Failed", "BackingOff", "Error: ImagePullBackOff".to_owned()).of(name),
        ],
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            vec![Event::warning("Failed", "Starting", format!("Error: {message}")).of(name)]
        }
        _ => Vec::new(),
    }
}

/// The event for a note of the translation.
#[must_use]
pub fn noted(note: &Note) -> Event {
    match note {
        Note::GracePeriodClamped { asked, given } => Event::warning(
            "GracePeriodClamped",
            "Translating",
            format!("terminationGracePeriodSeconds {asked} is {given} on Fargate, which takes 2 to 120"),
        ),
        Note::LabelsLeftOut { keys } => Event::warning(
            "LabelsNotTagged",
            "Translating",
            format!(
                "labels that ECS does not take as tags (its limits, or keys that differ in case only): {}",
                keys.join(", ")
            ),
        ),
        Note::NotEnforced { fields } => Event::warning(
            "SecurityContextNotEnforced",
            "Translating",
            format!("not enforced on Fargate: {}", fields.join(", ")),
        ),
        Note::MissingClusterDns => Event::warning(
            "MissingClusterDNS",
            "Translating",
            "the address of the cluster's DNS is not known (--cluster-dns, or the Service kube-system/kube-dns): \
             falling back to dnsPolicy Default"
                .to_owned(),
        ),
        Note::DnsLimits { message } => Event::warning("DNSConfigForming", "Translating", message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_is_too_long_is_cut_at_a_character() {
        assert_eq!(note("short"), "short");
        assert_eq!(note(&"a".repeat(1_024)).len(), 1_024);
        let cut = note(&"a".repeat(1_025));
        assert_eq!((cut.len(), cut.ends_with("a ...")), (1_024, true));
        // Two bytes each: the limit falls into the middle of one.
        let cut = note(&format!("a{}", "é".repeat(600)));
        assert_eq!((cut.len(), cut.ends_with("é ...")), (1_023, true));
    }
}
