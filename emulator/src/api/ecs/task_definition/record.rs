//! A task definition as it is kept: the wire's own structure, and its tags beside it.

use serde::{Deserialize, Serialize};

use crate::api::ecs::reference;
use crate::api::model::ecs::{Tag, TaskDefinition, TaskDefinitionStatus};
use crate::api::shape::Enumeration as _;
use crate::api::{Context, Error};
use crate::store::task_definitions as table;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::api::ecs) struct Record {
    pub(in crate::api::ecs) definition: TaskDefinition,
    pub(in crate::api::ecs) tags: Vec<Tag>,
}

impl Record {
    pub(in crate::api::ecs) fn arn(&self) -> &str {
        self.definition.task_definition_arn.as_deref().unwrap_or_default()
    }

    pub(in crate::api::ecs) fn family(&self) -> &str {
        self.definition.family.as_deref().unwrap_or_default()
    }

    pub(in crate::api::ecs) fn is_active(&self) -> bool {
        self.definition.status == Some(TaskDefinitionStatus::Active)
    }

    pub(super) fn row(&self, context: &Context) -> Result<table::Row, Error> {
        Ok(table::Row {
            arn: self.arn().to_owned(),
            account: context.account().to_owned(),
            region: context.region.clone(),
            family: self.family().to_owned(),
            revision: self.definition.revision.map(i64::from).unwrap_or_default(),
            status: self
                .definition
                .status
                .as_ref()
                .map(|status| status.as_str().to_owned())
                .unwrap_or_default(),
            body: serde_json::to_string(self).map_err(Error::failure)?,
        })
    }

    /// Keeps it, in place of the one of its ARN.
    pub(in crate::api::ecs) async fn put(&self, context: &Context) -> Result<(), Error> {
        let row = self.row(context)?;
        let write = context
            .store()
            .write(move |connection| Box::pin(async move { table::put(connection, &row).await }));
        Ok(write.await?)
    }

    fn read(row: &table::Row) -> Result<Self, Error> {
        serde_json::from_str(&row.body).map_err(Error::failure)
    }
}

/// Finds a task definition by `family` (its latest ACTIVE revision), `family:revision` or ARN.
pub(in crate::api::ecs) async fn find(context: &Context, text: &str) -> Result<Option<Record>, Error> {
    let name = reference::resource(context, "task-definition", text)?.unwrap_or(text);
    let readers = context.store().readers();
    let row = match name.split_once(':') {
        Some((family, revision)) => {
            let Ok(revision) = revision.parse::<u32>() else {
                return Err(Error::client(format!("Invalid revision number. Number: {revision}")));
            };
            let arn = context.arn("ecs", format_args!("task-definition/{family}:{revision}"));
            table::get(readers, &arn).await?
        }
        None => table::latest_active(readers, context.account(), &context.region, name).await?,
    };
    row.as_ref().map(Record::read).transpose()
}
