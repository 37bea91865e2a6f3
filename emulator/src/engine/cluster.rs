//! Clusters: what they are, and every change of them, each read, decided and written in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::engine::run_detached;
use super::task::Tag;
use super::update::{self, Record as _};
use crate::store::{self, Body, SqliteConnection, Store, clusters as table, tasks};

/// The version of a stored body. 1 was the API's own structure.
const VERSION: u32 = 2;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    pub arn: String,
    /// 12 digits.
    pub account: String,
    pub region: String,
    pub name: String,
    pub status: Status,
    pub settings: Vec<Setting>,
    pub capacity_providers: Vec<String>,
    pub default_capacity_provider_strategy: Vec<StrategyItem>,
    /// ECS's ClusterConfiguration as it was given; nothing here depends on it.
    pub configuration: Option<serde_json::Value>,
    /// The default namespace of Service Connect.
    pub service_connect_namespace: Option<String>,
    pub tags: Vec<Tag>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Active,
    /// Deleted; CreateCluster creates it again.
    Inactive,
}

impl Status {
    /// In ECS's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// `name` and `value` of a setting (`containerInsights`, `disabled`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    pub name: String,
    #[serde(default)]
    pub value: String,
}

/// A provider of a capacity provider strategy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyItem {
    pub capacity_provider: String,
    /// Tasks that run on it before any other gets one.
    pub base: u32,
    /// Its share of the tasks beyond the base.
    pub weight: u32,
}

impl Cluster {
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }
}

/// Why a cluster cannot be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undeletable {
    #[error("the cluster is not active")]
    Inactive,
    #[error("the cluster has tasks")]
    HasTasks,
}

/// The clusters of the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clusters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    /// The clusters that were read since the last change of any, by ARN. Most requests name a cluster, and a read through
    /// SQLite's thread costs more than the rest of a request.
    read: RwLock<HashMap<String, Arc<Cluster>>>,
    /// Held while a cluster is changed, or read from the store, so that `read` is never older than the store.
    turn: tokio::sync::Mutex<()>,
}

impl Clusters {
    pub(super) fn of(store: &Store) -> Self {
        let (read, turn) = (RwLock::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Inner { store: store.clone(), read, turn }))
    }

    /// The cluster of that ARN, even if it is deleted.
    pub async fn get(&self, arn: &str) -> Result<Option<Arc<Cluster>>, store::Error> {
        let Inner { store, read: known, turn } = &*self.0;
        if let Some(found) = known.read().get(arn) {
            return Ok(Some(Arc::clone(found)));
        }
        let _turn = turn.lock().await;
        let Some(row) = table::get(store.readers(), arn).await? else { return Ok(None) };
        let found = Arc::new(read(&row)?);
        known.write().insert(arn.to_owned(), Arc::clone(&found));
        Ok(Some(found))
    }

    /// Awaits `change`, which writes clusters. It must complete, even if the caller goes away.
    pub(super) async fn changing<T>(&self, change: impl Future<Output = T>) -> T {
        let _turn = self.0.turn.lock().await;
        let changed = change.await;
        self.0.read.write().clear();
        changed
    }

    /// At most `limit` ACTIVE clusters of a region as (name, ARN), by name, only those after `after`.
    pub async fn list(
        &self,
        account: &str,
        region: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, String)>, store::Error> {
        let active = Status::Active.as_str();
        let rows = table::list(self.0.store.readers(), account, region, active, after, limit).await?;
        Ok(rows.into_iter().map(|row| (row.name, row.arn)).collect())
    }

    /// Creates the cluster, also in place of a deleted one of its name. If an ACTIVE one exists, returns that one
    /// unchanged.
    pub async fn create(&self, cluster: Cluster) -> Result<Cluster, store::Error> {
        self.make(cluster, Cluster::is_active).await
    }

    /// Creates the cluster unless one of its name exists, deleted or not; returns the existing one.
    pub async fn ensure(&self, cluster: Cluster) -> Result<Cluster, store::Error> {
        self.make(cluster, |_| true).await
    }

    async fn make(&self, cluster: Cluster, stays: fn(&Cluster) -> bool) -> Result<Cluster, store::Error> {
        let clusters = self.clone();
        run_detached(async move {
            let made = clusters.0.store.write(move |connection| {
                Box::pin(async move {
                    if let Some(found) = Cluster::find(connection, &cluster.arn).await?.filter(stays) {
                        return Ok(found);
                    }
                    cluster.put(connection).await?;
                    Ok(cluster)
                })
            });
            clusters.changing(made).await
        })
        .await
    }

    /// Changes the cluster by `change`, which sees it as it is in the transaction that writes it.
    ///
    /// # Errors
    /// There is no such cluster; `change` refuses; the store fails. Nothing is written then.
    pub async fn update<R, E>(
        &self,
        arn: &str,
        change: impl FnOnce(&mut Cluster) -> Result<R, E> + Send + 'static,
    ) -> Result<R, update::Error<E>>
    where
        R: Send + 'static,
        E: Send + 'static,
    {
        let (clusters, arn) = (self.clone(), arn.to_owned());
        run_detached(async move { clusters.changing(update::change(&clusters.0.store, &arn, change)).await })
            .await
    }

    /// Sets the cluster to INACTIVE, unless it has a live task. RunTask reads the status in the transaction that commits
    /// its tasks, so one of the two comes first.
    ///
    /// # Errors
    /// There is no such cluster; it is INACTIVE already or has tasks; the store fails.
    pub async fn delete(&self, arn: &str) -> Result<Cluster, update::Error<Undeletable>> {
        let (clusters, arn) = (self.clone(), arn.to_owned());
        run_detached(async move {
            let deleted = update::with(&clusters.0.store, &arn, |connection, mut cluster: Cluster| {
                Box::pin(async move {
                    if !cluster.is_active() {
                        return Ok(Err(Undeletable::Inactive));
                    }
                    if tasks::any_live_in_cluster(&mut *connection, &cluster.arn).await? {
                        return Ok(Err(Undeletable::HasTasks));
                    }
                    cluster.status = Status::Inactive;
                    cluster.put(connection).await?;
                    Ok(Ok(cluster))
                })
            });
            clusters.changing(deleted).await
        })
        .await
    }
}

/// Whether tasks may be launched in the cluster, read in the transaction that commits them.
pub(super) async fn is_active(connection: &mut SqliteConnection, arn: &str) -> Result<bool, store::Error> {
    Ok(table::get(connection, arn).await?.is_some_and(|row| row.status == Status::Active.as_str()))
}

impl update::Record for Cluster {
    async fn find(connection: &mut SqliteConnection, arn: &str) -> Result<Option<Self>, store::Error> {
        table::get(connection, arn).await?.as_ref().map(read).transpose()
    }

    async fn put(&self, connection: &mut SqliteConnection) -> Result<(), store::Error> {
        table::put(connection, &row(self)).await
    }
}

fn row(cluster: &Cluster) -> table::Row {
    table::Row {
        arn: cluster.arn.clone(),
        account: cluster.account.clone(),
        region: cluster.region.clone(),
        name: cluster.name.clone(),
        status: cluster.status.as_str().to_owned(),
        body: Body::new(VERSION, cluster),
    }
}

fn read(row: &table::Row) -> Result<Cluster, store::Error> {
    match row.body.version {
        1 => first::read(row),
        VERSION => row.body.parse("a cluster"),
        _ => Err(row.body.newer("a cluster", VERSION)),
    }
}

/// Version 1: ECS's structure as the API returned it.
mod first {
    use super::{Cluster, Setting, Status, StrategyItem, Tag, store, table};
    use serde::Deserialize;

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Body {
        status: String,
        settings: Vec<Setting>,
        capacity_providers: Vec<String>,
        default_capacity_provider_strategy: Vec<Item>,
        configuration: Option<serde_json::Value>,
        service_connect_defaults: Option<ServiceConnect>,
        tags: Vec<Tag>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Item {
        capacity_provider: String,
        #[serde(default)]
        base: u32,
        #[serde(default)]
        weight: u32,
    }

    #[derive(Deserialize)]
    struct ServiceConnect {
        namespace: Option<String>,
    }

    pub(super) fn read(row: &table::Row) -> Result<Cluster, store::Error> {
        let body: Body = row.body.parse("a cluster")?;
        let item = |item: Item| StrategyItem {
            capacity_provider: item.capacity_provider,
            base: item.base,
            weight: item.weight,
        };
        Ok(Cluster {
            arn: row.arn.clone(),
            account: row.account.clone(),
            region: row.region.clone(),
            name: row.name.clone(),
            status: if body.status == "ACTIVE" { Status::Active } else { Status::Inactive },
            settings: body.settings,
            capacity_providers: body.capacity_providers,
            default_capacity_provider_strategy: body
                .default_capacity_provider_strategy
                .into_iter()
                .map(item)
                .collect(),
            configuration: body.configuration,
            service_connect_namespace: body.service_connect_defaults.and_then(|defaults| defaults.namespace),
            tags: body.tags,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_version_2_is_read_and_written_as_it_was() {
        let golden = serde_json::json!({
            "arn": "arn:aws:ecs:us-east-1:000000000000:cluster/mine", "account": "000000000000",
            "region": "us-east-1", "name": "mine", "status": "INACTIVE",
            "settings": [{"name": "containerInsights", "value": "enabled"}],
            "capacity_providers": ["FARGATE", "FARGATE_SPOT"],
            "default_capacity_provider_strategy": [{"capacity_provider": "FARGATE_SPOT", "base": 1, "weight": 4}],
            "configuration": {"executeCommandConfiguration": {"logging": "DEFAULT"}},
            "service_connect_namespace": "ns", "tags": [{"key": "team", "value": "blue"}],
        });
        let stored = table::Row {
            arn: "arn:aws:ecs:us-east-1:000000000000:cluster/mine".into(),
            account: "000000000000".into(),
            region: "us-east-1".into(),
            name: "mine".into(),
            status: "INACTIVE".into(),
            body: Body { version: 2, json: golden.to_string() },
        };
        let cluster = read(&stored).expect("it is read");
        let expected = Cluster {
            arn: "arn:aws:ecs:us-east-1:000000000000:cluster/mine".into(),
            account: "000000000000".into(),
            region: "us-east-1".into(),
            name: "mine".into(),
            status: Status::Inactive,
            settings: vec![Setting { name: "containerInsights".into(), value: "enabled".into() }],
            capacity_providers: vec!["FARGATE".into(), "FARGATE_SPOT".into()],
            default_capacity_provider_strategy: vec![StrategyItem {
                capacity_provider: "FARGATE_SPOT".into(),
                base: 1,
                weight: 4,
            }],
            configuration: Some(golden["configuration"].clone()),
            service_connect_namespace: Some("ns".into()),
            tags: vec![Tag { key: "team".into(), value: "blue".into() }],
        };
        assert_eq!(cluster, expected);
        assert_eq!(serde_json::to_value(&cluster).expect("it serialises"), golden);
    }
}
