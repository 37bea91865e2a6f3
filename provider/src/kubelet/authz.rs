//! What a caller may do: a kubelet's own attributes, decided by the cluster through a SubjectAccessReview.

use std::{fmt, time::Duration};

use http::Method;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::{Api, Client, api::PostParams};

use super::{
    authn::{REVIEW_TIMEOUT, User},
    cache::Cache,
};
use crate::nodes::Node;

/// How long a permission is valid (`authorization.webhook.cacheAuthorizedTTL` of a kubelet).
const ALLOWED_TTL: Duration = Duration::from_secs(300);

/// How long a refusal is valid (`authorization.webhook.cacheUnauthorizedTTL`).
const DENIED_TTL: Duration = Duration::from_secs(30);

/// What a request needs, in the terms of `RBAC`: a verb on a subresource of this node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Attributes {
    /// The API verb; empty for a method that has none.
    pub(super) verb: &'static str,
    /// Any one of these subresources of `nodes` is enough.
    pub(super) subresources: &'static [&'static str],
}

impl Attributes {
    /// The attributes of a request, after the kubelet's `GetRequestAttributes` (`pkg/kubelet/server/auth.go`): the finer
    /// subresource first if there is one, `proxy` for every path that has none of its own.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let verb = match *method {
            Method::POST => "create",
            Method::GET => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        let subresources: &'static [&'static str] = match path.split('/').nth(1).unwrap_or_default() {
            "pods" | "runningpods" => &["pods", "proxy"],
            "healthz" => &["healthz", "proxy"],
            "configz" => &["configz", "proxy"],
            "stats" => &["stats"],
            "metrics" => &["metrics"],
            "logs" => &["log"],
            "checkpoint" => &["checkpoint"],
            "statusz" => &["statusz"],
            "flagz" => &["configz"],
            _ => &["proxy"],
        };
        Self { verb, subresources }
    }
}

/// A refusal, in the kubelet's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forbidden {
    user: String,
    attributes: Attributes,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, attributes: Attributes { verb, subresources } } = self;
        writeln!(
            f,
            "Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{}])",
            subresources.join(" ")
        )
    }
}

/// Why a decision was not reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The cluster denies it.
    #[error("{0}")]
    Forbidden(Forbidden),
    /// The cluster did not decide.
    #[error("Authorization error (user={user}, verb={verb}, resource=nodes, subresource={subresource})")]
    Review {
        user: String,
        verb: &'static str,
        subresource: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Asks the cluster, and caches the decision.
#[derive(Debug)]
pub(super) struct Authorizer {
    reviews: Api<SubjectAccessReview>,
    node: Node,
    decisions: Cache<(User, &'static str, &'static str), bool>,
}

impl Authorizer {
    pub(super) fn new(client: Client, node: Node) -> Self {
        Self { reviews: Api::all(client), node, decisions: Cache::new() }
    }

    /// Checks whether `user` may do that.
    pub(super) async fn authorize(&self, user: &User, attributes: Attributes) -> Result<(), Error> {
        for subresource in attributes.subresources {
            if self.decide(user, attributes.verb, subresource).await? {
                return Ok(());
            }
        }
        Err(Error::Forbidden(Forbidden { user: user.name.clone(), attributes }))
    }

    async fn decide(
        &self,
        user: &User,
        verb: &'static str,
        subresource: &'static str,
    ) -> Result<bool, Error> {
        let key = (user.clone(), verb, subresource);
        if let Some(allowed) = self.decisions.get(&key) {
            return Ok(allowed);
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                uid: user.uid.clone(),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.clone()).filter(|extra| !extra.is_empty()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    version: Some("v1".to_owned()),
                    resource: Some("nodes".to_owned()),
                    subresource: Some(subresource.to_owned()),
                    name: Some(self.node.name.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let failed = |source| Error::Review { user: user.name.clone(), verb, subresource, source };
        let params = PostParams::default();
        let answer = tokio::time::timeout(REVIEW_TIMEOUT, self.reviews.create(&params, &review)).await;
        let answer = answer.map_err(|late| failed(late.into()))?.map_err(|error| failed(error.into()))?;
        let allowed = matches!(
            answer.status,
            Some(SubjectAccessReviewStatus { allowed: true, denied: None | Some(false), .. })
        );
        self.decisions.put(key, allowed, if allowed { ALLOWED_TTL } else { DENIED_TTL });
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_attributes_that_a_kubelet_gives_it() {
        for (method, path, verb, subresources) in [
            (Method::GET, "/containerLogs/default/web/main", "get", &["proxy"][..]),
            (Method::GET, "/exec/default/web/main", "get", &["proxy"]),
            (Method::POST, "/exec/default/web/main", "create", &["proxy"]),
            (Method::GET, "/", "get", &["proxy"]),
            (Method::HEAD, "/pods", "", &["pods", "proxy"]),
            (Method::GET, "/pods", "get", &["pods", "proxy"]),
            (Method::GET, "/podsy", "get", &["proxy"]),
            (Method::GET, "/runningpods/", "get", &["pods", "proxy"]),
            (Method::GET, "/healthz/ping", "get", &["healthz", "proxy"]),
            (Method::GET, "/configz", "get", &["configz", "proxy"]),
            (Method::GET, "/stats/summary", "get", &["stats"]),
            (Method::GET, "/metrics/resource", "get", &["metrics"]),
            (Method::GET, "/logs/", "get", &["log"]),
            (Method::POST, "/checkpoint/default/web/main", "create", &["checkpoint"]),
            (Method::DELETE, "/statusz", "delete", &["statusz"]),
            (Method::GET, "/flagz", "get", &["configz"]),
        ] {
            assert_eq!(Attributes::of(&method, path), Attributes { verb, subresources }, "{method} {path}");
        }
    }
}
