//! Images: what the engine has, else a pull.
//!
//! ```text
//! resolve ─▶ inspect: there? ─▶ its digest
//!                absent ─▶ pull, one for all who ask for it ─▶ inspect
//! ```

mod credentials;
mod reference;
mod refusal;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as DockerError;
use bollard::models::ImageInspect;
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptions};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, TryStreamExt};
use parking_lot::Mutex;

use super::client::{failed, unless};
use super::{Inner, sandbox_image};
use crate::runtime::{Error, Image};
use reference::Reference;
use refusal::Refusal;

/// How often a pull is tried whose registry can't be reached, as often as Fargate says that it does.
const ATTEMPTS: u32 = 5;
/// Before the second attempt; doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// No attempt begins after this: an engine that waits for a silent registry has waited enough.
const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds that the engine may take for the whole of one attempt to begin its answer.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The pulls under way, by normalised reference.
pub(super) type Pulls = Mutex<HashMap<String, Shared<BoxFuture<'static, Result<Image, Error>>>>>;

impl Inner {
    pub(super) async fn resolve_image(self: &Arc<Self>, image: &str) -> Result<Image, Error> {
        let reference = Reference::parse(image).ok_or_else(|| Error::ImageNotFound {
            image: image.to_owned(),
            reason: format!("invalid reference format: {image}"),
        })?;
        if let Some(image) = self.find_image(image, &reference).await? {
            return Ok(image);
        }
        let key = reference.to_string();
        let pull = {
            let inner = Arc::clone(self);
            let name = image.to_owned();
            let mut pulls = self.pulls.lock();
            pulls
                .entry(key.clone())
                .or_insert_with(|| async move { inner.pull_image(&name, &reference).await }.boxed().shared())
                .clone()
        };
        let pulled = pull.await;
        self.pulls.lock().remove(&key);
        pulled
    }

    /// The tags of all images of the engine, but the sandbox's.
    pub(crate) async fn image_names(&self) -> Result<Vec<String>, Error> {
        let listed = self.docker.list_images(None::<ListImagesOptions>).await;
        let images = listed.map_err(failed(&self.host, "list the images"))?;
        let mut names: Vec<String> = images
            .into_iter()
            .flat_map(|image| image.repo_tags)
            .filter(|name| !name.starts_with(sandbox_image::REPOSITORY) && !name.starts_with("<none>"))
            .collect();
        names.sort();
        Ok(names)
    }

    async fn find_image(&self, image: &str, reference: &Reference) -> Result<Option<Image>, Error> {
        let found = unless(self.docker.inspect_image(image).await, &[404]);
        let found = found.map_err(failed(&self.host, format!("inspect the image {image}")))?;
        Ok(found.and_then(|image| digest(&image, reference)).map(|digest| Image { digest }))
    }

    async fn pull_image(&self, image: &str, reference: &Reference) -> Result<Image, Error> {
        let began = tokio::time::Instant::now();
        let mut attempt = 1;
        let mut pause = PAUSE;
        loop {
            let error = match self.pull_once(reference).await {
                Ok(()) => {
                    let pulled = self.find_image(image, reference).await?;
                    return pulled.ok_or_else(|| Error::Failed {
                        attempted: format!("pull the image {image}"),
                        reason: "the engine does not have it after the pull".to_owned(),
                    });
                }
                Err(error) => error,
            };
            let refusal = Refusal::of(&error);
            let last = attempt == ATTEMPTS || began.elapsed() > PATIENCE;
            if refusal == Refusal::Unreachable && !last {
                tracing::debug!(image, attempt, %error, "the registry could not be reached");
                tokio::time::sleep(pause).await;
                attempt += 1;
                pause *= 2;
                continue;
            }
            let (image, reason) = (reference.to_string(), refusal.cause(reference, &error));
            return Err(match refusal {
                Refusal::Unreachable => Error::ImageUnreachable { image, reason },
                Refusal::NotFound | Refusal::Denied | Refusal::Other => {
                    Error::ImageNotFound { image, reason }
                }
            });
        }
    }

    async fn pull_once(&self, reference: &Reference) -> Result<(), DockerError> {
        let options = CreateImageOptionsBuilder::default()
            .from_image(&reference.name())
            .tag(reference.version())
            .build();
        let credentials = credentials::find(reference.registry()).await;
        let patient = self.docker.clone().with_timeout(TIMEOUT);
        let mut steps = std::pin::pin!(patient.create_image(Some(options), None, credentials));
        while steps.try_next().await?.is_some() {}
        Ok(())
    }
}

/// Of the manifest by which the registry of this reference knows it; of the image itself where it was built or
/// loaded here and no registry has it.
fn digest(image: &ImageInspect, reference: &Reference) -> Option<String> {
    let digests = image.repo_digests.as_deref().unwrap_or_default();
    let of_registry = digests.iter().find_map(|known| {
        let (name, digest) = known.split_once('@')?;
        (Reference::parse(name)?.name() == reference.name()).then(|| digest.to_owned())
    });
    of_registry.or_else(|| image.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(digests: &[&str]) -> ImageInspect {
        ImageInspect {
            id: Some("sha256:1d".to_owned()),
            repo_digests: Some(digests.iter().map(|digest| (*digest).to_owned()).collect()),
            ..ImageInspect::default()
        }
    }

    #[test]
    fn the_digest_is_of_the_references_registry() {
        let reference = Reference::parse("nginx:1.27").unwrap();
        let image = inspected(&["example.com/nginx@sha256:aa", "nginx@sha256:bb"]);
        assert_eq!(digest(&image, &reference).as_deref(), Some("sha256:bb"));
        assert_eq!(digest(&inspected(&[]), &reference).as_deref(), Some("sha256:1d"));
    }
}
