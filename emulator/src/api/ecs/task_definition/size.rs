//! A task's size as a request writes it.

use fargate_facts::Size;

use crate::api::Error;

/// Fargate's size of those CPU units and MiB.
pub(in crate::api::ecs) fn known(cpu: u32, memory: u32) -> Result<Size, Error> {
    Size::exact(cpu, memory).ok_or_else(|| Error::client("No Fargate configuration exists for given values."))
}

/// CPU units of `256`, `.25 vCPU`, `1vcpu`; `None` if the text is not a whole positive number of them.
pub(in crate::api::ecs) fn cpu_units(text: &str) -> Option<u32> {
    quantity(text, &[("vcpu", 1024)])
}

/// MiB of `512`, `0.5 GB`, `1GB`.
pub(in crate::api::ecs) fn memory_mib(text: &str) -> Option<u32> {
    quantity(text, &[("gb", 1024), ("mb", 1), ("mib", 1)])
}

/// A whole number, or a decimal one with a unit that makes it whole. At most 9 digits before the point and 4 after
/// it, so that integers suffice.
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
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, units) in [
            ("256", Some(256)),
            (".25 vCPU", Some(256)),
            ("0.5vcpu", Some(512)),
            ("1 vCPU", Some(1024)),
            ("1 VCPU", Some(1024)),
            ("16 vCPU", Some(16384)),
            ("32 vCPU", Some(32768)),
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
