//! Authenticates the caller: by the client certificate, else by the bearer token, else not at all.
//!
//! As in a kubelet, an invalid certificate does not prevent a valid token from being used, and a caller without either is refused:
//! there is no anonymous access.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderMap, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::{Api, Client, api::PostParams};
use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{cache::Cache, client_ca::ClientCa};
use crate::clock;

/// How long the cluster's decision about a token is valid (`authentication.webhook.cacheTTL` of a kubelet).
const TOKEN_TTL: Duration = Duration::from_secs(120);

/// How long the cluster may take to review a token or an access.
pub(super) const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// The group that every authenticated user is in.
const AUTHENTICATED: &str = "system:authenticated";

/// A caller, as the cluster's authorizer knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// The certificates that the peer presented in the handshake, leaf first; empty if it presented none. It is known to hold the leaf's
/// key; nothing else is verified.
#[derive(Debug, Clone, Default)]
pub(super) struct PeerCertificates(pub(super) Arc<[CertificateDer<'static>]>);

/// Identifies the caller.
#[derive(Debug)]
pub(super) struct Authenticator {
    client_ca: ClientCa,
    reviews: Api<TokenReview>,
    tokens: Cache<[u8; 32], Option<User>>,
    clock: clock::Shared,
}

impl Authenticator {
    pub(super) fn new(client: Client, client_ca: ClientCa, clock: clock::Shared) -> Self {
        Self { client_ca, reviews: Api::all(client), tokens: Cache::new(), clock }
    }

    /// The caller, or `None` if it is not authenticated.
    pub(super) async fn authenticate(&self, peer: &PeerCertificates, headers: &HeaderMap) -> Option<User> {
        if let Some(user) = self.by_certificate(peer) {
            return Some(user);
        }
        self.by_token(bearer(headers)?).await
    }

    fn by_certificate(&self, PeerCertificates(chain): &PeerCertificates) -> Option<User> {
        let (leaf, intermediates) = chain.split_first()?;
        let now = self.clock.now().as_duration().try_into().ok().map(UnixTime::since_unix_epoch)?;
        let verifier = self.client_ca.current()?;
        if let Err(error) = verifier.verify_client_cert(leaf, intermediates, now) {
            tracing::debug!(%error, "did not accept a client certificate; the bearer token decides");
            return None;
        }
        subject(leaf)
    }

    async fn by_token(&self, token: &str) -> Option<User> {
        let key: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.tokens.get(&key) {
            return known;
        }
        let review = TokenReview {
            spec: TokenReviewSpec { token: Some(token.to_owned()), audiences: None },
            ..TokenReview::default()
        };
        let params = PostParams::default();
        // Without a response nothing is known about the token: the next request asks again.
        let status = match tokio::time::timeout(REVIEW_TIMEOUT, self.reviews.create(&params, &review)).await {
            Ok(Ok(review)) => review.status.unwrap_or_default(),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the API server did not review a bearer token; its request is refused");
                return None;
            }
            Err(_) => {
                tracing::warn!(
                    "the API server did not review a bearer token in time; its request is refused"
                );
                return None;
            }
        };
        let user = status.user.filter(|_| status.authenticated == Some(true)).map(|info| User {
            name: info.username.unwrap_or_default(),
            uid: info.uid,
            groups: authenticated(info.groups.unwrap_or_default()),
            extra: info.extra.unwrap_or_default(),
        });
        self.tokens.put(key, user.clone(), TOKEN_TTL);
        user
    }
}

/// The last common name and the organizations of a certificate: the user and its groups (Kubernetes's X.509 client certificates).
fn subject(leaf: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let subject = certificate.subject();
    // Of several, Go takes the last (`crypto/x509/pkix`, `FillFromRDNSequence`), and so does every API server; one that is not
    // readable as text could be that one.
    let names: Result<Vec<_>, _> = subject.iter_common_name().map(|name| name.as_str()).collect();
    let name = names.ok()?.pop().filter(|name| !name.is_empty())?;
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok().map(ToOwned::to_owned));
    Some(User {
        name: name.to_owned(),
        uid: None,
        groups: authenticated(groups.collect()),
        extra: BTreeMap::new(),
    })
}

fn authenticated(mut groups: Vec<String>) -> Vec<String> {
    if !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    groups
}

/// The token of `Authorization: Bearer`; the scheme in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_only_from_its_header() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("BEARER a.b-c", Some("a.b-c")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic abc", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer(&headers), token, "{value:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
