//! The TLS side of the kubelet's API: the certificate that it presents, and what it requests from its callers.

use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use parking_lot::RwLock;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::client_ca::FILE_PERIOD;
use crate::{nodes::Node, options::Certificate, tls};

/// How long a certificate of our own is valid, as a kubelet's: each start makes a new one.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// A certificate of our own is valid from a day ago, for callers whose clock is behind.
const BACKDATE: Duration = Duration::from_secs(24 * 3600);

/// HTTP/2, as TLS names it (RFC 7301, ALPN).
pub(super) const HTTP2: &[u8] = b"h2";

/// Why there is no certificate to present.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the two files does not exist, or is not PEM.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not match.
    #[error("using the certificate {path}")]
    Pair {
        /// The certificate's file.
        path: String,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// No certificate of our own could be made.
    #[error("making a certificate")]
    Make(#[source] rcgen::Error),
    /// The certificate just made is not accepted.
    #[error("using the certificate just made")]
    Own(#[source] rustls::Error),
    /// The protocol's versions do not fit the cryptography.
    #[error("setting TLS up")]
    Config(#[source] rustls::Error),
}

/// The certificate that the API presents; one from files is read again when it rotates.
#[derive(Debug)]
pub(super) struct Serving {
    files: Option<Certificate>,
    key: RwLock<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
}

impl Serving {
    /// The certificate in `files`, else one made now for the node's name and address.
    pub(super) fn new(files: Option<Certificate>, node: &Node, now: Timestamp) -> Result<Self, Error> {
        let provider = tls::provider();
        let key = match &files {
            Some(files) => read(files, &provider)?,
            None => make(node, now, &provider)?,
        };
        Ok(Self { files, key: RwLock::new(Arc::new(key)), provider })
    }

    /// Reads the files again from time to time, until it is dropped.
    pub(super) async fn follow(&self) {
        let Some(files) = &self.files else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(FILE_PERIOD).await;
            match read(files, &self.provider) {
                Ok(key) => *self.key.write() = Arc::new(key),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not read the kubelet API's certificate again; the last good one stays"
                ),
            }
        }
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key.read()))
    }
}

fn read(files: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let Certificate { cert, key } = files;
    let unread = |path: &std::path::Path| {
        let path = path.display().to_string();
        move |source| Error::Read { path, source }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unread(cert))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(unread(key))?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|source| Error::Pair { path: cert.display().to_string(), source })
}

fn make(node: &Node, now: Timestamp, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let Node { name, ip } = node;
    let mut params = CertificateParams::new(vec![name.clone()]).map_err(Error::Make)?;
    params.subject_alt_names.push(SanType::IpAddress(*ip));
    params.distinguished_name.push(DnType::CommonName, format!("{name}@{}", now.as_second()));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let day = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(now.saturating_sub(BACKDATE).unwrap_or(now));
    params.not_after = day(now.saturating_add(LIFETIME).unwrap_or(now));
    let key = KeyPair::generate().map_err(Error::Make)?;
    let certificate = params.self_signed(&key).map_err(Error::Make)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    CertifiedKey::from_der(vec![certificate.der().clone()], key, provider).map_err(Error::Own)
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, a client certificate requested and not required.
pub(super) fn config(serving: Arc<Serving>) -> Result<ServerConfig, Error> {
    let provider = Arc::clone(&serving.provider);
    let clients = tls::AnyPeer::new(&provider);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Config)?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(serving);
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use x509_parser::{extensions::GeneralName, prelude::*};

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn node() -> Node {
        Node { name: "fargate".to_owned(), ip: "192.0.2.10".parse().unwrap() }
    }

    fn leaf(serving: &Serving) -> CertificateDer<'static> {
        serving.key.read().cert[0].clone()
    }

    #[test]
    fn a_certificate_of_our_own_names_the_node_and_its_address_for_a_year() {
        let serving = Serving::new(None, &node(), now()).unwrap();
        let leaf = leaf(&serving);
        let (_, certificate) = X509Certificate::from_der(&leaf).unwrap();
        let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names[..], [GeneralName::DNSName("fargate"), GeneralName::IPAddress(&[192, 0, 2, 10])]);
        let validity = certificate.validity();
        let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        assert!(from <= now().as_second() - 3_600 && to >= now().as_second() + 364 * 24 * 3_600);
        assert!(certificate.extended_key_usage().unwrap().unwrap().value.server_auth);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_in_files_is_read_again_and_a_broken_one_is_not_taken() {
        let folder = TempDir::new().unwrap();
        let files = Certificate { cert: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        let write = |name: &str| {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            std::fs::write(&files.cert, made.cert.pem()).unwrap();
            std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
            made.cert.der().clone()
        };
        let make = || Serving::new(Some(files.clone()), &node(), now());
        assert!(matches!(make(), Err(Error::Read { .. })));
        let first = write("first");
        let serving = Arc::new(make().unwrap());
        assert_eq!(leaf(&serving), first);

        let following = tokio::spawn({
            let serving = Arc::clone(&serving);
            async move { serving.follow().await }
        });
        tokio::task::yield_now().await;
        let second = write("second");
        tokio::time::sleep(FILE_PERIOD * 2).await;
        assert_eq!(leaf(&serving), second);
        std::fs::write(&files.key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(matches!(make(), Err(Error::Pair { .. })), "a key of another certificate");
        tokio::time::sleep(FILE_PERIOD * 2).await;
        assert_eq!(leaf(&serving), second);
        following.abort();
    }
}
