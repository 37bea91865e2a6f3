//! The bind-mount volumes of a task: named volumes of the engine, because it copies the image's content at the mount
//! point into an empty named volume, as Fargate does.

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};

use super::Inner;
use super::client::{failed, unless};
use super::names::TASK;
use crate::runtime::Error;

impl Inner {
    /// Creates a volume, or finds the one with this name that an earlier attempt created.
    pub(super) async fn create_volume(&self, task_id: &str, name: &str) -> Result<(), Error> {
        let request = VolumeCreateRequest {
            name: Some(self.instance.volume(task_id, name)),
            driver: Some("local".to_owned()),
            labels: Some(self.instance.labels(&[(TASK, task_id)])),
            ..VolumeCreateRequest::default()
        };
        let attempted = format!("create the volume {name}");
        match self.docker.create_volume(request).await.map_err(failed(&self.host, attempted)) {
            Ok(_) => Ok(()),
            Err(error) if error.may_pass() => Err(error),
            Err(error) => Err(Error::Volume { name: name.to_owned(), reason: error.to_string() }),
        }
    }

    /// Removes as many as possible of this instance's volumes that have all of `labels`. Returns the errors.
    pub(super) async fn remove_volumes(&self, labels: &[(&str, &str)]) -> Vec<Error> {
        let volumes = match self.list_volumes(labels).await {
            Ok(volumes) => volumes,
            Err(error) => return vec![error],
        };
        let mut failures = Vec::new();
        for (name, _) in volumes {
            let removed = self.docker.remove_volume(&name, None::<RemoveVolumeOptions>).await;
            let removed = unless(removed, &[404]);
            failures.extend(removed.map_err(failed(&self.host, format!("remove the volume {name}"))).err());
        }
        failures
    }

    /// Name and task of this instance's volumes that have all of `labels`.
    pub(super) async fn list_volumes(
        &self,
        labels: &[(&str, &str)],
    ) -> Result<Vec<(String, Option<String>)>, Error> {
        let options = ListVolumesOptions { filters: Some(self.instance.filters(labels)) };
        let listed = self.docker.list_volumes(Some(options)).await;
        let volumes = listed.map_err(failed(&self.host, "list the volumes"))?.volumes.unwrap_or_default();
        Ok(volumes.into_iter().map(|mut volume| (volume.name, volume.labels.remove(TASK))).collect())
    }
}
