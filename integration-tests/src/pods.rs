//! Pods: creating, waiting, reading.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::wait;
use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

/// The annotation in which the provider records a pod's task.
const TASK_ARN: &str = "neargate.dev/task-arn";

/// A pod on `node` of one container `main` that runs the fixture with `args`, never restarted.
pub fn pod(node: &str, name: &str, args: &[&str]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "nodeSelector": { "kubernetes.io/hostname": node },
            "tolerations": [{ "key": "virtual-kubelet.io/provider", "operator": "Exists" }],
            "containers": [{
                "name": "main",
                "image": "neargate/fixture:latest",
                "imagePullPolicy": "IfNotPresent",
                "args": args,
            }],
        },
    })
}

/// An object of `fixtures/`, its pod (itself, or its template's) put onto `node`.
pub fn fixture(path: &str, node: &str) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(crate::fixture(path)).with_context(|| format!("reading {path}"))?;
    let mut object: Value = serde_yaml_ng::from_str(&text).with_context(|| format!("reading {path}"))?;
    let spec =
        if object["kind"] == "Pod" { &mut object["spec"] } else { &mut object["spec"]["template"]["spec"] };
    spec["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
    Ok(object)
}

/// The pods of a namespace.
#[derive(Clone, Debug)]
pub struct Pods {
    api: Api<Pod>,
    namespace: String,
}

impl Pods {
    pub fn of(cluster: &Cluster, namespace: &str) -> Self {
        Self { api: Api::namespaced(cluster.client.clone(), namespace), namespace: namespace.to_owned() }
    }

    pub async fn create(&self, pod: Value) -> anyhow::Result<()> {
        let pod: Pod = serde_json::from_value(pod).context("reading a pod")?;
        self.api.create(&PostParams::default(), &pod).await.context("creating a pod")?;
        Ok(())
    }

    /// The pod as JSON; `None` if it is gone.
    pub async fn find(&self, name: &str) -> anyhow::Result<Option<Value>> {
        let pod = self.api.get_opt(name).await.with_context(|| format!("reading the pod {name}"))?;
        pod.map(|pod| serde_json::to_value(pod).context("encoding a pod")).transpose()
    }

    pub async fn get(&self, name: &str) -> anyhow::Result<Value> {
        self.find(name).await?.with_context(|| format!("the pod {name} is gone"))
    }

    /// All pods of the namespace.
    pub async fn all(&self) -> anyhow::Result<Vec<Value>> {
        self.labelled("").await
    }

    /// The pods that a label selector chooses.
    pub async fn labelled(&self, selector: &str) -> anyhow::Result<Vec<Value>> {
        let list = self.api.list(&ListParams::default().labels(selector)).await.context("listing pods")?;
        list.items.into_iter().map(|pod| serde_json::to_value(pod).context("encoding a pod")).collect()
    }

    /// Waits until the pod satisfies `holds`.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        within: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        wait::until(&format!("pod {}/{name} {what}", self.namespace), within, async || {
            let pod = self.get(name).await.map_err(|error| crate::chain(&error))?;
            if holds(&pod) { Ok(pod) } else { Err(pod["status"].to_string()) }
        })
        .await
    }

    pub async fn phase(&self, name: &str, phase: &str) -> anyhow::Result<Value> {
        self.until(name, &format!("is {phase}"), wait::seconds(90), |pod| pod["status"]["phase"] == phase)
            .await
    }

    pub async fn ready(&self, name: &str) -> anyhow::Result<Value> {
        self.until(name, "is Ready", wait::seconds(90), |pod| condition(pod, "Ready") == "True").await
    }

    /// Waits until the pod's object is gone.
    pub async fn gone(&self, name: &str) -> anyhow::Result<()> {
        wait::until(&format!("pod {}/{name} is gone", self.namespace), wait::seconds(90), async || match self
            .find(name)
            .await
            .map_err(|error| crate::chain(&error))?
        {
            None => Ok(()),
            Some(pod) => Err(pod["status"].to_string()),
        })
        .await
    }
}

/// The status of a condition; empty if the pod does not have it.
pub fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let conditions = pod["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == kind));
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}

/// The first container's status.
pub fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

/// The ARN of the pod's task.
pub fn task_arn(pod: &Value) -> anyhow::Result<String> {
    let arn = pod["metadata"]["annotations"][TASK_ARN].as_str().map(str::to_owned);
    arn.with_context(|| format!("the pod {} has no task", pod["metadata"]["name"]))
}

/// The pod's own address.
pub fn address(pod: &Value) -> anyhow::Result<String> {
    pod["status"]["podIP"].as_str().map(str::to_owned).context("the pod has no address")
}

/// Sends a request to the fixture's web server in the pod; returns the response.
pub async fn ask(pod: &Value, method: &str, path: &str) -> anyhow::Result<String> {
    let url = format!("http://{}:8080{path}", address(pod)?);
    let method = method.parse().context("an HTTP method")?;
    let answer = reqwest::Client::new().request(method, &url).send().await.with_context(|| url.clone())?;
    answer.text().await.with_context(|| url)
}

/// The pod's name.
pub fn name(pod: &Value) -> anyhow::Result<&str> {
    pod["metadata"]["name"].as_str().context("a pod without a name")
}
