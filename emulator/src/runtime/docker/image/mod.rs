//! Images: what the engine has, else a pull.
//!
//! ```text
//! resolve ─▶ inspect: there? ─▶ its digest
//!                absent ─▶ pull, one for all who ask for it ─▶ inspect
//! ```
//!
//! A pull goes on even if nothing waits for it any more, and ends when the engine reports no progress for a while.

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

/// How often a pull is tried whose registry can't be reached, as often as Fargate says that it does.
const ATTEMPTS: u32 = 5;
/// Before the second attempt; doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// No attempt begins after this: an engine that waits for a silent registry has waited enough.
const PATIENCE: Duration = Duration::from_secs(30);
/// A pull ends if the engine reports nothing for this time. It reports the bytes of each layer as they come; it is silent
/// while it waits for the registry, and while it unpacks a large layer.
const SILENCE: Duration = Duration::from_mins(5);

/// The pulls under way, by normalised reference.
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

    /// Joins the pull of this image that is under way, or begins one, which goes on without whoever asked for it.
    fn pull(self: &Arc<Self>, image: &str, reference: Reference) -> Pull {
        let key = reference.to_string();
        let mut pulls = self.pulls.lock();
        if let Some(pull) = pulls.get(&key) {
            return pull.clone();
        }
        let (inner, name, ended) = (Arc::clone(self), image.to_owned(), key.clone());
        let work = tokio::spawn(async move {
            let pulled = inner.pull_image(&name, &reference).await;
            // It is the only one of its key: another one begins after this.
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
            let last = attempt == ATTEMPTS || self.clock.now().since(began) > PATIENCE;
            if refusal == Refusal::Unreachable && !last {
                tracing::debug!(image, attempt, %error, "the registry could not be reached");
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
        let patient = self.docker.clone().with_timeout(SILENCE);
        to_end(&self.clock, patient.create_image(Some(options), None, credentials)).await
    }
}

/// Reads the engine's progress to its end, as long as there is some.
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
