//! The node object. Pure: options, standing and the API server's object in, what is written out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus,
        NodeSystemInfo, Taint,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::{options::Options, readiness::Standing};

/// The label that marks a node as virtual (`virtual-kubelet/virtual-kubelet`, `node/node.go`).
const TYPE: (&str, &str) = ("type", "virtual-kubelet");

/// The node as it is created: what must be set from the first instant, so that no pod is bound to it that does not
/// tolerate it. The rest is applied.
pub(super) fn seed(options: &Options) -> Node {
    Node {
        metadata: ObjectMeta {
            name: Some(options.node.name.clone()),
            labels: Some(BTreeMap::from([(TYPE.0.to_owned(), TYPE.1.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec { taints: Some(options.registration.taints.clone()), ..NodeSpec::default() }),
        status: None,
    }
}

/// Whether a node of our name is a virtual one, and not a machine's.
pub(super) fn is_virtual(node: &Node) -> bool {
    node.metadata.labels.as_ref().and_then(|labels| labels.get(TYPE.0)).is_some_and(|of| of == TYPE.1)
}

/// The labels that are ours, for server-side apply.
pub(super) fn labels(options: &Options) -> Value {
    let Options { node, registration, architecture, .. } = options;
    let mut labels: BTreeMap<&str, &str> = BTreeMap::from([
        TYPE,
        ("kubernetes.io/role", "agent"),
        ("kubernetes.io/hostname", &node.name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture.kubernetes()),
        // A load balancer that sends to nodes would find no kube-proxy here.
        ("node.kubernetes.io/exclude-from-external-load-balancers", "true"),
    ]);
    labels.extend(registration.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": node.name, "labels": labels },
    })
}

/// All taints that an existing node must have, if it lacks one of ours; its others stay.
pub(super) fn taints(options: &Options, existing: &Node) -> Option<Vec<Taint>> {
    let there = existing.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let ours = &options.registration.taints;
    let missing: Vec<Taint> = ours
        .iter()
        .filter(|ours| !there.iter().any(|taint| taint.key == ours.key && taint.effect == ours.effect))
        .cloned()
        .collect();
    (!missing.is_empty()).then(|| [there, missing].concat())
}

/// The whole status, for server-side apply. `known` is the node as the API server has it: a condition keeps
/// the time of its last change from there.
pub(super) fn status(options: &Options, standing: &Standing, known: &Node, now: Timestamp) -> Value {
    let Options { node, registration, architecture, kubelet_port, platform_version } = options;
    let offered = &registration.capacity;
    let capacity = BTreeMap::from([
        ("cpu".to_owned(), offered.cpu.clone()),
        ("memory".to_owned(), offered.memory.clone()),
        ("ephemeral-storage".to_owned(), offered.storage.clone()),
        ("pods".to_owned(), offered.pods.clone()),
    ]);
    let address = |type_: &str, address: String| NodeAddress { type_: type_.to_owned(), address };
    let status = NodeStatus {
        // A Fargate task has its size to itself: nothing is reserved for a system.
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        addresses: Some(vec![
            address("InternalIP", node.ip.to_string()),
            address("Hostname", node.name.clone()),
        ]),
        conditions: Some(conditions(standing, known, now)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(*kubelet_port) }),
        }),
        node_info: Some(NodeSystemInfo {
            architecture: architecture.kubernetes().to_owned(),
            operating_system: "linux".to_owned(),
            os_image: "AWS Fargate".to_owned(),
            container_runtime_version: format!("fargate://{platform_version}"),
            // The version of Kubernetes whose API is spoken here, and ours.
            kubelet_version: concat!("v1.34.0-neargate.", env!("CARGO_PKG_VERSION")).to_owned(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    };
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node.name }, "status": status })
}

/// Whether the API server's object has the Ready condition that we would write: otherwise another client wrote it (the
/// node controller sets a node to Unknown if its lease is late) and it is written again.
pub(super) fn is_current(known: &Node, standing: &Standing) -> bool {
    let wanted = if *standing == Standing::Ready { "True" } else { "False" };
    let conditions = known.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == wanted)
}

/// The kubelet's conditions with the kubelet's reasons (`pkg/kubelet/nodestatus/setters.go`).
fn conditions(standing: &Standing, known: &Node, now: Timestamp) -> Vec<NodeCondition> {
    let ready = match standing {
        Standing::Ready => ("Ready", "True", "KubeletReady", "kubelet is posting ready status".to_owned()),
        Standing::NotReady(why) => ("Ready", "False", "KubeletNotReady", why.clone()),
    };
    let never = |type_, reason, message: &str| (type_, "False", reason, message.to_owned());
    let known = known.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    [
        never("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        never("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        never("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        never("NetworkUnavailable", "RouteCreated", "each task has its own network interface"),
        ready,
    ]
    .into_iter()
    .map(|(type_, status, reason, message)| {
        let before = known.iter().find(|known| known.type_ == type_ && known.status == status);
        NodeCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: before
                .and_then(|before| before.last_transition_time.clone())
                .or(Some(Time(now))),
        }
    })
    .collect()
}
