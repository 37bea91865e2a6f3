//! Platform versions of Linux.
//!
//! Source: developer guide, "Fargate platform versions for Amazon ECS".

use crate::size::Size;

/// The version that `LATEST` means.
pub const LATEST: &str = "1.4.0";

/// The oldest version that can still be requested.
pub const OLDEST: &str = "1.3.0";

/// The version that `requested` means; `None` if there is no such version.
#[must_use]
pub fn version(requested: Option<&str>) -> Option<&'static str> {
    match requested {
        None | Some("" | "LATEST") => Some(LATEST),
        Some(version) => [LATEST, OLDEST].into_iter().find(|known| *known == version),
    }
}

/// Whether the version runs a task of that size and storage: more than 4 vCPU, ephemeral storage on request, and EFS
/// volumes were added in 1.4.0.
#[must_use]
pub fn runs(version: &str, size: Size, asks_for_storage: bool) -> bool {
    version != OLDEST || (size.cpu <= 4096 && !asks_for_storage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_is_1_4_0_and_unknown_versions_are_none() {
        for requested in [None, Some(""), Some("LATEST"), Some("1.4.0")] {
            assert_eq!(version(requested), Some("1.4.0"));
        }
        assert_eq!(version(Some("1.3.0")), Some("1.3.0"));
        assert_eq!(version(Some("9.9.9")), None);
    }

    #[test]
    fn what_was_added_in_1_4_0_is_not_run_on_1_3_0() {
        for (version, cpu, storage, expected) in [
            ("1.4.0", 32768, true, true),
            ("1.3.0", 4096, false, true),
            ("1.3.0", 8192, false, false),
            ("1.3.0", 256, true, false),
        ] {
            assert_eq!(
                runs(version, Size { cpu, memory: 0 }, storage),
                expected,
                "{version} {cpu} {storage}"
            );
        }
    }
}
