//! The kubelet's HTTPS API, on the node's InternalIP: what `kubectl logs` and the API server request from a node.
//!
//! ```text
//! TCP -> tls (any client certificate, or none) -> authn (401) -> authz (403) -> routes (404, 501)
//!  |      |                                        |             |               +-> logs -> CloudWatch Logs
//!  |      |                                        |             +-> strangers (introduces the connection)
//!  +-> strangers (10 s for all of that)            |             |
//!         +- serving certificate                   |             +-> SubjectAccessReview  (kept 5 min, 30 s)
//!                                                  +-> client_ca, TokenReview             (kept 2 min)
//! ```
//!
//! Everything is behind authentication and authorization, also routes that do not exist, as in a kubelet whose anonymous access is
//! off.
//!
//! The RBAC rights that this needs:
//!
//! | group | resource | verbs | where |
//! | --- | --- | --- | --- |
//! | `authentication.k8s.io` | `tokenreviews` | create | cluster |
//! | `authorization.k8s.io` | `subjectaccessreviews` | create | cluster |
//! | core | `configmaps`, name `extension-apiserver-authentication` | get, list, watch | `kube-system`; not with a client CA file |
//!
//! The first two are the ClusterRole `system:auth-delegator`, the last is the Role `extension-apiserver-authentication-reader`
//! of `kube-system`: both exist in every cluster.

mod authn;
mod authz;
mod cache;
mod client_ca;
mod logs;
mod routes;
mod service;
mod strangers;
mod tls;

pub use self::{
    service::{Error, Options, Service},
    tls::Error as TlsError,
};
