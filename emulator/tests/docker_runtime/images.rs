//! Images that are here, and those that are not.

use neargate::runtime::{Error, Runtime as _};

use crate::support::{tool_image, with_world};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_the_engine_is_known_by_its_digest() {
    with_world(|world| async move {
        let image = world.runtime.resolve_image(&tool_image().await).await.unwrap();
        assert!(image.digest.starts_with("sha256:"), "{image:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_respond_is_distinguished_from_an_image_that_is_none() {
    with_world(|world| async move {
        // Nothing listens on port 1; ten calls wait, and one pull serves them all.
        let asking = (0..10).map(|_| world.runtime.resolve_image("127.0.0.1:1/nobody/home"));
        for answer in futures::future::join_all(asking).await {
            match answer {
                Err(Error::ImageUnreachable { image, reason }) => {
                    assert_eq!(image, "127.0.0.1:1/nobody/home:latest");
                    assert!(reason.contains("connection refused"), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
        let malformed = world.runtime.resolve_image("Not An Image").await;
        assert!(matches!(malformed, Err(Error::ImageNotFound { .. })), "{malformed:?}");
    })
    .await;
}
