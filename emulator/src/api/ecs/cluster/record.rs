//! A cluster as it is kept: the wire's own structure, with its tags and settings, without what is counted anew.

use crate::api::ecs::reference;
use crate::api::model::ecs::{Cluster, ClusterSetting, ClusterSettingName, error};
use crate::api::{Context, Error};
use crate::store::clusters;

/// The name that means the default cluster, and the cluster meant where none is named.
pub(super) const DEFAULT: &str = "default";

const ACTIVE: &str = "ACTIVE";
const INACTIVE: &str = "INACTIVE";

/// A cluster of the store, read.
#[derive(Clone, Debug)]
pub(in crate::api::ecs) struct Record {
    pub(in crate::api::ecs) arn: String,
    pub(in crate::api::ecs) name: String,
    pub(in crate::api::ecs) cluster: Cluster,
}

impl Record {
    /// A new cluster: what ECS fills in where CreateCluster says nothing.
    pub(super) fn new(context: &Context, name: &str) -> Self {
        let arn = context.arn("ecs", format_args!("cluster/{name}"));
        let cluster = Cluster {
            cluster_arn: Some(arn.clone()),
            cluster_name: Some(name.to_owned()),
            status: Some(ACTIVE.to_owned()),
            settings: Some(vec![ClusterSetting {
                name: Some(ClusterSettingName::ContainerInsights),
                value: Some("disabled".to_owned()),
            }]),
            capacity_providers: Some(Vec::new()),
            default_capacity_provider_strategy: Some(Vec::new()),
            tags: Some(Vec::new()),
            ..Cluster::default()
        };
        Self { arn, name: name.to_owned(), cluster }
    }

    pub(in crate::api::ecs) fn is_active(&self) -> bool {
        self.cluster.status.as_deref() == Some(ACTIVE)
    }

    /// The same cluster, deleted.
    pub(super) fn inactive(mut self) -> Self {
        self.cluster.status = Some(INACTIVE.to_owned());
        self
    }

    /// Keeps the cluster, in place of the one of its name.
    pub(in crate::api::ecs) async fn put(&self, context: &Context) -> Result<(), Error> {
        let row = clusters::Row {
            arn: self.arn.clone(),
            account: context.account().to_owned(),
            region: context.region.clone(),
            name: self.name.clone(),
            status: self.cluster.status.clone().unwrap_or_default(),
            body: serde_json::to_string(&self.cluster).map_err(Error::failure)?,
        };
        let write = context
            .store()
            .write(move |connection| Box::pin(async move { clusters::put(connection, &row).await }));
        Ok(write.await?)
    }

    fn read(row: clusters::Row) -> Result<Self, Error> {
        let clusters::Row { arn, name, body, .. } = row;
        let cluster = serde_json::from_str(&body).map_err(Error::failure)?;
        Ok(Self { arn, name, cluster })
    }
}

/// Name and ARN of the cluster that is meant, whether or not it is there.
pub(in crate::api::ecs) fn named(
    context: &Context,
    cluster: Option<&str>,
) -> Result<(String, String), Error> {
    let text = cluster.unwrap_or(DEFAULT);
    let name = reference::resource(context, "cluster", text)?.unwrap_or(text);
    Ok((name.to_owned(), context.arn("ecs", format_args!("cluster/{name}"))))
}

/// Finds a cluster by name or ARN, deleted ones too. The default one is made where it is not there yet.
pub(in crate::api::ecs) async fn find(
    context: &Context,
    cluster: Option<&str>,
) -> Result<Option<Record>, Error> {
    let (name, arn) = named(context, cluster)?;
    match clusters::get(context.store().readers(), &arn).await? {
        Some(row) => Record::read(row).map(Some),
        None if name == DEFAULT => {
            let mut record = Record::new(context, DEFAULT);
            // As the console makes it, so that a strategy with FARGATE_SPOT works at once.
            record.cluster.capacity_providers = Some(vec!["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()]);
            record.put(context).await?;
            Ok(Some(record))
        }
        None => Ok(None),
    }
}

/// [`find`], of clusters that can be used.
///
/// # Errors
/// `ClusterNotFoundException` where there is none, or a deleted one.
pub(in crate::api::ecs) async fn find_active(
    context: &Context,
    cluster: Option<&str>,
) -> Result<Record, Error> {
    let found = find(context, cluster).await?;
    found.filter(Record::is_active).ok_or_else(|| Error::new(error::CLUSTER_NOT_FOUND, "Cluster not found."))
}
