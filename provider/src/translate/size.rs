//! A pod's requests, rounded up to a size that Fargate offers.
//!
//! The rule is EKS Fargate's (user guide, "Fargate Pod configuration"): the containers' requests are added up, CPU and
//! memory each, and the smallest row of the table that holds both is taken; a pod without requests gets the smallest
//! row. EKS adds 256 MiB for its own kubelet, which runs in the task there and does not here.

use std::fmt;

use fargate_facts::storage;
use k8s_openapi::{
    api::core::v1::{Container, PodSpec},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::quantity;

/// ECS's CPU units of one vCPU, and MiB of one GB.
const UNITS: u64 = 1024;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A size of Fargate's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// CPU units, 1024 per vCPU.
    pub cpu: u64,
    /// MiB.
    pub memory: u64,
}

impl Size {
    /// The smallest size that holds `cpu` units and `memory` MiB; `None` if none does.
    #[must_use]
    pub fn fit(cpu: u64, memory: u64) -> Option<Self> {
        fargate_facts::Size::fit(cpu, memory).map(Self::from)
    }
}

impl From<fargate_facts::Size> for Size {
    fn from(size: fargate_facts::Size) -> Self {
        Self { cpu: size.cpu.into(), memory: size.memory.into() }
    }
}

/// In EKS's form of `CapacityProvisioned`: `0.25vCPU 0.5GB`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}vCPU {}GB", thousandths(self.cpu, UNITS), thousandths(self.memory, UNITS))
    }
}

/// `value / of` as a decimal with at most three places; every value of the table has at most two.
fn thousandths(value: u64, of: u64) -> String {
    let fraction = format!("{:03}", value % of * 1000 / of);
    let fraction = fraction.trim_end_matches('0');
    match fraction {
        "" => (value / of).to_string(),
        _ => format!("{}.{fraction}", value / of),
    }
}

/// The requests of one container, or of a whole pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// CPU units.
    pub cpu: u64,
    /// MiB of memory.
    pub memory: u64,
    /// GiB of ephemeral storage.
    pub storage: u64,
}

/// The requests and the limit of one container, in ECS's units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Its requests.
    pub request: Request,
    /// Its memory limit in MiB.
    pub limit: Option<u64>,
}

/// A pod's size and its containers' shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The size of the task.
    pub size: Size,
    /// Ephemeral storage in GiB, if it is more than every task has.
    pub storage: Option<u64>,
    /// One share per container, in the pod's order.
    pub shares: Vec<Share>,
}

/// Sizes the pod; else every reason why it has no size.
pub fn plan(spec: &PodSpec) -> Result<Plan, Vec<String>> {
    let mut reasons = Vec::new();
    let shares: Vec<Share> = spec.containers.iter().map(|container| share(container, &mut reasons)).collect();
    let sum = shares.iter().fold(Request::default(), |sum, share| Request {
        cpu: sum.cpu.saturating_add(share.request.cpu),
        memory: sum.memory.saturating_add(share.request.memory),
        storage: sum.storage.saturating_add(share.request.storage),
    });
    // Resources of the pod as a whole take precedence over the sum of its containers' (KEP-2837).
    let whole = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let asked = |name: &str, sum: u64, reasons: &mut Vec<String>| {
        whole
            .and_then(|requests| requests.get(name))
            .map_or(sum, |q| read("the pod", name, q, reasons).max(sum))
    };
    let cpu = asked("cpu", sum.cpu, &mut reasons);
    let memory = asked("memory", sum.memory, &mut reasons);

    let size = Size::fit(cpu, memory);
    if size.is_none() {
        reasons.push(format!(
            "resources not supported: {}vCPU {}GB is more than the largest Fargate size, {}",
            thousandths(cpu, UNITS),
            thousandths(memory, UNITS),
            Size::from(fargate_facts::Size::LARGEST),
        ));
    }
    let most = *storage::REQUESTABLE.end();
    if sum.storage > u64::from(most) {
        reasons.push(format!(
            "resources not supported: {} GiB of ephemeral storage is more than Fargate's {most} GiB",
            sum.storage
        ));
    }
    match size {
        Some(size) if reasons.is_empty() => {
            let storage = Some(sum.storage).filter(|&gib| gib > u64::from(storage::INCLUDED));
            Ok(Plan { size, storage, shares })
        }
        _ => Err(reasons),
    }
}

fn share(container: &Container, reasons: &mut Vec<String>) -> Share {
    let Some(resources) = &container.resources else { return Share::default() };
    let whose = format!("container {}", container.name);
    let mut share = Share::default();
    for (name, quantity) in resources.requests.iter().flatten() {
        match name.as_str() {
            "cpu" => share.request.cpu = read(&whose, name, quantity, reasons),
            "memory" => share.request.memory = read(&whose, name, quantity, reasons),
            "ephemeral-storage" => share.request.storage = read(&whose, name, quantity, reasons),
            // Devices and huge pages; the API server copies their limits to their requests.
            _ => reasons.push(format!("resources not supported: {name} ({whose})")),
        }
    }
    share.limit = resources
        .limits
        .as_ref()
        .and_then(|limits| limits.get("memory"))
        .map(|quantity| read(&whose, "memory", quantity, reasons));
    share
}

/// The quantity in ECS's unit of that resource, rounded up.
fn read(whose: &str, name: &str, quantity: &Quantity, reasons: &mut Vec<String>) -> u64 {
    let read = match name {
        "cpu" => quantity::milli(quantity).map(|milli| milli.saturating_mul(UNITS).div_ceil(1000)),
        "memory" => quantity::units(quantity).map(|bytes| bytes.div_ceil(MIB)),
        _ => quantity::units(quantity).map(|bytes| bytes.div_ceil(GIB)),
    };
    read.unwrap_or_else(|error| {
        reasons.push(format!("{whose}: {name}: {error}"));
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_size_that_holds_both_is_taken() {
        let cases = [
            ((0, 0), Some((256, 512))),
            ((256, 512), Some((256, 512))),
            ((256, 513), Some((256, 1024))),
            ((256, 1025), Some((256, 2048))),
            ((257, 512), Some((512, 1024))),
            ((256, 2049), Some((512, 3072))),
            ((1024, 8192), Some((1024, 8192))),
            // EKS's own example: 1 vCPU and 8 GB, a little more, is 2 vCPU and 9 GB.
            ((1024, 8192 + 256), Some((2048, 9216))),
            ((4096, 30720), Some((4096, 30720))),
            ((4096, 30721), Some((8192, 32768))),
            ((8192, 16385), Some((8192, 20480))),
            ((8193, 1), Some((16384, 32768))),
            ((1, 61441), Some((16384, 65536))),
            ((16384, 122_880), Some((16384, 122_880))),
            ((16385, 1), Some((32768, 61440))),
            ((1, 122_881), Some((32768, 249_856))),
            ((32769, 1), None),
            ((1, 249_857), None),
        ];
        for ((cpu, memory), expected) in cases {
            let fit = Size::fit(cpu, memory).map(|size| (size.cpu, size.memory));
            assert_eq!(fit, expected, "{cpu} units, {memory} MiB");
        }
    }

    #[test]
    fn a_size_is_written_as_eks_writes_it() {
        assert_eq!(Size { cpu: 256, memory: 512 }.to_string(), "0.25vCPU 0.5GB");
        assert_eq!(Size { cpu: 2048, memory: 9216 }.to_string(), "2vCPU 9GB");
    }
}
