//! The sizes of a Fargate task.
//!
//! Source: developer guide, "Amazon ECS task definition parameters for Fargate", task size; API reference, Task,
//! `cpu` and `memory`.

use crate::api::Error;

/// CPU units, and the memory that goes with them: from, to and step in MiB.
const TABLE: &[(u32, u32, u32, u32)] = &[
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16384, 1024),
    (4096, 8192, 30720, 1024),
    (8192, 16384, 61440, 4096),
    (16384, 32768, 122_880, 8192),
];

/// The smallest CPU has a row of its own, for its steps are not even.
const SMALLEST: (u32, [u32; 3]) = (256, [512, 1024, 2048]);

/// A size of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api::ecs) struct Size {
    /// CPU units; 1024 are a vCPU.
    pub(in crate::api::ecs) cpu: u32,
    /// MiB.
    pub(in crate::api::ecs) memory: u32,
}

impl Size {
    /// The size of those two, where Fargate has it.
    pub(in crate::api::ecs) fn new(cpu: u32, memory: u32) -> Result<Self, Error> {
        let known = if cpu == SMALLEST.0 {
            SMALLEST.1.contains(&memory)
        } else {
            TABLE.iter().any(|&(units, from, to, step)| {
                units == cpu && (from..=to).contains(&memory) && (memory - from).is_multiple_of(step)
            })
        };
        if known {
            Ok(Self { cpu, memory })
        } else {
            Err(Error::client("No Fargate configuration exists for given values."))
        }
    }
}

/// CPU units of `256`, `.25 vCPU`, `1vcpu`; `None` where the text says no whole positive number of them.
pub(in crate::api::ecs) fn cpu_units(text: &str) -> Option<u32> {
    quantity(text, &[("vcpu", 1024)])
}

/// MiB of `512`, `0.5 GB`, `1GB`.
pub(in crate::api::ecs) fn memory_mib(text: &str) -> Option<u32> {
    quantity(text, &[("gb", 1024), ("mb", 1), ("mib", 1)])
}

/// A whole number, or a decimal one with a unit that makes it whole. At most 9 digits before the point and 4 after
/// it: integers all the way.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    let unit = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), *factor)));
    let (number, factor) = unit.unwrap_or((&text, 1));
    let (whole, fraction) = match number.split_once('.') {
        Some(_) if unit.is_none() => return None,
        Some((whole, fraction)) => (whole, fraction.trim_end_matches('0')),
        None => (number, ""),
    };
    let digits = |text: &str, most: usize| text.len() <= most && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole, 9) || !digits(fraction, 4) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let value: u64 = format!("{whole}{fraction}").parse().ok()?;
    let scaled = value * factor;
    if scaled == 0 || !scaled.is_multiple_of(scale) { None } else { u32::try_from(scaled / scale).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table_and_nothing_beside_it_is_a_size() {
        let mut table: Vec<(u32, u32)> = vec![(256, 512), (256, 1024), (256, 2048)];
        table.extend((1..=4).map(|gib| (512, gib * 1024)));
        table.extend((2..=8).map(|gib| (1024, gib * 1024)));
        table.extend((4..=16).map(|gib| (2048, gib * 1024)));
        table.extend((8..=30).map(|gib| (4096, gib * 1024)));
        table.extend((16..=60).step_by(4).map(|gib| (8192, gib * 1024)));
        table.extend((32..=120).step_by(8).map(|gib| (16384, gib * 1024)));
        for cpu in [0, 128, 255, 256, 512, 768, 1024, 2048, 4096, 8192, 16384, 32768] {
            for memory in (0..=131_072).step_by(256) {
                let size = Size::new(cpu, memory).ok();
                let expected = table.contains(&(cpu, memory)).then_some(Size { cpu, memory });
                assert_eq!(size, expected, "{cpu} {memory}");
            }
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, units) in [
            ("256", Some(256)),
            (".25 vCPU", Some(256)),
            ("0.5vcpu", Some(512)),
            ("1 vCPU", Some(1024)),
            ("1 VCPU", Some(1024)),
            ("16 vCPU", Some(16384)),
            ("1.50 vCPU", Some(1536)),
            ("0", None),
            ("", None),
            ("vCPU", None),
            (". vCPU", None),
            ("-1", None),
            ("0.5", None),
            ("1 cpu", None),
            ("0.3333 vCPU", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(cpu_units(text), units, "{text}");
        }
        for (text, mib) in [
            ("512", Some(512)),
            ("0.5 GB", Some(512)),
            ("1GB", Some(1024)),
            ("1 gb", Some(1024)),
            ("512 MB", Some(512)),
            ("120 GB", Some(122_880)),
            ("1 TB", None),
            ("GB", None),
        ] {
            assert_eq!(memory_mib(text), mib, "{text}");
        }
    }
}
