//! The price table: AWS's public prices as a file, embedded or given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use super::usage::Usage;

/// The region whose prices are used if another's are not known.
pub const FALLBACK: &str = "us-east-1";

/// The instance type to compare with if none is named.
pub const INSTANCE_TYPE: &str = "m5.large";

/// A whole table. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prices(Arc<Table>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    date: String,
    source: String,
    fargate: BTreeMap<String, Region>,
    #[serde(default)]
    ec2: BTreeMap<String, InstanceType>,
}

/// Fargate's prices of a region; an unknown one is absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Region {
    x86: Option<Compute>,
    arm: Option<Compute>,
    spot_x86: Option<Compute>,
    spot_arm: Option<Compute>,
    storage: Option<Dollars>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Compute {
    vcpu: Dollars,
    gb: Dollars,
}

/// An EC2 instance type.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InstanceType {
    vcpu: u32,
    /// GiB.
    memory: u32,
    hour: BTreeMap<String, Dollars>,
}

/// A price: a number, not negative.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
struct Dollars(f64);

impl TryFrom<f64> for Dollars {
    type Error = &'static str;

    fn try_from(dollars: f64) -> Result<Self, Self::Error> {
        match dollars.is_finite() && dollars >= 0.0 {
            true => Ok(Self(dollars)),
            false => Err("a price is a number of dollars, not negative"),
        }
    }
}

/// Dollars per hour, for one vCPU, one GB of memory and one GB of storage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    pub vcpu: f64,
    pub gb: f64,
    pub storage: f64,
}

/// An instance type in a region.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub vcpu: u32,
    /// GiB.
    pub memory: u32,
    /// Dollars.
    pub hour: f64,
}

/// Why a price file is refused; it names the line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Invalid {
    pub line: usize,
    pub message: String,
}

impl Prices {
    /// The table that is compiled into this program.
    pub fn builtin() -> Self {
        match Self::parse(include_str!("prices.toml")) {
            Ok(prices) => prices,
            // A test reads it.
            Err(invalid) => unreachable!("prices.toml, {invalid}"),
        }
    }

    /// Reads a table.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let table: Table = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            Invalid { line: before.matches('\n').count() + 1, message: error.message().to_owned() }
        })?;
        // Line 1: what is missing has no line.
        let incomplete = |message: &str| Invalid { line: 1, message: message.to_owned() };
        let fallback = table.fargate.get(FALLBACK).cloned().unwrap_or_default();
        let complete = [fallback.x86, fallback.arm, fallback.spot_x86, fallback.spot_arm];
        if complete.iter().any(Option::is_none) || fallback.storage.is_none() {
            return Err(incomplete(
                "fargate.us-east-1 must have x86, arm, spot-x86, spot-arm and storage: they are used if a region's are not known",
            ));
        }
        if let Some(name) =
            table.ec2.iter().find(|(_, ec2)| !ec2.hour.contains_key(FALLBACK)).map(|(name, _)| name)
        {
            return Err(incomplete(&format!("ec2.\"{name}\".hour must have us-east-1")));
        }
        if let Some(name) =
            table.ec2.iter().find(|(_, ec2)| ec2.vcpu == 0 || ec2.memory == 0).map(|(name, _)| name)
        {
            return Err(incomplete(&format!("ec2.\"{name}\" must have vcpu and memory of 1 or more")));
        }
        Ok(Self(Arc::new(table)))
    }

    /// The day of the table.
    pub fn date(&self) -> &str {
        &self.0.date
    }

    /// The web page that the prices are from.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What a task is billed by.
    pub fn rates(&self, usage: &Usage) -> Rates {
        let compute = self.own_compute(&usage.region, usage).or_else(|| self.own_compute(FALLBACK, usage));
        let storage = self.own_storage(&usage.region).or_else(|| self.own_storage(FALLBACK));
        let free = Compute { vcpu: Dollars(0.0), gb: Dollars(0.0) };
        // Both are present: a table without the fallback is refused.
        let (compute, storage) = (compute.unwrap_or(free), storage.unwrap_or(Dollars(0.0)));
        Rates { vcpu: compute.vcpu.0, gb: compute.gb.0, storage: storage.0 }
    }

    /// The instance type in a region; `None`: it is not in the table.
    pub fn instance(&self, name: &str, region: &str) -> Option<Instance> {
        let ec2 = self.0.ec2.get(name)?;
        let hour = ec2.hour.get(region).or_else(|| ec2.hour.get(FALLBACK))?.0;
        Some(Instance { vcpu: ec2.vcpu, memory: ec2.memory, hour })
    }

    /// The names of the instance types.
    pub fn instance_types(&self) -> impl Iterator<Item = &str> {
        self.0.ec2.keys().map(String::as_str)
    }

    /// For which of these tasks, and for the instances beside them, another region's prices are used; one sentence each.
    pub fn notes(&self, usages: &[Usage], instance_type: &str) -> Vec<String> {
        let mut missing = BTreeSet::new();
        for usage in usages {
            let region = usage.region.as_str();
            if self.own_compute(region, usage).is_none() {
                let kind = if usage.arm { "ARM" } else { "x86" };
                missing.insert((region, format!("{kind}{}", if usage.spot { " Spot" } else { "" })));
            }
            if usage.ephemeral_storage > fargate_facts::storage::INCLUDED
                && self.own_storage(region).is_none()
            {
                missing.insert((region, "storage".to_owned()));
            }
            if self.0.ec2.get(instance_type).is_some_and(|ec2| !ec2.hour.contains_key(region)) {
                missing.insert((region, instance_type.to_owned()));
            }
        }
        let note = |(region, what): (&str, String)| {
            format!("the table has no {what} price of {region}: that of {FALLBACK} is used")
        };
        let spot = usages.iter().any(|usage| usage.spot);
        let fluctuates = spot.then(|| "Spot prices change daily: a sample is used".to_owned());
        missing.into_iter().map(note).chain(fluctuates).collect()
    }

    fn own_compute(&self, region: &str, usage: &Usage) -> Option<Compute> {
        let region = self.0.fargate.get(region)?;
        match (usage.arm, usage.spot) {
            (false, false) => region.x86,
            (true, false) => region.arm,
            (false, true) => region.spot_x86,
            (true, true) => region.spot_arm,
        }
    }

    fn own_storage(&self, region: &str) -> Option<Dollars> {
        self.0.fargate.get(region)?.storage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_table_has_the_main_regions() {
        let prices = Prices::builtin();
        for region in ["us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1"] {
            assert!(prices.0.fargate.get(region).is_some_and(|region| region.x86.is_some()), "{region}");
        }
        assert!(prices.instance(INSTANCE_TYPE, FALLBACK).is_some());
    }

    #[test]
    fn a_price_file_that_is_wrong_is_refused_with_its_line() {
        let whole = include_str!("prices.toml");
        let line = |marked: &str| whole.lines().position(|line| line == marked).unwrap() + 1;
        let storage = "storage = 0.000111";
        let rows = [
            (whole.replacen(storage, "storage = -1", 1), line(storage), "not negative"),
            (whole.replacen(storage, "storage = \"much\"", 1), line(storage), "expected"),
            (whole.replacen(storage, "storag = 1", 1), line(storage), "unknown field"),
            (whole.replacen(storage, "storage = ", 1), line(storage), ""),
            (whole.replacen(storage, "", 1), 1, "must have"),
            (whole.replace("us-east-1 = 0.096", "us-east-9 = 0.096"), 1, "must have us-east-1"),
        ];
        for (text, line, message) in rows {
            let invalid = Prices::parse(&text).expect_err(message);
            assert_eq!(invalid.line, line, "{invalid}");
            assert!(invalid.message.contains(message), "{invalid}");
        }
    }
}
