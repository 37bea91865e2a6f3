//! RunTask's input: what differs between replicas, and the pod that the task belongs to.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use super::{
    Settings, definition,
    ecs::{AwsVpcConfiguration, ContainerOverride, NetworkConfiguration, Overrides, Pair, Run, Tag},
    env::Environment,
};

/// The tag with the pod's UID: the task belongs to that pod.
pub const POD_UID_TAG: &str = "neargate.dev/pod-uid";

/// The tag with the attempt: which of the pod's tasks it is, from 0.
pub const ATTEMPT_TAG: &str = "neargate.dev/attempt";

/// The tag that names the pod's namespace, for people.
pub const NAMESPACE_TAG: &str = "neargate.dev/pod-namespace";

/// The tag that names the pod, for people.
pub const NAME_TAG: &str = "neargate.dev/pod-name";

/// Most characters of the overrides of one RunTask (ECS API, `TaskOverride`).
pub const MOST_OVERRIDES: usize = 8192;

/// Most tags of a task (ECS API, `Tag`).
const MOST_TAGS: usize = 50;

/// The overrides of a pod: its own variables and commands; `first` goes before those of the pod's own containers.
#[must_use]
pub fn overrides(
    spec: &PodSpec,
    environments: &[Environment],
    first: Option<ContainerOverride>,
) -> Overrides {
    let own = spec
        .containers
        .iter()
        .zip(environments)
        .map(|(container, environment)| ContainerOverride {
            name: container.name.clone(),
            command: definition::words(container, environment).own_command.unwrap_or_default(),
            environment: environment
                .iter()
                .filter(|(_, value)| value.own)
                .map(|(name, value)| Pair { name: name.to_owned(), value: value.text.clone() })
                .collect(),
        })
        .filter(|own| !own.command.is_empty() || !own.environment.is_empty());
    Overrides { container_overrides: first.into_iter().chain(own).collect() }
}

/// RunTask's input, and the labels that cannot be tags.
#[must_use]
pub fn run(pod: &Pod, attempt: u32, overrides: Overrides, settings: &Settings) -> (Run, Vec<String>) {
    let (tags, left_out) = tags(pod, attempt);
    let run = Run {
        cluster: settings.fargate.cluster.clone(),
        count: 1,
        launch_type: "FARGATE",
        platform_version: settings.fargate.platform_version.clone(),
        network_configuration: NetworkConfiguration {
            awsvpc_configuration: AwsVpcConfiguration {
                subnets: settings.fargate.subnets.clone(),
                security_groups: settings.fargate.security_groups.clone(),
                assign_public_ip: if settings.fargate.assign_public_ip { "ENABLED" } else { "DISABLED" },
            },
        },
        started_by: settings.started_by.clone(),
        client_token: client_token(&pod.uid().unwrap_or_default(), attempt),
        overrides,
        tags,
    };
    (run, left_out)
}

/// The pod's UID and the attempt: 36 characters, a dash and digits, of the 64 that ECS allows.
fn client_token(uid: &str, attempt: u32) -> String {
    format!("{uid}-{attempt}")
}

/// Names the provider of one node of one cluster in ECS's charset for `startedBy` (`[A-Za-z0-9-/_]`, at most 128).
///
/// `cluster_uid` is the UID of the namespace `kube-system`, which is unique to each cluster.
#[must_use]
pub fn started_by(cluster_uid: &str, node: &str) -> String {
    let digest = Sha256::digest(format!("{cluster_uid}/{node}"));
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("neargate/{hex}")
}

/// The provider's tags, then the labels that ECS accepts, in the labels' order; and the keys of those that it does not
/// accept. ECS refuses a task whose tag keys differ only in case, as duplicates: the first of such labels is the tag.
fn tags(pod: &Pod, attempt: u32) -> (Vec<Tag>, Vec<String>) {
    let ours = [
        (POD_UID_TAG, pod.uid().unwrap_or_default()),
        (ATTEMPT_TAG, attempt.to_string()),
        (NAMESPACE_TAG, pod.namespace().unwrap_or_default()),
        (NAME_TAG, pod.name_any()),
    ];
    let mut tags: Vec<Tag> =
        ours.into_iter().map(|(key, value)| Tag { key: key.to_owned(), value }).collect();
    let mut left_out = Vec::new();
    for (key, value) in pod.labels() {
        let taken = tags.iter().any(|tag| tag.key.eq_ignore_ascii_case(key));
        if is_tag(key, value) && !taken && tags.len() < MOST_TAGS {
            tags.push(Tag { key: key.clone(), value: value.clone() });
        } else {
            left_out.push(key.clone());
        }
    }
    (tags, left_out)
}

/// Every character of a label is allowed in a tag; its key may be longer, and `aws:` is AWS's own (ECS API, `Tag`).
fn is_tag(key: &str, value: &str) -> bool {
    key.len() <= 128 && value.len() <= 256 && !key.to_ascii_lowercase().starts_with("aws:")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn started_by_fits_ecs_and_distinguishes_nodes_and_clusters() {
        let one = started_by("4f6c2b7e-0000-4000-8000-000000000001", "fargate");
        assert!(
            one.len() <= 128 && one.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/_".contains(&b)),
            "{one}"
        );
        assert_ne!(one, started_by("4f6c2b7e-0000-4000-8000-000000000001", "fargate-2"));
        assert_ne!(one, started_by("4f6c2b7e-0000-4000-8000-000000000002", "fargate"));
    }

    #[test]
    fn labels_past_ecs_limits_are_named_and_never_push_out_the_providers_tags() {
        let long = format!("{}/name", "a".repeat(130));
        let mut labels: BTreeMap<_, _> = (0..60).map(|n| (format!("label-{n:02}"), n.to_string())).collect();
        labels.insert(long.clone(), "x".to_owned());
        labels.insert(POD_UID_TAG.to_owned(), "forged".to_owned());
        labels.insert("Neargate.dev/Pod-Uid".to_owned(), "forged".to_owned());
        let mut pod = Pod::default();
        pod.metadata.uid = Some("uid".to_owned());
        pod.metadata.labels = Some(labels);
        let (tags, left_out) = tags(&pod, 3);
        assert_eq!(tags.len(), MOST_TAGS);
        assert_eq!(tags[0], Tag { key: POD_UID_TAG.to_owned(), value: "uid".to_owned() });
        assert_eq!(tags[1], Tag { key: ATTEMPT_TAG.to_owned(), value: "3".to_owned() });
        assert_eq!(left_out.len(), 63 + 4 - MOST_TAGS);
        assert!(left_out.contains(&long) && left_out.contains(&POD_UID_TAG.to_owned()));
    }
    #[test]
    fn of_labels_that_differ_in_case_only_one_is_a_tag_and_the_others_are_named() {
        let labels = ["App", "app", "APP", "application"].map(|key| (key.to_owned(), key.to_owned()));
        let mut pod = Pod::default();
        pod.metadata.labels = Some(labels.into());
        let (tags, left_out) = tags(&pod, 0);
        let keys: Vec<_> = tags.iter().skip(4).map(|tag| tag.key.as_str()).collect();
        assert_eq!(keys, ["APP", "application"]);
        assert_eq!(left_out, ["App", "app"]);
    }
}
