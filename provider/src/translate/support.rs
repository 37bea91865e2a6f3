//! What a pod requires that a Fargate task cannot provide: every reason at once, in EKS Fargate's words if it has them.
//!
//! A field that changes what runs and cannot be carried is a reason. A field that only affects where or when a pod is
//! scheduled, or that has no meaning on a node without a host, is not; `provider/README.md` lists both.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, PodSpec, Volume};

use super::{env, health, init, security, size};

/// Most containers of a task definition (ECS quotas).
const CONTAINERS: usize = 10;

/// Every reason why the pod cannot run as a Fargate task; none if it can. `init`: whether an init container of the
/// provider runs before it.
#[must_use]
pub fn reasons(pod: &Pod, init: bool) -> Vec<String> {
    let Some(spec) = &pod.spec else { return vec!["it has no spec".to_owned()] };
    let mut reasons = Vec::new();
    if pod.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "DaemonSet") {
        reasons.push("DaemonSets not supported: every pod has a node of its own on Fargate".to_owned());
    }
    let fields = fields(spec, init);
    if !fields.is_empty() {
        reasons.push(format!("fields not supported: {}", fields.join(", ")));
    }
    let security = security::unsupported(spec);
    if !security.is_empty() {
        reasons.push(format!("invalid SecurityContext fields: {}", security.join(", ")));
    }
    let added = security::added_capabilities(spec);
    if !added.is_empty() {
        reasons.push(format!("Capabilities added: {}", added.join(", ")));
    }
    let ports = || spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let given = |ip: &Option<String>| ip.as_ref().is_some_and(|ip| !ip.is_empty());
    if ports().any(|port| port.host_port.is_some_and(|port| port > 0) || given(&port.host_ip)) {
        reasons.push("port contains HostIP or HostPort".to_owned());
    }
    if ports().any(|port| port.protocol.as_deref() == Some("SCTP")) {
        reasons.push("ports not supported: protocol SCTP".to_owned());
    }
    reasons.extend(volumes(spec));
    reasons.extend(lifecycle(spec));
    let most = if init { CONTAINERS - 1 } else { CONTAINERS };
    if spec.containers.len() > most {
        let beside = if init { " beside the provider's own" } else { "" };
        let asked = spec.containers.len();
        reasons.push(format!("{asked} containers: a task definition holds {most}{beside}"));
    }
    if spec.containers.iter().any(|container| container.name == init::NAME) {
        reasons.push(format!("the container name {} is the provider's own", init::NAME));
    }
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    if spec.containers.len() > 1 && policy != "Always" {
        reasons.push(format!(
            "restartPolicy {policy} not supported with several containers: the first exit ends a task"
        ));
    }
    for container in &spec.containers {
        if container.image.as_deref().unwrap_or_default().is_empty() {
            reasons.push(format!("no image (container {})", container.name));
        }
        reasons.extend(env::unsupported(container));
        reasons.extend(health::check(container).err().into_iter().flatten());
    }
    reasons.extend(size::plan(spec).err().into_iter().flatten());
    reasons
}

/// Fields of the spec and of its containers, each named once.
fn fields(spec: &PodSpec, init: bool) -> Vec<&'static str> {
    let yes = |flag: Option<bool>| flag == Some(true);
    let any = |has: fn(&Container) -> bool| spec.containers.iter().any(has);
    let linux = spec.os.as_ref().is_none_or(|os| os.name == "linux");
    let fields = [
        ("HostNetwork", yes(spec.host_network)),
        ("HostPID", yes(spec.host_pid)),
        ("HostIPC", yes(spec.host_ipc)),
        ("HostUsers", spec.host_users == Some(false)),
        ("HostAliases", !init && spec.host_aliases.as_ref().is_some_and(|aliases| !aliases.is_empty())),
        ("HostnameOverride", spec.hostname_override.is_some()),
        ("SetHostnameAsFQDN", yes(spec.set_hostname_as_fqdn)),
        ("ShareProcessNamespace", yes(spec.share_process_namespace)),
        ("DNSConfig", !init && (spec.dns_config.is_some() || spec.dns_policy.as_deref() == Some("None"))),
        ("ImagePullSecrets", spec.image_pull_secrets.as_ref().is_some_and(|secrets| !secrets.is_empty())),
        ("InitContainers", spec.init_containers.as_ref().is_some_and(|containers| !containers.is_empty())),
        ("ResourceClaims", spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty())),
        ("RuntimeClassName", spec.runtime_class_name.as_ref().is_some_and(|class| !class.is_empty())),
        ("OS", !linux),
        ("VolumeDevices", any(|c| c.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()))),
        ("RestartPolicy of a container", any(|c| c.restart_policy.is_some())),
        (
            "RestartPolicyRules",
            any(|c| c.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty())),
        ),
    ];
    fields.into_iter().filter_map(|(name, asked)| asked.then_some(name)).collect()
}

fn volumes(spec: &PodSpec) -> Vec<String> {
    let refused = spec.volumes.iter().flatten().filter(|volume| !is_service_account_volume(volume));
    refused
        .map(|volume| format!("volumes not supported: {} is of an unsupported volume Type", volume.name))
        .collect()
}

/// The volume that the ServiceAccount admission adds to every pod (`plugin/pkg/admission/serviceaccount`): a projected
/// volume of that name with the account's token. It is left out.
fn is_service_account_volume(volume: &Volume) -> bool {
    let token = volume
        .projected
        .as_ref()
        .and_then(|projected| projected.sources.as_ref())
        .is_some_and(|sources| sources.iter().any(|source| source.service_account_token.is_some()));
    volume.name.starts_with("kube-api-access-") && token
}

fn lifecycle(spec: &PodSpec) -> Vec<String> {
    let mut reasons = Vec::new();
    for container in &spec.containers {
        let Some(lifecycle) = &container.lifecycle else { continue };
        let kind = |hook: &LifecycleHandler| {
            let kinds = [
                ("exec", hook.exec.is_some()),
                ("httpGet", hook.http_get.is_some()),
                ("sleep", hook.sleep.is_some()),
                ("tcpSocket", hook.tcp_socket.is_some()),
            ];
            kinds.into_iter().find_map(|(kind, asked)| asked.then_some(kind)).unwrap_or("of no kind")
        };
        let start = lifecycle.post_start.as_ref().map(|hook| {
            format!("postStart {}: nothing can be done in a task as its container starts", kind(hook))
        });
        // The provider itself sends the request or waits before StopTask; nothing of it is inside the task.
        let stop = lifecycle.pre_stop.as_ref().map(kind).filter(|kind| !["httpGet", "sleep"].contains(kind));
        let stop = stop.map(|kind| match kind {
            "exec" => "preStop exec: nothing runs a command in a task".to_owned(),
            kind => format!("preStop {kind}"),
        });
        let signal = lifecycle.stop_signal.as_ref();
        let signal = signal.map(|signal| format!("stopSignal {signal}: ECS sends the image's own"));
        for what in [start, stop, signal].into_iter().flatten() {
            reasons.push(format!("lifecycle not supported: {what} (container {})", container.name));
        }
    }
    reasons
}
