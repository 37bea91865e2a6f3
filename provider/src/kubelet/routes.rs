//! The kubelet's routes: those that are built and those that are only known.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use k8s_openapi::{
    List,
    api::core::v1::{Container, Pod, PodSpec},
};
use kube::{api::ObjectMeta, runtime::reflector::Store};

use super::{
    authn::{Authenticator, PeerCertificates},
    authz::{self, Attributes, Authorizer},
    logs::{self, Logs},
    strangers::Visitor,
};

/// The checks that every request passes.
#[derive(Debug)]
pub(super) struct AccessChecks {
    pub(super) authenticator: Authenticator,
    pub(super) authorizer: Authorizer,
}

/// Routes of a kubelet that answer 501 here, with their meaning.
const UNBUILT: [(&str, &str); 27] = [
    ("/exec/{namespace}/{pod}/{container}", "exec"),
    ("/exec/{namespace}/{pod}/{uid}/{container}", "exec"),
    ("/attach/{namespace}/{pod}/{container}", "attach"),
    ("/attach/{namespace}/{pod}/{uid}/{container}", "attach"),
    ("/run/{namespace}/{pod}/{container}", "run"),
    ("/run/{namespace}/{pod}/{uid}/{container}", "run"),
    ("/portForward/{namespace}/{pod}", "portForward"),
    ("/portForward/{namespace}/{pod}/{uid}", "portForward"),
    ("/checkpoint/{namespace}/{pod}/{container}", "checkpoint"),
    ("/stats/summary", "stats/summary"),
    ("/stats/summary/", "stats/summary"),
    ("/metrics", "metrics"),
    ("/metrics/cadvisor", "metrics/cadvisor"),
    ("/metrics/probes", "metrics/probes"),
    ("/metrics/resource", "metrics/resource"),
    ("/metrics/resource/", "metrics/resource"),
    ("/metrics/slis", "metrics/slis"),
    ("/configz", "configz"),
    ("/statusz", "statusz"),
    ("/flagz", "flagz"),
    ("/logs", "logs"),
    ("/logs/", "logs"),
    ("/logs/{*path}", "logs"),
    ("/debug/pprof/{*path}", "debug/pprof"),
    ("/debug/flags/v", "debug/flags/v"),
    ("/healthz/log", "healthz/log"),
    ("/healthz/syncloop", "healthz/syncloop"),
];

/// The API, behind its access checks.
pub(super) fn router(checks: Arc<AccessChecks>, logs: Logs) -> Router {
    let pods = logs.pods.clone();
    let mut router = Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::get).with_state(logs))
        .route("/pods", get(list).with_state(pods.clone()))
        .route("/pods/", get(list).with_state(pods.clone()))
        .route("/runningpods", get(running).with_state(pods.clone()))
        .route("/runningpods/", get(running).with_state(pods))
        .route("/healthz", get(healthy))
        .route("/healthz/ping", get(healthy));
    for (path, name) in UNBUILT {
        router = router.route(
            path,
            any(async move || (StatusCode::NOT_IMPLEMENTED, format!("501 not implemented: {name}\n"))),
        );
    }
    router
        .fallback(async || (StatusCode::NOT_FOUND, "404 page not found\n"))
        .layer(middleware::from_fn_with_state(checks, enter))
}

/// Admits a request, or refuses it in the kubelet's words.
async fn enter(
    State(checks): State<Arc<AccessChecks>>,
    Extension(peer): Extension<PeerCertificates>,
    Extension(visitor): Extension<Arc<Visitor>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(user) = checks.authenticator.authenticate(&peer, request.headers()).await else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    };
    let attributes = Attributes::of(request.method(), request.uri().path());
    match checks.authorizer.authorize(&user, attributes).await {
        Ok(()) => {
            visitor.introduce();
            next.run(request).await
        }
        Err(error @ authz::Error::Forbidden(_)) => (StatusCode::FORBIDDEN, error.to_string()).into_response(),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the API server did not review a caller's access; its request is refused"
            );
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

async fn healthy() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], "ok")
}

/// The pods bound to this node, as the API server has them.
async fn list(State(pods): State<Store<Pod>>) -> Json<List<Pod>> {
    let items = pods.state().into_iter().map(Arc::unwrap_or_clone).collect();
    Json(List { items, ..List::default() })
}

/// The pods that have a container running, with only those containers: what a kubelet's runtime knows of a pod.
async fn running(State(pods): State<Store<Pod>>) -> Json<List<Pod>> {
    let items = pods.state().iter().filter_map(|pod| running_part(pod)).collect();
    Json(List { items, ..List::default() })
}

fn running_part(pod: &Pod) -> Option<Pod> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    let containers: Vec<Container> = statuses
        .iter()
        .filter(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
        .map(|status| Container {
            name: status.name.clone(),
            image: Some(status.image.clone()),
            ..Container::default()
        })
        .collect();
    if containers.is_empty() {
        return None;
    }
    let ObjectMeta { name, namespace, uid, .. } = pod.metadata.clone();
    Some(Pod {
        metadata: ObjectMeta { name, namespace, uid, ..ObjectMeta::default() },
        spec: Some(PodSpec { containers, ..PodSpec::default() }),
        status: None,
    })
}
