//! A request's body, read within a bound.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use super::error::{Error, common};

/// Bytes of a body that are read and dropped so that the client receives the error. A client that is disconnected
/// while it still sends sees a broken connection instead.
const LARGEST_DRAINED: usize = 64 << 20;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The whole body.
///
/// # Errors
/// It has more than `most` bytes, ends too early or is too slow.
pub(crate) async fn read(body: Body, most: usize) -> Result<Bytes, Error> {
    match tokio::time::timeout(TIMEOUT, collect(body, most)).await {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => {
            let message = format!("The request body is larger than {most} bytes.");
            Err(Error::new(common::REQUEST_ENTITY_TOO_LARGE, message))
        }
        Ok(Err(_)) => Err(Error::new(common::SERIALIZATION, "The request body ended too early.")),
        Err(_) => Err(Error::new(common::REQUEST_TIMEOUT, "The request body did not arrive in time.")),
    }
}

/// Reads what a client still sends, and drops it.
pub(super) async fn drain(body: Body) {
    // The request is refused anyway, so an error of its body does not matter.
    let _ = tokio::time::timeout(TIMEOUT, collect(body, 0)).await;
}

/// `None` if it is too large.
async fn collect(mut body: Body, most: usize) -> Result<Option<Bytes>, axum::Error> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = BytesMut::with_capacity(if announced <= most { announced } else { 0 });
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= most && announced <= most {
            whole.extend_from_slice(&data);
        } else if length > LARGEST_DRAINED {
            break;
        } else {
            whole = BytesMut::new();
        }
    }
    Ok((length <= most).then(|| whole.freeze()))
}
