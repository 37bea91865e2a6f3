//! Opaque pagination tokens. A token holds the position after the last item and is valid only for the same
//! operation and filters.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// Bytes of the seal in front of a token's position.
const SEAL: usize = 8;

/// A token that holds where the previous page ended. `scope` names the operation and its filters: a token is not
/// valid for others.
pub(super) fn seal(scope: impl Display, position: &impl Serialize) -> String {
    let position = serde_json::to_vec(position).unwrap_or_default();
    let mut bytes = digest(scope, &position).to_vec();
    bytes.extend(position);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where the previous page ended; `None` for a token that [`seal`] did not make for the same scope.
pub(super) fn open<P: DeserializeOwned>(scope: impl Display, token: &str) -> Option<P> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (found, position) = bytes.split_at_checked(SEAL)?;
    if *found != digest(scope, position) {
        return None;
    }
    serde_json::from_slice(position).ok()
}

fn digest(scope: impl Display, position: &[u8]) -> [u8; SEAL] {
    let digest =
        Sha256::new().chain_update(scope.to_string()).chain_update([0]).chain_update(position).finalize();
    std::array::from_fn(|at| digest[at])
}
