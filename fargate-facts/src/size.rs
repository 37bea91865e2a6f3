//! The sizes of a task.
//!
//! Source: Amazon ECS developer guide, "Amazon ECS task definition parameters for Fargate", task size; API reference,
//! Task, `cpu` and `memory`.

/// CPU units of one vCPU.
pub const VCPU: u32 = 1024;

/// MiB of one GB, as Fargate counts them.
pub const GB: u32 = 1024;

/// The memory, in MiB, that is possible with an amount of CPU.
#[derive(Clone, Copy, Debug)]
enum Memory {
    /// These, ascending.
    Listed(&'static [u32]),
    /// From, to and step.
    Stepped(u32, u32, u32),
}

/// CPU units and the possible memory, both ascending.
const TABLE: [(u32, Memory); 8] = [
    (256, Memory::Listed(&[512, 1024, 2048])),
    (512, Memory::Stepped(1024, 4096, 1024)),
    (1024, Memory::Stepped(2048, 8192, 1024)),
    (2048, Memory::Stepped(4096, 16384, 1024)),
    (4096, Memory::Stepped(8192, 30720, 1024)),
    (8192, Memory::Stepped(16384, 61440, 4096)),
    (16384, Memory::Stepped(32768, 122_880, 8192)),
    (32768, Memory::Listed(&[61440, 122_880, 249_856])),
];

impl Memory {
    /// The smallest memory of the row that holds `mib`.
    fn fit(self, mib: u64) -> Option<u32> {
        match self {
            Self::Listed(listed) => listed.iter().copied().find(|&listed| u64::from(listed) >= mib),
            Self::Stepped(from, to, step) => {
                let beyond = mib.saturating_sub(u64::from(from)).div_ceil(u64::from(step));
                let rounded = beyond.saturating_mul(u64::from(step)).saturating_add(u64::from(from));
                u32::try_from(rounded).ok().filter(|&rounded| rounded <= to)
            }
        }
    }
}

/// A size of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// CPU units; 1024 per vCPU.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
}

impl Size {
    /// The largest size.
    pub const LARGEST: Self = Self { cpu: 32768, memory: 249_856 };

    /// The size of exactly those CPU units and MiB; `None` if Fargate does not have it.
    #[must_use]
    pub fn exact(cpu: u32, memory: u32) -> Option<Self> {
        let (_, row) = TABLE.iter().find(|(units, _)| *units == cpu)?;
        row.fit(u64::from(memory)).filter(|&fit| fit == memory).map(|memory| Self { cpu, memory })
    }

    /// The smallest size that holds `cpu` units and `memory` MiB; `None` if no size does.
    #[must_use]
    pub fn fit(cpu: u64, memory: u64) -> Option<Self> {
        TABLE
            .iter()
            .filter(|(units, _)| u64::from(*units) >= cpu)
            .find_map(|(units, row)| row.fit(memory).map(|memory| Self { cpu: *units, memory }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every size, written out.
    fn every() -> Vec<(u32, u32)> {
        let mut every: Vec<(u32, u32)> = vec![(256, 512), (256, 1024), (256, 2048)];
        every.extend((1..=4).map(|gb| (512, gb * 1024)));
        every.extend((2..=8).map(|gb| (1024, gb * 1024)));
        every.extend((4..=16).map(|gb| (2048, gb * 1024)));
        every.extend((8..=30).map(|gb| (4096, gb * 1024)));
        every.extend((16..=60).step_by(4).map(|gb| (8192, gb * 1024)));
        every.extend((32..=120).step_by(8).map(|gb| (16384, gb * 1024)));
        every.extend([60, 120, 244].map(|gb| (32768, gb * 1024)));
        every
    }

    #[test]
    fn the_whole_table_and_nothing_beside_it_is_a_size() {
        let every = every();
        for cpu in [0, 128, 255, 256, 512, 768, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
            for memory in (0..=262_144).step_by(256) {
                let size = Size::exact(cpu, memory);
                let expected = every.contains(&(cpu, memory)).then_some(Size { cpu, memory });
                assert_eq!(size, expected, "{cpu} {memory}");
            }
        }
    }

    #[test]
    fn the_smallest_size_that_holds_both_is_taken() {
        let every = every();
        for cpu in [0, 1, 256, 257, 1024, 4096, 4097, 8192, 16384, 16385, 32768, 32769] {
            for memory in (0..=250_000).step_by(509) {
                let smallest = every
                    .iter()
                    .filter(|(units, mib)| u64::from(*units) >= cpu && u64::from(*mib) >= memory)
                    .min()
                    .map(|&(cpu, memory)| Size { cpu, memory });
                assert_eq!(Size::fit(cpu, memory), smallest, "{cpu} {memory}");
            }
        }
        assert_eq!(every.last(), Some(&(Size::LARGEST.cpu, Size::LARGEST.memory)));
        assert_eq!(Size::fit(u64::MAX, 0), None);
        assert_eq!(Size::fit(0, u64::MAX), None);
    }
}
