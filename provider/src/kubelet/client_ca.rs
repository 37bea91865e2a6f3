//! The authority that signs the clients of the kubelet's API, kept up to date.
//!
//! It comes from a file, or from the ConfigMap in which every API server publishes its own
//! (`kube-system/extension-apiserver-authentication`, key `client-ca-file`). Both rotate while we run. If a source fails or is
//! invalid, the last good authority stays.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::sync::watch;

use crate::tls;

const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "extension-apiserver-authentication";
const KEY: &str = "client-ca-file";

/// Between two reads of a file.
pub(super) const FILE_PERIOD: Duration = Duration::from_secs(60);

/// The source of the authority.
#[derive(Clone)]
pub(super) enum Origin {
    /// A PEM file.
    File(PathBuf),
    /// The cluster's ConfigMap.
    Cluster(Client),
}

/// Why an authority is not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("reading the client authority {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("reading the PEM of the client authority")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("trusting a certificate of the client authority")]
    Certificate(#[source] rustls::Error),
    #[error("making a verifier of the client authority")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

type Verifier = Arc<dyn ClientCertVerifier>;

/// The current authority; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ClientCa(watch::Receiver<Option<Verifier>>);

/// Keeps a [`ClientCa`] up to date for as long as it runs.
pub(super) struct Updater {
    origin: Origin,
    current: watch::Sender<Option<Verifier>>,
    pem: String,
}

impl ClientCa {
    /// An authority that is not known until its [`Updater`] runs.
    pub(super) fn new(origin: Origin) -> (Self, Updater) {
        let (current, receiver) = watch::channel(None);
        (Self(receiver), Updater { origin, current, pem: String::new() })
    }

    /// The current verifier of clients; `None` if no authority is known, so that no certificate is accepted.
    pub(super) fn current(&self) -> Option<Verifier> {
        self.0.borrow().clone()
    }
}

impl Updater {
    /// Reads a file; once before the start, so that a wrong flag fails the start and not the first request.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match &self.origin {
            Origin::File(path) => {
                let path = path.clone();
                let pem = std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
                self.take(pem)
            }
            Origin::Cluster(_) => Ok(()),
        }
    }

    /// Follows the source until it is dropped.
    pub(super) async fn run(mut self) {
        match self.origin.clone() {
            Origin::File(_) => loop {
                tokio::time::sleep(FILE_PERIOD).await;
                report(self.check());
            },
            Origin::Cluster(client) => {
                let maps = Api::<ConfigMap>::namespaced(client, NAMESPACE);
                let only = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
                let mut seen = watcher(maps, only)
                    .default_backoff()
                    .applied_objects()
                    .inspect_err(|error| {
                        tracing::warn!(
                            error = error as &dyn std::error::Error,
                            "could not read the cluster's client authority; the last good one stays"
                        );
                    })
                    .boxed();
                while let Some(map) = seen.next().await {
                    let pem = map.ok().and_then(|map| map.data).and_then(|mut data| data.remove(KEY));
                    if let Some(pem) = pem {
                        report(self.take(pem));
                    }
                }
            }
        }
    }

    fn take(&mut self, pem: String) -> Result<(), Error> {
        if pem == self.pem {
            return Ok(());
        }
        let verifier = verifier(&pem)?;
        tracing::info!("loaded the client authority of the kubelet's API");
        self.current.send_replace(Some(verifier));
        self.pem = pem;
        Ok(())
    }
}

fn report(taken: Result<(), Error>) {
    if let Err(error) = taken {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "could not use a new client authority; the last good one stays"
        );
    }
}

fn verifier(pem: &str) -> Result<Verifier, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(Error::Pem)?).map_err(Error::Certificate)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider()).build();
    verifier.map_err(Error::Verifier).map(|verifier| verifier as Verifier)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use tempfile::TempDir;

    use super::*;

    fn authority() -> String {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[tokio::test(start_paused = true)]
    async fn a_files_successor_is_taken_and_nonsense_leaves_the_last_good_one() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ca.crt");
        let start = || ClientCa::new(Origin::File(path.clone()));
        assert!(matches!(start().1.check(), Err(Error::Read { .. })));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(start().1.check().is_err(), "not an authority");

        std::fs::write(&path, authority()).unwrap();
        let (ca, mut updater) = start();
        assert!(ca.current().is_none());
        updater.check().unwrap();
        let first = ca.current().unwrap();
        let running = tokio::spawn(updater.run());
        let after = async || {
            tokio::time::sleep(FILE_PERIOD * 2).await;
            ca.current().unwrap()
        };
        assert!(Arc::ptr_eq(&after().await, &first), "the same file again");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(Arc::ptr_eq(&after().await, &first));
        std::fs::write(&path, authority()).unwrap();
        assert!(!Arc::ptr_eq(&after().await, &first));
        running.abort();
    }
}
