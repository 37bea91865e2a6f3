//! A Pod's probe in the form in which it is run: defaults filled in, ports resolved.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, USER_AGENT},
};
use k8s_openapi::{
    api::core::v1::{ContainerPort, HTTPGetAction, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::machine::Which;

/// The kubelet's user agent for probes.
pub(super) const AGENT: &str = "kube-probe/1.34";

/// The kubelet's user agent for hooks.
const HOOK_AGENT: &str = "kube-lifecycle/1.34";

/// Times and thresholds. Kubernetes's defaults (`core/v1` `Probe`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    pub(super) initial_delay: Duration,
    pub(super) period: Duration,
    pub(super) timeout: Duration,
    pub(super) success_threshold: u32,
    pub(super) failure_threshold: u32,
}

impl Timing {
    pub(super) fn of(probe: &Probe) -> Self {
        // Zero means "not given" to Kubernetes; it accepts nothing below zero.
        let given =
            |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0);
        let seconds = |value, default| Duration::from_secs(u64::from(given(value).unwrap_or(default)));
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            success_threshold: given(probe.success_threshold).unwrap_or(1),
            failure_threshold: given(probe.failure_threshold).unwrap_or(3),
        }
    }
}

/// The check of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// A GET that must answer 200 to 399.
    Http(Get),
    /// A connection that must be established.
    Tcp { host: String, port: u16 },
    /// `grpc.health.v1.Health/Check` that must answer SERVING.
    Grpc { host: String, port: u16, service: String },
    /// A GET that must be answered, with any status.
    Hook(Get),
    /// No check is possible, for this reason.
    Impossible(String),
}

/// An HTTP request of a probe or of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Get {
    pub(super) https: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, in the form of the request line.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
}

impl Check {
    /// The check that a probe makes of the pod at `ip`; `None` for a probe that is not run from here.
    pub(super) fn of(probe: &Probe, ip: &str, ports: &[ContainerPort]) -> Option<Self> {
        let host = |given: &Option<String>| host(given, ip);
        let check = if let Some(http) = &probe.http_get {
            get(http, ip, ports, AGENT).map(Self::Http)
        } else if let Some(tcp) = &probe.tcp_socket {
            resolve(&tcp.port, ports).map(|port| Self::Tcp { host: host(&tcp.host), port })
        } else if let Some(grpc) = &probe.grpc {
            resolve(&IntOrString::Int(grpc.port), ports).map(|port| Self::Grpc {
                host: ip.to_owned(),
                port,
                service: grpc.service.clone().unwrap_or_default(),
            })
        } else {
            return None;
        };
        Some(check.unwrap_or_else(Self::Impossible))
    }

    /// The check that a `preStop` hook makes of the pod at `ip`. As in the kubelet (`pkg/kubelet/lifecycle/handlers.go`) any
    /// response is enough.
    pub(super) fn hook(action: &HTTPGetAction, ip: &str, ports: &[ContainerPort]) -> Self {
        get(action, ip, ports, HOOK_AGENT).map_or_else(Self::Impossible, Self::Hook)
    }
}

/// The host: the pod, unless another one is named.
fn host(given: &Option<String>, ip: &str) -> String {
    given.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| ip.to_owned())
}

/// A port by number or by the name that the container gives it (`ResolveContainerPort`).
fn resolve(port: &IntOrString, ports: &[ContainerPort]) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = ports.iter().find(|port| port.name.as_deref() == Some(name));
            match named.map(|port| port.container_port).or_else(|| name.parse().ok()) {
                Some(number) => number,
                None => return Err(format!("couldn't find port {name:?} of the container")),
            }
        }
    };
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("invalid port number: {number}"))
}

fn get(
    action: &HTTPGetAction,
    ip: &str,
    ports: &[ContainerPort],
    agent: &'static str,
) -> Result<Get, String> {
    let (host, port) = (host(&action.host, ip), resolve(&action.port, ports)?);
    let mut headers = HeaderMap::new();
    for header in action.http_headers.iter().flatten() {
        let name = HeaderName::try_from(&header.name)
            .map_err(|_| format!("invalid header name {:?}", header.name))?;
        let value = HeaderValue::from_str(&header.value)
            .map_err(|_| format!("invalid value of header {:?}", header.name))?;
        headers.append(name, value);
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
    // With an empty Accept a probe specifies that none is sent.
    match headers.get(ACCEPT) {
        None => drop(headers.insert(ACCEPT, HeaderValue::from_static("*/*"))),
        Some(accept) if accept.is_empty() => drop(headers.remove(ACCEPT)),
        Some(_) => {}
    }
    let https = action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    Ok(Get { https, host, port, target: target(action.path.as_deref().unwrap_or_default()), headers })
}

/// The path in the form of a request line: with a slash in front, without a fragment, and with invalid characters escaped.
pub(super) fn target(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let mut target = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                target.push_str(&format!("%{byte:02X}"))
            }
            0x21..=0x7e => target.push(char::from(byte)),
            _ => target.push_str(&format!("%{byte:02X}")),
        }
    }
    target
}

/// The offset within its period at which a probe begins if its container has been running for long: spread over the period, so
/// that a restart of the provider does not probe all containers at once. (A kubelet chooses at random.)
pub(super) fn offset(uid: &str, container: &str, which: Which, period: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (uid, container, which).hash(&mut hasher);
    let thousandths = u32::try_from(hasher.finish() % 1_000).unwrap_or(0);
    period * thousandths / 1_000
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn probe(json: Value) -> Probe {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_not_given_is_kubernetess_default() {
        let seconds = Duration::from_secs;
        let default = Timing {
            initial_delay: seconds(0),
            period: seconds(10),
            timeout: seconds(1),
            success_threshold: 1,
            failure_threshold: 3,
        };
        assert_eq!(Timing::of(&probe(json!({}))), default);
        assert_eq!(
            Timing::of(&probe(json!({ "periodSeconds": 0, "failureThreshold": 0, "timeoutSeconds": -1 }))),
            default
        );
        let given = json!({
            "initialDelaySeconds": 5, "periodSeconds": 2, "timeoutSeconds": 4, "successThreshold": 2, "failureThreshold": 7,
        });
        assert_eq!(
            Timing::of(&probe(given)),
            Timing {
                initial_delay: seconds(5),
                period: seconds(2),
                timeout: seconds(4),
                success_threshold: 2,
                failure_threshold: 7,
            }
        );
    }

    #[test]
    fn a_port_is_found_by_number_and_by_name_and_a_host_is_the_pod() {
        let ports = [ContainerPort {
            name: Some("web".to_owned()),
            container_port: 8080,
            ..ContainerPort::default()
        }];
        let check = |json| Check::of(&probe(json), "10.0.0.9", &ports);
        let tcp = |host: &str, port| Some(Check::Tcp { host: host.to_owned(), port });
        assert_eq!(check(json!({ "tcpSocket": { "port": 80 } })), tcp("10.0.0.9", 80));
        assert_eq!(check(json!({ "tcpSocket": { "port": "web" } })), tcp("10.0.0.9", 8080));
        assert_eq!(check(json!({ "tcpSocket": { "port": "81", "host": "other" } })), tcp("other", 81));
        let impossible = |why: &str| Some(Check::Impossible(why.to_owned()));
        assert_eq!(
            check(json!({ "tcpSocket": { "port": "db" } })),
            impossible("couldn't find port \"db\" of the container")
        );
        assert_eq!(
            check(json!({ "tcpSocket": { "port": 65536 } })),
            impossible("invalid port number: 65536")
        );
        assert_eq!(
            check(json!({ "grpc": { "port": 50051, "service": "s" } })),
            Some(Check::Grpc { host: "10.0.0.9".to_owned(), port: 50051, service: "s".to_owned() })
        );
        assert_eq!(check(json!({ "exec": { "command": ["true"] } })), None);
    }

    #[test]
    fn a_get_carries_the_probes_headers_and_the_kubelets_own() {
        let get = |action: Value| match Check::of(&probe(json!({ "httpGet": action })), "10.0.0.9", &[]) {
            Some(Check::Http(get)) => get,
            other => panic!("{other:?}"),
        };
        let plain = get(json!({ "port": 80, "path": "health?full=1" }));
        assert_eq!(
            (plain.https, &*plain.host, plain.port, &*plain.target),
            (false, "10.0.0.9", 80, "/health?full=1")
        );
        assert_eq!(
            (&plain.headers["user-agent"], &plain.headers["accept"]),
            (&AGENT.parse().unwrap(), &"*/*".parse().unwrap())
        );

        let dressed = get(json!({
            "port": 443, "scheme": "HTTPS", "host": "www.example.com",
            "httpHeaders": [
                { "name": "Accept", "value": "" },
                { "name": "User-Agent", "value": "me" },
                { "name": "X-A", "value": "1" },
                { "name": "X-A", "value": "2" },
            ],
        }));
        assert!(dressed.https && dressed.host == "www.example.com" && dressed.target == "/");
        assert!(!dressed.headers.contains_key("accept") && dressed.headers["user-agent"] == "me");
        assert_eq!(dressed.headers.get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn a_path_is_made_fit_for_a_request_line() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("/a b?c=d e#f", "/a%20b?c=d%20e"),
            ("/%41", "/%41"),
            ("/ü", "/%C3%BC"),
            ("/{x}", "/%7Bx%7D"),
        ] {
            assert_eq!(target(path), expected);
            assert!(target(path).parse::<http::uri::PathAndQuery>().is_ok(), "{path}");
        }
    }
}
