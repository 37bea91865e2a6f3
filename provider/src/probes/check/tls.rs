//! TLS to a container, whatever certificate it shows.

use rustls::ClientConfig;

use crate::tls;

/// A probe asks whether the container answers, not who it is.
pub(super) fn config() -> Result<ClientConfig, rustls::Error> {
    let provider = tls::provider();
    let servers = tls::AnyPeer::new(&provider);
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(servers)
        .with_no_client_auth())
}
