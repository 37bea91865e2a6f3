//! Images: the engine's own, else a pull.
//!
//! ```text
//! resolve ─▶ inspect: exists ─▶ its digest
//!                     missing ─▶ pull, one for all its callers ─▶ inspect
//! ```
//!
//! A pull continues even if no caller waits for it any more, and ends if the engine reports no progress for some time.

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
use futures::{FutureExt, Stream, TryStreamExt};
use parking_lot::Mutex;

use super::client::{failed, unless};
use super::{Inner, sandbox_image};
use crate::clock::Clock;
use crate::runtime::{Error, Image};
use reference::Reference;
use refusal::Refusal;

/// Attempts of a pull if the registry can't be reached: as many as Fargate documents.
const ATTEMPTS: u32 = 5;
/// The pause before the second attempt. It doubles with each attempt.
const PAUSE: Duration = Duration::from_millis(250);
/// No attempt begins after this time: the engine itself waits long for a registry that does not respond.
const LAST_ATTEMPT_AFTER: Duration = Duration::from_secs(30);
/// A pull ends if the engine reports nothing for this time. It reports the bytes of each layer as they arrive. It reports
/// nothing while it waits for the registry, and while it unpacks a large layer.
const SILENCE: Duration = Duration::from_mins(5);

/// The running pulls, by normalised reference.
pub(super) type Pulls = Mutex<HashMap<String, Pull>>;
type Pull = Shared<BoxFuture<'static, Result<Image, Error>>>;

impl Inner {
    pub(super) async fn resolve_image(self: &Arc<Self>, image: &str) -> Result<Image, Error> {
        let reference = Reference::parse(image).ok_or_else(|| Error::ImageNotFound {
            image: image.to_owned(),
            reason: format!("invalid reference format: {image}"),
        })?;
        if let Some(image) = self.find_image(image, &reference).await? {
            return Ok(image);
        }
        self.pull(image, reference).await
    }

    /// Joins the running pull of this image, or begins one, which continues without its callers.
    fn pull(self: &Arc<Self>, image: &str, reference: Reference) -> Pull {
        let key = reference.to_string();
        let mut pulls = self.pulls.lock();
        if let Some(pull) = pulls.get(&key) {
            return pull.clone();
        }
        let (inner, name, ended) = (Arc::clone(self), image.to_owned(), key.clone());
        let work = tokio::spawn(async move {
            let pulled = inner.pull_image(&name, &reference).await;
            // It is the only pull with its key: another one begins only after this.
            inner.pulls.lock().remove(&ended);
            pulled
        });
        let (inner, failed) = (Arc::clone(self), key.clone());
        let pull = async move {
            work.await.unwrap_or_else(|error| {
                inner.pulls.lock().remove(&failed);
                Err(Error::Failed {
                    attempted: format!("pull the image {failed}"),
                    reason: error.to_string(),
                })
            })
        };
        let pull = pull.boxed().shared();
        pulls.insert(key, pull.clone());
        pull
    }

    /// The tags of all images of the engine, except the sandbox's.
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
        let began = self.clock.now();
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
            let last = attempt == ATTEMPTS || self.clock.now().since(began) > LAST_ATTEMPT_AFTER;
            if refusal == Refusal::Unreachable && !last {
                tracing::debug!(image, attempt, %error, "could not reach the registry of the image; retrying");
                self.clock.sleep(pause).await;
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
        let credentials = credentials::find(reference.registry(), &self.clock).await;
        let docker = self.docker.clone().with_timeout(SILENCE);
        to_end(&self.clock, docker.create_image(Some(options), None, credentials)).await
    }
}

/// Reads the engine's progress until the pull ends, or fails after [`SILENCE`] without progress.
async fn to_end<T>(
    clock: &Clock,
    steps: impl Stream<Item = Result<T, DockerError>>,
) -> Result<(), DockerError> {
    let mut steps = std::pin::pin!(steps);
    loop {
        match clock.timeout(SILENCE, steps.try_next()).await {
            Ok(step) => match step? {
                Some(_) => {}
                None => return Ok(()),
            },
            Err(elapsed) => {
                let error = format!("the pull made no progress: {elapsed}: request canceled while waiting");
                return Err(DockerError::DockerStreamError { error });
            }
        }
    }
}

/// The digest of the manifest in the registry of this reference; the id of the image itself if it was built or loaded
/// locally and no registry has it.
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
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_pull_without_progress_ends_as_one_whose_registry_cannot_be_reached() {
        let clock = Clock::manual(crate::clock::Timestamp(0));
        let steps = || futures::stream::iter([Ok(()), Ok(())]);
        let mut silent = std::pin::pin!(to_end(&clock, steps().chain(futures::stream::pending())));
        assert!(futures::poll!(&mut silent).is_pending());
        clock.advance(SILENCE);
        let error = silent.await.expect_err("it ends");
        assert_eq!(Refusal::of(&error), Refusal::Unreachable, "{error}");
        assert!(to_end(&clock, steps()).await.is_ok());
    }

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
