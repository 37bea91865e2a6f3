//! A container's environment: values, the downward API, `$(VAR)`.
//!
//! As in the kubelet (`pkg/kubelet/kubelet_pods.go`, `makeEnvironmentVariables`) and its expansion package: a
//! variable sees those before it, `$$` is a dollar, an unknown name stays as it is written. The variables of Services
//! that a kubelet adds are left out: their addresses belong to the cluster's network, not to the task's.
//!
//! A value is *own* if it differs from one replica of the pod to the next; own values are passed in RunTask's overrides,
//! so that replicas share a task definition.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod};
use kube::ResourceExt;

use super::size::Size;
use crate::{nodes::Node, quantity};

/// The variable that the runtime of a kubelet's containers sets.
const HOSTNAME: &str = "HOSTNAME";

/// A text, and whether it is the pod's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value {
    /// The text.
    pub text: String,
    /// Whether another replica of the pod would have another text.
    pub own: bool,
}

/// The container's environment: names in the order of first mention, the last value of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    names: Vec<String>,
    values: BTreeMap<String, Value>,
    /// `HOSTNAME`, which is the container's runtime's: nothing sees it expanded.
    hostname: Option<Value>,
}

impl Environment {
    fn set(&mut self, name: &str, value: Value) {
        if self.values.insert(name.to_owned(), value).is_none() {
            self.names.push(name.to_owned());
        }
    }

    /// Each variable, in order. The pod's own `HOSTNAME` wins over the runtime's.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let hostname = self.hostname.iter().filter(|_| !self.values.contains_key(HOSTNAME));
        self.names
            .iter()
            .filter_map(|name| self.values.get(name).map(|value| (name.as_str(), value)))
            .chain(hostname.map(|value| (HOSTNAME, value)))
    }

    /// The text with its references to these variables replaced.
    #[must_use]
    pub fn expand(&self, text: &str) -> Value {
        let mut expanded = Value::default();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            expanded.text.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            rest = match after.as_bytes().first() {
                Some(b'$') => {
                    expanded.text.push('$');
                    &after[1..]
                }
                Some(b'(') => match after.find(')') {
                    Some(end) => {
                        match self.values.get(&after[1..end]) {
                            Some(value) => {
                                expanded.text.push_str(&value.text);
                                expanded.own |= value.own;
                            }
                            None => expanded.text.push_str(&rest[at..=at + 1 + end]),
                        }
                        &after[end + 1..]
                    }
                    None => {
                        expanded.text.push_str("$(");
                        &after[1..]
                    }
                },
                _ => {
                    expanded.text.push('$');
                    after
                }
            };
        }
        expanded.text.push_str(rest);
        expanded
    }
}

/// Why a variable can't be set; each names the field, the variable and the container.
#[must_use]
pub fn unsupported(container: &Container) -> Vec<String> {
    let mut reasons = Vec::new();
    for source in container.env_from.iter().flatten() {
        let kind = match (&source.config_map_ref, &source.secret_ref) {
            (Some(reference), _) => format!("configMapRef {}", reference.name),
            (_, Some(reference)) => format!("secretRef {}", reference.name),
            _ => "an unknown source".to_owned(),
        };
        reasons.push(format!("envFrom not supported: {kind} (container {})", container.name));
    }
    for variable in container.env.iter().flatten() {
        let Some(source) = &variable.value_from else { continue };
        if let Some(what) = unsupported_source(source) {
            let (name, container) = (&variable.name, &container.name);
            reasons.push(format!("env valueFrom not supported: {what} of {name} (container {container})"));
        }
    }
    reasons
}

fn unsupported_source(source: &EnvVarSource) -> Option<String> {
    if let Some(field) = &source.field_ref {
        return (!is_field(&field.field_path)).then(|| format!("fieldRef {}", field.field_path));
    }
    if let Some(field) = &source.resource_field_ref {
        let known = ["cpu", "memory", "ephemeral-storage"].iter().any(|resource| {
            field.resource.strip_prefix("limits.").or_else(|| field.resource.strip_prefix("requests."))
                == Some(resource)
        });
        return (!known).then(|| format!("resourceFieldRef {}", field.resource));
    }
    Some(if source.config_map_key_ref.is_some() {
        "configMapKeyRef".to_owned()
    } else if source.secret_key_ref.is_some() {
        "secretKeyRef".to_owned()
    } else {
        "its source".to_owned()
    })
}

fn is_field(path: &str) -> bool {
    const FIELDS: [&str; 7] = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
    ];
    FIELDS.contains(&path)
        || subscript(path, "metadata.labels").or_else(|| subscript(path, "metadata.annotations")).is_some()
}

/// The key of `map['key']`.
fn subscript<'a>(path: &'a str, map: &str) -> Option<&'a str> {
    path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']")
}

/// The environment of `container` on `node`; variables that [`unsupported`] names are left out. `hostname` is `HOSTNAME`,
/// if the provider sets it.
#[must_use]
pub fn environment(
    pod: &Pod,
    container: &Container,
    size: Size,
    hostname: Option<&Value>,
    node: &Node,
) -> Environment {
    let mut environment = Environment { hostname: hostname.cloned(), ..Environment::default() };
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => environment.expand(variable.value.as_deref().unwrap_or_default()),
            Some(source) => {
                let field = source.field_ref.as_ref();
                let own = field.and_then(|field| field_value(pod, &field.field_path, node));
                let resource = source.resource_field_ref.as_ref().and_then(|selector| {
                    // A selector without a name means its own container.
                    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
                    let of = pod
                        .spec
                        .iter()
                        .flat_map(|spec| &spec.containers)
                        .find(|other| Some(other.name.as_str()) == named)
                        .unwrap_or(container);
                    let divisor = selector.divisor.as_ref().map_or("0", |divisor| divisor.0.as_str());
                    resource_value(of, &selector.resource, divisor, size)
                });
                match own.or(resource) {
                    Some(value) => value,
                    None => continue,
                }
            }
        };
        environment.set(&variable.name, value);
    }
    environment
}

fn field_value(pod: &Pod, path: &str, node: &Node) -> Option<Value> {
    let own = |text: &str| Some(Value { text: text.to_owned(), own: true });
    if let Some(key) = subscript(path, "metadata.labels") {
        return own(pod.labels().get(key).map_or("", String::as_str));
    }
    if let Some(key) = subscript(path, "metadata.annotations") {
        return own(pod.annotations().get(key).map_or("", String::as_str));
    }
    match path {
        "metadata.name" => own(&pod.name_any()),
        "metadata.namespace" => own(&pod.namespace().unwrap_or_default()),
        "metadata.uid" => own(&pod.uid().unwrap_or_default()),
        "spec.serviceAccountName" => {
            own(pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or_default())
        }
        // The same for every pod of the node.
        "spec.nodeName" => Some(Value { text: node.name.clone(), own: false }),
        "status.hostIP" | "status.hostIPs" => Some(Value { text: node.ip.to_string(), own: false }),
        _ => None,
    }
}

/// A request or limit, divided and rounded up; a limit that is not set is the task's size, as a kubelet uses the node's.
/// (`k8s.io/kubectl/pkg/util/resource`, `ExtractContainerResourceValue`.)
fn resource_value(container: &Container, resource: &str, divisor: &str, size: Size) -> Option<Value> {
    let (list, name) = resource.split_once('.')?;
    let resources = container.resources.as_ref();
    let set = match list {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        _ => resources.and_then(|resources| resources.requests.as_ref()),
    }
    .and_then(|amounts| amounts.get(name));
    let milli = |text: &str| {
        quantity::milli(&k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.to_owned())).ok()
    };
    // Thousandths throughout, so that a divisor of 1m is exact.
    let amount = match (set, list, name) {
        (Some(amount), _, _) => quantity::milli(amount).ok()?,
        (None, "limits", "cpu") => size.cpu.checked_mul(1000)? / 1024,
        (None, "limits", "memory") => size.memory.checked_mul(1 << 20)?.checked_mul(1000)?,
        _ => 0,
    };
    let divisor = milli(divisor).filter(|&divisor| divisor > 0).unwrap_or(1000);
    Some(Value { text: amount.div_ceil(divisor).to_string(), own: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_expanded_as_the_kubelet_expands_them() {
        let mut environment = Environment::default();
        environment.set("A", Value { text: "1".to_owned(), own: false });
        environment.set("POD", Value { text: "web-0".to_owned(), own: true });
        // From k8s.io/kubernetes/third_party/forked/golang/expansion, the cases that differ in kind.
        let cases = [
            ("", "", false),
            ("plain", "plain", false),
            ("$(A)", "1", false),
            ("x$(A)y$(A)z", "x1y1z", false),
            ("$(POD)-$(A)", "web-0-1", true),
            ("$(NOPE)", "$(NOPE)", false),
            ("$$(A)", "$(A)", false),
            ("$$$(A)", "$1", false),
            ("$$", "$", false),
            ("$", "$", false),
            ("a$", "a$", false),
            ("$A", "$A", false),
            ("$(A", "$(A", false),
            ("$(", "$(", false),
            ("$()", "$()", false),
            ("$((A))", "$((A))", false),
            ("$ä$(A)", "$ä1", false),
        ];
        for (text, expanded, own) in cases {
            assert_eq!(environment.expand(text), Value { text: expanded.to_owned(), own }, "{text:?}");
        }
    }
}
