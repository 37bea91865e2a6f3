//! Task definitions: what a revision is, and every change of one, each read, decided and written in one transaction.
//!
//! What was registered never changes and is stored as ECS's own JSON document; what changes (status, times, tags) has
//! typed fields.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::task::Tag;
use super::update::{self, Record as _};
use crate::clock::Timestamp;
use crate::store::{self, Body, SqliteConnection, Store, task_definitions as table, tasks};

/// The version of a stored body. 1 was the API's own structure with its tags.
const VERSION: u32 = 2;

/// A revision of a task definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub arn: String,
    /// 12 digits.
    pub account: String,
    pub region: String,
    pub family: String,
    pub revision: i64,
    pub status: Status,
    pub registered_at: Option<Timestamp>,
    pub registered_by: Option<String>,
    pub deregistered_at: Option<Timestamp>,
    pub delete_requested_at: Option<Timestamp>,
    pub tags: Vec<Tag>,
    /// ECS's TaskDefinition as it was registered, in its normal form, without the members above.
    pub document: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Active,
    /// Deregistered: its tasks continue to run, new ones are refused.
    Inactive,
    /// Deleted, but tasks still run it: it is removed with the last of them.
    DeleteInProgress,
}

impl Status {
    /// In ECS's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
        }
    }
}

impl Definition {
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }
}

/// A definition to be registered.
#[derive(Clone, Debug)]
pub struct New {
    pub account: String,
    pub region: String,
    pub family: String,
    pub registered_at: Timestamp,
    pub registered_by: String,
    pub tags: Vec<Tag>,
    pub document: Map<String, Value>,
}

/// A definition that is ACTIVE cannot be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task definition is active")]
pub struct StillActive;

/// The task definitions of the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Definitions(Store);

impl Definitions {
    pub(super) fn of(store: &Store) -> Self {
        Self(store.clone())
    }

    pub async fn get(&self, arn: &str) -> Result<Option<Definition>, store::Error> {
        table::get(self.0.readers(), arn).await?.as_ref().map(read).transpose()
    }

    /// The latest ACTIVE revision of the family.
    pub async fn latest_active(
        &self,
        account: &str,
        region: &str,
        family: &str,
    ) -> Result<Option<Definition>, store::Error> {
        let row = table::latest_active(self.0.readers(), account, region, family).await?;
        row.as_ref().map(read).transpose()
    }

    /// A page of revisions: ARN, family and revision of each.
    pub async fn list(&self, filter: table::Filter<'_>) -> Result<Vec<(String, String, i64)>, store::Error> {
        table::list(self.0.readers(), filter).await
    }

    /// At most `limit` families whose name starts with `prefix`, by name, only those after `after`.
    pub async fn families(
        &self,
        account: &str,
        region: &str,
        prefix: &str,
        status: table::FamilyStatus,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, store::Error> {
        table::families(self.0.readers(), account, region, prefix, status, after, limit).await
    }

    /// Registers the next revision of the family.
    pub async fn register(&self, new: New) -> Result<Definition, store::Error> {
        self.0
            .write(move |connection| {
                Box::pin(async move {
                    let New { account, region, family, registered_at, registered_by, tags, document } = new;
                    let revision = table::next_revision(connection, &account, &region, &family).await?;
                    let definition = Definition {
                        arn: format!("arn:aws:ecs:{region}:{account}:task-definition/{family}:{revision}"),
                        account,
                        region,
                        family,
                        revision,
                        status: Status::Active,
                        registered_at: Some(registered_at),
                        registered_by: Some(registered_by),
                        deregistered_at: None,
                        delete_requested_at: None,
                        tags,
                        document,
                    };
                    definition.put(connection).await?;
                    Ok(definition)
                })
            })
            .await
    }

    /// Changes the revision by `change`, which sees it as it is in the transaction that writes it.
    ///
    /// # Errors
    /// There is no such revision; `change` refuses; the store fails. Nothing is written then.
    pub async fn update<R, E>(
        &self,
        arn: &str,
        change: impl FnOnce(&mut Definition) -> Result<R, E> + Send + 'static,
    ) -> Result<R, update::Error<E>>
    where
        R: Send + 'static,
        E: Send + 'static,
    {
        update::change(&self.0, arn, change).await
    }

    /// Deletes an INACTIVE revision: at once if no live task runs it, else with the last of them; until then it is
    /// DELETE_IN_PROGRESS. Returns it as DELETE_IN_PROGRESS either way, as ECS does.
    ///
    /// # Errors
    /// There is no such revision; it is ACTIVE; the store fails.
    pub async fn delete(&self, arn: &str, now: Timestamp) -> Result<Definition, update::Error<StillActive>> {
        update::with(&self.0, arn, move |connection, mut definition: Definition| {
            Box::pin(async move {
                if definition.is_active() {
                    return Ok(Err(StillActive));
                }
                definition.status = Status::DeleteInProgress;
                definition.delete_requested_at.get_or_insert(now);
                if tasks::any_live_of_definition(&mut *connection, &definition.arn).await? {
                    definition.put(connection).await?;
                } else {
                    table::delete(connection, &definition.arn).await?;
                }
                Ok(Ok(definition))
            })
        })
        .await
    }
}

/// Whether new tasks may run the revision, read in the transaction that commits them.
pub(super) async fn is_active(connection: &mut SqliteConnection, arn: &str) -> Result<bool, store::Error> {
    Ok(table::get(connection, arn).await?.is_some_and(|row| row.status == Status::Active.as_str()))
}

impl update::Record for Definition {
    async fn find(connection: &mut SqliteConnection, arn: &str) -> Result<Option<Self>, store::Error> {
        table::get(connection, arn).await?.as_ref().map(read).transpose()
    }

    async fn put(&self, connection: &mut SqliteConnection) -> Result<(), store::Error> {
        table::put(connection, &row(self)).await
    }
}

fn row(definition: &Definition) -> table::Row {
    table::Row {
        arn: definition.arn.clone(),
        account: definition.account.clone(),
        region: definition.region.clone(),
        family: definition.family.clone(),
        revision: definition.revision,
        status: definition.status.as_str().to_owned(),
        body: Body::new(VERSION, definition),
    }
}

fn read(row: &table::Row) -> Result<Definition, store::Error> {
    match row.body.version {
        1 => first::read(row),
        VERSION => row.body.parse("a task definition"),
        _ => Err(row.body.newer("a task definition", VERSION)),
    }
}

/// Version 1: ECS's structure as the API returned it, and its tags.
mod first {
    use super::{Definition, Map, Status, Tag, Timestamp, Value, store, table};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Body {
        definition: Map<String, Value>,
        tags: Vec<Tag>,
    }

    pub(super) fn read(row: &table::Row) -> Result<Definition, store::Error> {
        let Body { mut definition, tags } = row.body.parse("a task definition")?;
        for member in ["taskDefinitionArn", "family", "revision", "status"] {
            definition.remove(member);
        }
        let registered_by = definition.remove("registeredBy");
        let mut time = |member: &str| definition.remove(member).as_ref().and_then(timestamp);
        let (registered_at, deregistered_at) = (time("registeredAt"), time("deregisteredAt"));
        Ok(Definition {
            arn: row.arn.clone(),
            account: row.account.clone(),
            region: row.region.clone(),
            family: row.family.clone(),
            revision: row.revision,
            status: if row.status == "ACTIVE" { Status::Active } else { Status::Inactive },
            registered_at,
            registered_by: registered_by.and_then(|by| by.as_str().map(str::to_owned)),
            deregistered_at,
            // That release deleted a definition at once.
            delete_requested_at: None,
            tags,
            document: definition,
        })
    }

    /// Epoch seconds with a fraction of at most three digits.
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 are far below 2^63")]
    fn timestamp(value: &Value) -> Option<Timestamp> {
        value.as_f64().map(|seconds| Timestamp((seconds * 1000.0).round() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_version_2_is_read_and_written_as_it_was() {
        let golden = serde_json::json!({
            "arn": "arn:aws:ecs:us-east-1:000000000000:task-definition/app:7", "account": "000000000000",
            "region": "us-east-1", "family": "app", "revision": 7, "status": "DELETE_IN_PROGRESS",
            "registered_at": 1_795_730_860_691_i64, "registered_by": "arn:aws:iam::000000000000:root",
            "deregistered_at": 1_795_730_861_000_i64, "delete_requested_at": 1_795_730_862_000_i64,
            "tags": [{"key": "team", "value": "blue"}],
            "document": {
                "networkMode": "awsvpc", "cpu": "256", "memory": "512",
                "containerDefinitions": [{"name": "app", "image": "nginx", "essential": true}],
            },
        });
        let stored = table::Row {
            arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/app:7".into(),
            account: "000000000000".into(),
            region: "us-east-1".into(),
            family: "app".into(),
            revision: 7,
            status: "DELETE_IN_PROGRESS".into(),
            body: Body { version: 2, json: golden.to_string() },
        };
        let definition = read(&stored).expect("it is read");
        let expected = Definition {
            arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/app:7".into(),
            account: "000000000000".into(),
            region: "us-east-1".into(),
            family: "app".into(),
            revision: 7,
            status: Status::DeleteInProgress,
            registered_at: Some(Timestamp(1_795_730_860_691)),
            registered_by: Some("arn:aws:iam::000000000000:root".into()),
            deregistered_at: Some(Timestamp(1_795_730_861_000)),
            delete_requested_at: Some(Timestamp(1_795_730_862_000)),
            tags: vec![Tag { key: "team".into(), value: "blue".into() }],
            document: golden["document"].as_object().expect("an object").clone(),
        };
        assert_eq!(definition, expected);
        assert_eq!(serde_json::to_value(&definition).expect("it serialises"), golden);
    }
}
