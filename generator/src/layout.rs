//! Which shape goes into which file: one file per resource for structures, `shared` for those that several
//! resources have in common, and one file for all enumerations.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;

use crate::model::{Kind, Model};

/// A service whose types are generated.
#[derive(Debug)]
pub(crate) struct Service {
    /// The Rust module.
    pub(crate) name: &'static str,
    /// Its model below botocore's `data`.
    pub(crate) model: &'static str,
    /// How the service writes a timestamp: the Rust type of `timestamp` shapes.
    pub(crate) timestamp: &'static str,
    /// The operations whose types are written; all of them if none is named. Every operation's name is known.
    operations: &'static [&'static str],
    /// Files, and the words in an operation's name that select one. The first match wins.
    groups: &'static [(&'static str, &'static [&'static str])],
    /// Files for what several groups use, and the structure whose parts go into one.
    families: &'static [(&'static str, &'static str)],
    /// Structures that Neargate stores as they are, and so also reads.
    kept: &'static [&'static str],
}

pub(crate) const SERVICES: &[Service] = &[
    Service {
        name: "ecs",
        model: "ecs/2014-11-13/service-2.json.gz",
        timestamp: "EpochSeconds",
        operations: &[],
        groups: &[
            ("daemon", &["Daemon"]),
            ("express_gateway_service", &["ExpressGatewayService"]),
            ("task_set", &["TaskSet"]),
            ("service_deployment", &["ServiceDeployment", "ServiceRevision"]),
            ("service", &["Service"]),
            ("capacity_provider", &["CapacityProvider"]),
            ("account_setting", &["AccountSetting"]),
            ("tag", &["TagResource", "UntagResource", "ListTagsForResource"]),
            ("cluster", &["Cluster"]),
            ("task_definition", &["TaskDefinition"]),
            ("container_instance", &["ContainerInstance", "Agent", "StateChange", "Poll", "Attributes"]),
            ("task", &["Task", "ExecuteCommand"]),
        ],
        families: &[
            ("container_definition", "ContainerDefinition"),
            ("deployment", "DeploymentConfiguration"),
            ("service_connect", "ServiceConnectConfiguration"),
        ],
        kept: &["Cluster", "RunTaskRequest", "TaskDefinition", "TaskOverride"],
    },
    Service {
        name: "logs",
        model: "logs/2014-03-28/service-2.json.gz",
        timestamp: "EpochSeconds",
        operations: &[],
        groups: &[
            ("delivery", &["Deliver", "ConfigurationTemplates"]),
            ("scheduled_query", &["ScheduledQuer"]),
            ("query", &["Quer", "LogFields", "LogGroupFields", "LogRecord", "LogObject"]),
            ("anomaly", &["Anomal"]),
            ("lookup_table", &["LookupTable"]),
            ("integration", &["Integration"]),
            ("transformer", &["Transformer"]),
            ("export_import", &["ExportTask", "ImportTask"]),
            ("destination", &["Destination"]),
            ("filter", &["MetricFilter", "SubscriptionFilter"]),
            (
                "policy",
                &["AccountPolic", "DataProtectionPolic", "IndexPolic", "ResourcePolic", "FieldIndexes"],
            ),
            ("tag", &["TagResource", "UntagResource", "ListTags", "TagLogGroup"]),
            ("log_event", &["LogEvents", "LiveTail"]),
            ("log_stream", &["LogStream"]),
            ("log_group", &["LogGroup", "RetentionPolicy", "KmsKey", "BearerToken"]),
        ],
        families: &[],
        kept: &[],
    },
    Service {
        name: "ec2",
        model: "ec2/2016-11-15/service-2.json.gz",
        timestamp: "Iso8601",
        operations: &[
            "DescribeAvailabilityZones",
            "DescribeDhcpOptions",
            "DescribeNetworkInterfaces",
            "DescribeRouteTables",
            "DescribeSecurityGroups",
            "DescribeSubnets",
            "DescribeVpcs",
        ],
        groups: &[
            ("availability_zone", &["AvailabilityZones"]),
            ("dhcp_options", &["DhcpOptions"]),
            ("network_interface", &["NetworkInterfaces"]),
            ("route_table", &["RouteTables"]),
            ("security_group", &["SecurityGroups"]),
            ("subnet", &["Subnets"]),
            ("vpc", &["Vpcs"]),
        ],
        families: &[],
        kept: &[],
    },
    Service {
        name: "sts",
        model: "sts/2011-06-15/service-2.json.gz",
        timestamp: "Iso8601",
        operations: &["GetCallerIdentity"],
        groups: &[("caller_identity", &["CallerIdentity"])],
        families: &[],
        kept: &[],
    },
];

/// A service for tests only: everything that a REST protocol can express.
#[cfg(test)]
pub(crate) const GARDEN: Service = Service {
    name: "garden",
    model: "",
    timestamp: "EpochSeconds",
    operations: &[],
    groups: &[("plant", &["Plant"])],
    families: &[],
    kept: &[],
};

/// The file of the structures that several groups use.
const SHARED: &str = "shared";

/// The file of the enumerations.
const ENUMERATIONS: &str = "enumerations";

/// The file of each named shape, and what is known of it.
#[derive(Debug)]
pub(crate) struct Layout {
    /// File → its shapes.
    pub(crate) files: BTreeMap<&'static str, BTreeSet<String>>,
    /// Shapes that a request can carry: these are validated.
    pub(crate) requested: BTreeSet<String>,
    /// Shapes that are written: a response can carry them, or they are stored.
    pub(crate) written: BTreeSet<String>,
    /// Shapes that are read: a request can carry them, or they are stored.
    pub(crate) read: BTreeSet<String>,
}

impl Layout {
    /// Lays out every shape that an operation reaches. An operation that belongs to no group is an error: a new
    /// one needs a decision.
    pub(crate) fn new(service: &Service, model: &Model) -> anyhow::Result<Self> {
        let mut users: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
        let mut requested = BTreeSet::new();
        let mut written = BTreeSet::new();
        for (name, operation) in &model.operations {
            if !service.operations.is_empty() && !service.operations.contains(&name.as_str()) {
                continue;
            }
            let (group, _) = service
                .groups
                .iter()
                .find(|(_, words)| words.iter().any(|word| name.contains(word)))
                .with_context(|| format!("layout.rs has no group for the operation {name}"))?;

            let mut reached = BTreeSet::new();
            if let Some(input) = &operation.input {
                reach(model, &input.shape, &mut reached)?;
            }
            requested.extend(reached.iter().cloned());
            if let Some(output) = &operation.output {
                reach(model, &output.shape, &mut reached)?;
                reach(model, &output.shape, &mut written)?;
            }
            for shape in reached {
                users.entry(shape).or_default().insert(group);
            }
        }

        let mut read = requested.clone();
        for kept in service.kept {
            reach(model, kept, &mut written)?;
            reach(model, kept, &mut read)?;
        }

        let mut families = Vec::new();
        for (file, root) in service.families {
            let mut reached = BTreeSet::new();
            reach(model, root, &mut reached)?;
            families.push((*file, reached));
        }

        let mut files: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for (shape, groups) in users {
            let found = model.shape(&shape)?;
            if found.is_named() {
                let file = match groups.first() {
                    _ if found.kind != Kind::Structure => ENUMERATIONS,
                    Some(only) if groups.len() == 1 => only,
                    _ => families
                        .iter()
                        .find(|(_, reached)| reached.contains(&shape))
                        .map_or(SHARED, |(file, _)| file),
                };
                files.entry(file).or_default().insert(shape);
            }
        }
        Ok(Self { files, requested, written, read })
    }
}

/// Adds `name` and every shape below it to `reached`.
fn reach(model: &Model, name: &str, reached: &mut BTreeSet<String>) -> anyhow::Result<()> {
    if reached.insert(name.to_owned()) {
        for part in model.shape(name)?.parts() {
            reach(model, part, reached)?;
        }
    }
    Ok(())
}

/// Whether a structure contains itself only through structures, so that its size would be infinite.
pub(crate) fn holds_itself(model: &Model, name: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![name];
    while let Some(next) = open.pop() {
        let Some(shape) = model.shapes.get(next).filter(|shape| shape.kind == Kind::Structure) else {
            continue;
        };
        for part in shape.parts() {
            if part == name {
                return true;
            }
            if seen.insert(part) {
                open.push(part);
            }
        }
    }
    false
}
