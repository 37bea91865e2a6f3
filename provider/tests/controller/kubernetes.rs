//! A Kubernetes API server in memory, as small as the controller's use of it: pods, their status, events; list and watch; resource
//! versions, conflicts, UID preconditions, grace periods.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

#[derive(Default)]
struct State {
    version: u64,
    pods: BTreeMap<String, Value>,
    events: Vec<Value>,
    watchers: Vec<mpsc::UnboundedSender<Value>>,
    /// Watches from versions before this one are Gone.
    oldest: u64,
    down: bool,
    /// Events are never answered.
    mute: bool,
    /// Writes of a status that are never answered.
    unanswered: usize,
    /// Deletions that are refused without a reason.
    refused: usize,
    writes: BTreeMap<String, usize>,
}

/// The server; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Server {
    /// A client of it.
    pub(crate) fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        kube::Client::new(service, "default")
    }

    /// Creates a pod that is bound already, as the scheduler would have left it.
    pub(crate) fn create(&self, pod: Value, uid: &str) {
        self.put(bound(pod, uid), "ADDED");
    }

    /// The same, and no watch shows it.
    pub(crate) fn create_unseen(&self, pod: Value, uid: &str) {
        let mut state = self.state.lock();
        let watchers = std::mem::take(&mut state.watchers);
        store(&mut state, bound(pod, uid), "ADDED");
        state.watchers = watchers;
    }

    /// What `kubectl delete` does first: the deletion is requested; the node is to end it.
    pub(crate) fn ask_to_delete(&self, name: &str) {
        let mut pod = self.pod(name).expect("a pod of this server");
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        self.put(pod, "MODIFIED");
    }

    /// The same, at this time.
    pub(crate) fn ask_to_delete_at(&self, name: &str, now: jiff::Timestamp, grace: i64) {
        let over = jiff::Timestamp::from_second(now.as_second() + grace).expect("a time in 2026");
        self.edit(name, |pod| {
            pod["metadata"]["deletionTimestamp"] = json!(over.to_string());
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        });
    }

    /// What `kubectl delete --force` does: the object is gone at once.
    pub(crate) fn force_delete(&self, name: &str) {
        let mut state = self.state.lock();
        let pod = state.pods.remove(name).expect("a pod of this server");
        notify(&mut state, "DELETED", &pod);
    }

    /// The object is gone, and no watch shows it.
    pub(crate) fn vanish(&self, name: &str) {
        let mut state = self.state.lock();
        state.pods.remove(name).expect("a pod of this server");
        state.version += 1;
    }

    /// Every watch ends, and what has happened so far is Gone: the pods must be listed again.
    pub(crate) fn expire(&self) {
        let mut state = self.state.lock();
        state.oldest = state.version;
        state.watchers.clear();
    }

    /// From now on every response is 503, and every watch ends.
    pub(crate) fn go_down(&self) {
        let mut state = self.state.lock();
        state.down = true;
        state.watchers.clear();
    }

    /// Requests are answered again.
    pub(crate) fn come_back(&self) {
        self.state.lock().down = false;
    }

    /// From now on a request to write an event is never answered.
    pub(crate) fn never_answer_events(&self) {
        self.state.lock().mute = true;
    }

    /// The next writes of a status are never answered, and do nothing.
    pub(crate) fn leave_unanswered(&self, writes: usize) {
        self.state.lock().unanswered = writes;
    }

    /// The next deletion is refused.
    pub(crate) fn refuse_next_deletion(&self) {
        self.state.lock().refused = 1;
    }

    /// Changes the pod behind the controller's back.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut pod = self.pod(name).expect("a pod of this server");
        edit(&mut pod);
        self.put(pod, "MODIFIED");
    }

    /// The pod as it is.
    pub(crate) fn pod(&self, name: &str) -> Option<Value> {
        self.state.lock().pods.get(name).cloned()
    }

    /// How many pods satisfy `is`.
    pub(crate) fn count(&self, is: impl Fn(&Value) -> bool) -> usize {
        self.state.lock().pods.values().filter(|pod| is(pod)).count()
    }

    /// The events on the pod: reason and note.
    pub(crate) fn events(&self, name: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = self.state.lock();
        let of_pod = state.events.iter().filter(|event| event["regarding"]["name"] == name);
        of_pod.map(|event| (text(&event["reason"]), text(&event["note"]))).collect()
    }

    /// How often the pod's status has been written.
    pub(crate) fn status_writes(&self, name: &str) -> usize {
        self.state.lock().writes.get(name).copied().unwrap_or(0)
    }

    fn put(&self, pod: Value, kind: &str) {
        let mut state = self.state.lock();
        store(&mut state, pod, kind);
    }

    async fn answer(&self, request: Request<Body>) -> Result<Answer, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let path = parts.uri.path().trim_matches('/').to_owned();
        let path: Vec<&str> = path.split('/').collect();
        let State { down, mute, .. } = *self.state.lock();
        if down {
            return Ok(failure(503, "ServiceUnavailable", "the server is down"));
        }
        if mute && path[1] == "events.k8s.io" {
            return std::future::pending().await;
        }
        Ok(match (parts.method, path.as_slice()) {
            (Method::GET, ["api", "v1", "pods"]) if query.contains("watch=true") => self.watch(&query),
            (Method::GET, ["api", "v1", "pods"]) => {
                assert!(
                    query.contains("fieldSelector=spec.nodeName%3Dfargate"),
                    "only the node's pods: {query}"
                );
                let state = self.state.lock();
                let items: Vec<_> = state.pods.values().cloned().collect();
                let version = state.version.to_string();
                say(
                    200,
                    &json!({ "kind": "PodList", "apiVersion": "v1", "metadata": { "resourceVersion": version }, "items": items }),
                )
            }
            (Method::PUT, ["api", "v1", "namespaces", _, "pods", name, "status"]) => {
                if take(&mut self.state.lock().unanswered) {
                    return std::future::pending().await;
                }
                self.replace_status(name, &body)
            }
            (Method::PATCH, ["api", "v1", "namespaces", _, "pods", name]) => self.patch(name, &body),
            (Method::DELETE, ["api", "v1", "namespaces", _, "pods", name]) => self.delete(name, &body),
            (Method::POST, ["apis", "events.k8s.io", "v1", "namespaces", _, "events"]) => {
                // `len` of a Go string, as in `validateV1EventSeries`, counts bytes.
                if body["note"].as_str().is_none_or(|note| note.len() > 1_024) {
                    return Ok(failure(422, "Invalid", "note: can have at most 1024 characters"));
                }
                self.state.lock().events.push(body.clone());
                say(201, &body)
            }
            (Method::PATCH, ["apis", "events.k8s.io", "v1", "namespaces", _, "events", _]) => say(200, &body),
            (method, path) => panic!("unexpected request of the controller: {method} {path:?}"),
        })
    }

    fn watch(&self, query: &str) -> Answer {
        let (sender, receiver) = mpsc::unbounded_channel();
        let since: u64 = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("resourceVersion="))
            .and_then(|version| version.parse().ok())
            .unwrap_or(0);
        let mut state = self.state.lock();
        if since < state.oldest {
            let gone = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "reason": "Expired", "message": "too old resource version", "code": 410,
            });
            let _ = sender.send(json!({ "type": "ERROR", "object": gone }));
        }
        // Everything that has changed since the list was made.
        for pod in state.pods.values() {
            let version =
                pod["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
            if version.is_some_and(|version: u64| version > since) {
                let _ = sender.send(json!({ "type": "MODIFIED", "object": pod }));
            }
        }
        state.watchers.push(sender);
        let lines = UnboundedReceiverStream::new(receiver)
            .map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{event}\n")))));
        Response::new(BodyExt::boxed(StreamBody::new(lines.map_err(|never| match never {}))))
    }

    fn replace_status(&self, name: &str, body: &Value) -> Answer {
        let mut state = self.state.lock();
        let Some(current) = state.pods.get(name).cloned() else { return not_found(name) };
        if body["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"]
            || body["metadata"]["uid"] != current["metadata"]["uid"]
        {
            return conflict(name);
        }
        let mut pod = current;
        pod["status"] = body["status"].clone();
        *state.writes.entry(name.to_owned()).or_default() += 1;
        say(200, &store(&mut state, pod, "MODIFIED"))
    }

    fn patch(&self, name: &str, patch: &Value) -> Answer {
        let mut state = self.state.lock();
        let Some(mut pod) = state.pods.get(name).cloned() else { return not_found(name) };
        if patch["metadata"]["uid"] != pod["metadata"]["uid"] {
            return conflict(name);
        }
        for (key, value) in patch["metadata"]["annotations"].as_object().into_iter().flatten() {
            pod["metadata"]["annotations"][key] = value.clone();
        }
        say(200, &store(&mut state, pod, "MODIFIED"))
    }

    fn delete(&self, name: &str, options: &Value) -> Answer {
        let mut state = self.state.lock();
        if take(&mut state.refused) {
            return conflict(name);
        }
        let Some(pod) = state.pods.get(name).cloned() else { return not_found(name) };
        if options["preconditions"]["uid"] != pod["metadata"]["uid"] {
            return conflict(name);
        }
        assert_eq!(options["gracePeriodSeconds"], 0, "only the node may end a deletion, and at once");
        state.pods.remove(name);
        notify(&mut state, "DELETED", &pod);
        say(200, &pod)
    }
}

fn bound(mut pod: Value, uid: &str) -> Value {
    pod["metadata"]["namespace"] = json!("default");
    pod["metadata"]["uid"] = json!(uid);
    pod["spec"]["nodeName"] = json!("fargate");
    pod["status"] = json!({ "phase": "Pending", "qosClass": "BestEffort" });
    pod
}

/// Takes one; whether one was left.
fn take(left: &mut usize) -> bool {
    let one = *left > 0;
    *left = left.saturating_sub(1);
    one
}

fn store(state: &mut State, mut pod: Value, kind: &str) -> Value {
    state.version += 1;
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["resourceVersion"] = json!(state.version.to_string());
    let name = pod["metadata"]["name"].as_str().expect("a named pod").to_owned();
    state.pods.insert(name, pod.clone());
    notify(state, kind, &pod);
    pod
}

fn notify(state: &mut State, kind: &str, pod: &Value) {
    let event = json!({ "type": kind, "object": pod });
    state.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
}

fn say(code: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string()));
    let response = Response::builder().status(code).header("content-type", "application/json");
    response.body(BodyExt::boxed(body)).expect("a valid answer")
}

fn not_found(name: &str) -> Answer {
    failure(404, "NotFound", &format!("pods {name:?} not found"))
}

fn conflict(name: &str) -> Answer {
    failure(409, "Conflict", &format!("the object {name:?} has been modified"))
}

fn failure(code: u16, reason: &str, message: &str) -> Answer {
    say(
        code,
        &json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "message": message, "code": code,
        }),
    )
}
