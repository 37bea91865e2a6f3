//! TLS to a container, with any certificate.

use rustls::ClientConfig;

use crate::tls;

/// A probe checks whether the container responds, not its identity.
pub(super) fn config() -> Result<ClientConfig, rustls::Error> {
    let provider = tls::provider();
    let servers = tls::AnyPeer::new(&provider);
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(servers)
        .with_no_client_auth())
}
