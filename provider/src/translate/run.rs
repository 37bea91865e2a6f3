//! RunTask's input: what differs between replicas, and whose the task is.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    Settings,
    definition::{self, Pair},
    env::Environment,
};

/// The tag that names the pod's UID: whose the task is.
pub const POD_UID_TAG: &str = "neargate.dev/pod-uid";

/// The tag that carries the attempt: which of the pod's tasks it is, from 0.
pub const ATTEMPT_TAG: &str = "neargate.dev/attempt";

/// The tag that names the pod's namespace, for people.
pub const NAMESPACE_TAG: &str = "neargate.dev/pod-namespace";

/// The tag that names the pod, for people.
pub const NAME_TAG: &str = "neargate.dev/pod-name";

/// Most characters of the overrides of one RunTask (ECS API, `TaskOverride`).
pub const MOST_OVERRIDES: usize = 8192;

/// Most tags of a task (ECS API, `Tag`).
const MOST_TAGS: usize = 50;

/// RunTask's input, but for the task definition's revision, which is known after registering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The cluster.
    pub cluster: String,
    /// Always 1.
    pub count: i32,
    /// Always `FARGATE`.
    pub launch_type: &'static str,
    /// `LATEST` or a version.
    pub platform_version: String,
    /// Subnets and security groups.
    pub network_configuration: NetworkConfiguration,
    /// Which provider started it: cluster and node, hashed.
    pub started_by: String,
    /// The pod's UID and the attempt.
    pub client_token: String,
    /// What differs between replicas.
    pub overrides: Overrides,
    /// Whose it is, and the pod's labels.
    pub tags: Vec<Tag>,
}

/// `networkConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfiguration {
    /// The only kind that Fargate has.
    pub awsvpc_configuration: AwsVpcConfiguration,
}

/// `awsvpcConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AwsVpcConfiguration {
    /// Subnets, 1 to 16.
    pub subnets: Vec<String>,
    /// Security groups, up to 5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// `ENABLED` or `DISABLED`.
    pub assign_public_ip: &'static str,
}

/// `overrides`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// One a container that has own values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_overrides: Vec<ContainerOverride>,
}

/// `containerOverrides`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ContainerOverride {
    /// The container.
    pub name: String,
    /// Its words, where one of them is the pod's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Its own variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<Pair>,
}

/// `tags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// 1 to 128 characters.
    pub key: String,
    /// Up to 256 characters.
    pub value: String,
}

impl Overrides {
    /// How many characters they are on the wire.
    #[must_use]
    pub fn len(&self) -> usize {
        // Serialising plain structs of strings cannot fail.
        serde_json::to_string(self).map_or(0, |json| json.chars().count())
    }

    /// Whether they override nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.container_overrides.is_empty()
    }
}

/// The overrides of a pod: own variables and own words; `first` goes before those of the pod's own containers.
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

/// RunTask's input, and the labels that are no tags.
#[must_use]
pub fn run(pod: &Pod, attempt: u32, overrides: Overrides, settings: &Settings) -> (Run, Vec<String>) {
    let (tags, left_out) = tags(pod, attempt);
    let run = Run {
        cluster: settings.cluster.clone(),
        count: 1,
        launch_type: "FARGATE",
        platform_version: settings.platform_version.clone(),
        network_configuration: NetworkConfiguration {
            awsvpc_configuration: AwsVpcConfiguration {
                subnets: settings.subnets.clone(),
                security_groups: settings.security_groups.clone(),
                assign_public_ip: if settings.assign_public_ip { "ENABLED" } else { "DISABLED" },
            },
        },
        started_by: settings.started_by.clone(),
        client_token: client_token(&pod.uid().unwrap_or_default(), attempt),
        overrides,
        tags,
    };
    (run, left_out)
}

/// The pod's UID and the attempt: 36 characters, a dash and digits, of the 64 that ECS takes.
fn client_token(uid: &str, attempt: u32) -> String {
    format!("{uid}-{attempt}")
}

/// Names the provider of one node of one cluster in ECS's charset for `startedBy` (`[A-Za-z0-9-/_]`, at most 128).
///
/// `cluster_uid` is the UID of the namespace `kube-system`, which every cluster has and no two share.
#[must_use]
pub fn started_by(cluster_uid: &str, node: &str) -> String {
    let digest = Sha256::digest(format!("{cluster_uid}/{node}"));
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("neargate/{hex}")
}

/// The provider's tags, then the labels that ECS takes, in the labels' order; the keys of those that it does not take.
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
        let ours = tags.iter().any(|tag| tag.key == *key);
        if is_tag(key, value) && !ours && tags.len() < MOST_TAGS {
            tags.push(Tag { key: key.clone(), value: value.clone() });
        } else {
            left_out.push(key.clone());
        }
    }
    (tags, left_out)
}

/// Every character of a label is one of a tag; its key may be longer, and `aws:` is AWS's own (ECS API, `Tag`).
fn is_tag(key: &str, value: &str) -> bool {
    key.len() <= 128 && value.len() <= 256 && !key.to_ascii_lowercase().starts_with("aws:")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn started_by_fits_ecs_and_tells_nodes_and_clusters_apart() {
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
        let mut pod = Pod::default();
        pod.metadata.uid = Some("uid".to_owned());
        pod.metadata.labels = Some(labels);
        let (tags, left_out) = tags(&pod, 3);
        assert_eq!(tags.len(), MOST_TAGS);
        assert_eq!(tags[0], Tag { key: POD_UID_TAG.to_owned(), value: "uid".to_owned() });
        assert_eq!(tags[1], Tag { key: ATTEMPT_TAG.to_owned(), value: "3".to_owned() });
        assert_eq!(left_out.len(), 62 + 4 - MOST_TAGS);
        assert!(left_out.contains(&long) && left_out.contains(&POD_UID_TAG.to_owned()));
    }
}
