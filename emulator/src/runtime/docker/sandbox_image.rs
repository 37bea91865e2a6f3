//! The image of a sandbox: only the program that `build.rs` built. It is never pulled; its tag is the hash of its content,
//! so that different versions of Neargate can share an engine. It is loaded as a saved image with a fixed date, not
//! imported, so that every load results in the same image.

use std::collections::HashMap;
use std::io;
use std::sync::LazyLock;

use bollard::query_parameters::{ImportImageOptions, ListImagesOptionsBuilder, RemoveImageOptions};
use bollard::{Docker, body_full};
use bytes::Bytes;
use futures::TryStreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Inner;
use super::client::{failed, unless};
use crate::runtime::Error;

pub(crate) const REPOSITORY: &str = "neargate-sandbox";

static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/neargate-sandbox"));

static TAG: LazyLock<String> = LazyLock::new(|| sha256(PROGRAM).chars().take(12).collect());

/// Such as `neargate-sandbox:4f2a90b1c3de`.
pub(crate) fn reference() -> String {
    format!("{REPOSITORY}:{}", *TAG)
}

impl Inner {
    /// Loads the image if the engine does not have it.
    pub(crate) async fn ensure_sandbox_image(&self) -> Result<(), Error> {
        let _one_at_a_time = self.sandbox_image.lock().await;
        ensure(&self.docker, &self.host).await
    }
}

/// The same without the lock. Concurrent loads do no harm: each loads the same image.
pub(super) async fn ensure(docker: &Docker, host: &str) -> Result<(), Error> {
    let attempted = || format!("load the image {}", reference());
    let present = unless(docker.inspect_image(&reference()).await, &[404]);
    if present.map_err(failed(host, attempted()))?.is_some() {
        return Ok(());
    }
    let archive =
        archive().map_err(|error| Error::Failed { attempted: attempted(), reason: error.to_string() })?;
    let steps = docker.import_image(ImportImageOptions::default(), body_full(archive), None);
    steps.try_collect::<Vec<_>>().await.map_err(failed(host, attempted()))?;
    Ok(())
}

/// Removes the sandbox images of other versions that no container uses, unless `dry_run`. Returns their names.
pub(crate) async fn sweep(docker: &Docker, host: &str, dry_run: bool) -> Result<Vec<String>, Error> {
    let filters = HashMap::from([("reference".to_owned(), vec![REPOSITORY.to_owned()])]);
    let options = ListImagesOptionsBuilder::default().filters(&filters).build();
    let images = docker.list_images(Some(options)).await.map_err(failed(host, "list the images"))?;
    let mut swept = Vec::new();
    for name in images.into_iter().flat_map(|image| image.repo_tags).filter(|name| *name != reference()) {
        if !dry_run {
            let removed = docker.remove_image(&name, None::<RemoveImageOptions>, None).await;
            // In use by a container of a Neargate of that version.
            if unless(removed, &[404, 409])
                .map_err(failed(host, format!("remove the image {name}")))?
                .is_none()
            {
                continue;
            }
        }
        swept.push(name);
    }
    Ok(swept)
}

/// An archive as of `docker save` (Docker image specification v1.2): the manifest, the configuration, one layer.
fn archive() -> io::Result<Bytes> {
    let layer = tar(&[("neargate-sandbox", PROGRAM)])?;
    let configuration = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": { "Entrypoint": ["/neargate-sandbox"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "neargate" }],
    });
    let configuration = configuration.to_string();
    let name = format!("{}.json", sha256(configuration.as_bytes()));
    let manifest =
        json!([{ "Config": name, "RepoTags": [reference()], "Layers": ["layer.tar"] }]).to_string();
    let parts =
        [("manifest.json", manifest.as_bytes()), (&name, configuration.as_bytes()), ("layer.tar", &layer)];
    tar(&parts).map(Bytes::from)
}

fn tar(files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o555);
        archive.append_data(&mut header, name, *content)?;
    }
    archive.into_inner()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
