//! Kubernetes quantities, read as integers.
//!
//! The grammar is that of `k8s.io/apimachinery/pkg/api/resource`: a decimal number, then a binary suffix (`Ki` …
//! `Ei`), a decimal one (`n` … `E`) or an exponent (`e3`). As there, fractions are rounded up.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A text that is not a quantity, or one that is too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity")]
pub(crate) struct Error {
    text: String,
}

/// The quantity in whole units (bytes, pods), rounded up.
pub(crate) fn units(quantity: &Quantity) -> Result<u64, Error> {
    scaled(&quantity.0, 0)
}

/// The quantity in thousandths (millicores of CPU), rounded up.
pub(crate) fn milli(quantity: &Quantity) -> Result<u64, Error> {
    scaled(&quantity.0, 3)
}

/// A suffix as a power of two and a power of ten.
fn suffix(text: &str) -> Option<(u32, i32)> {
    Some(match text {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => (0, text.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

/// The value × 10^`scale`, rounded up; no quantity that a pod asks for is negative.
fn scaled(text: &str, scale: i32) -> Result<u64, Error> {
    let parsed = || -> Option<u64> {
        let number = text.strip_prefix('+').unwrap_or(text);
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let (digits, tail) = number.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let (two, ten) = suffix(tail)?;
        let mantissa: u128 = format!("{whole}{fraction}").parse().ok()?;
        let exponent = ten.checked_add(scale)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let binary = mantissa.checked_mul(1u128 << two)?;
        let value = if exponent >= 0 {
            binary.checked_mul(10u128.checked_pow(exponent.unsigned_abs())?)?
        } else {
            // A divisor past u128 leaves a fraction of one: rounded up, as any other.
            10u128
                .checked_pow(exponent.unsigned_abs())
                .map_or_else(|| u128::from(binary > 0), |divisor| binary.div_ceil(divisor))
        };
        u64::try_from(value).ok()
    };
    parsed().ok_or_else(|| Error { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them_and_rounded_up() {
        let cases = [
            ("0", Some((0, 0))),
            ("1", Some((1, 1000))),
            ("100m", Some((1, 100))),
            (".5", Some((1, 500))),
            ("1.5", Some((2, 1500))),
            ("0.1m", Some((1, 1))),
            ("128Mi", Some((134_217_728, 134_217_728_000))),
            ("1.5Gi", Some((1_610_612_736, 1_610_612_736_000))),
            ("1G", Some((1_000_000_000, 1_000_000_000_000))),
            ("2e3", Some((2000, 2_000_000))),
            ("2E-3", Some((1, 2))),
            ("+3", Some((3, 3000))),
            ("1n", Some((1, 1))),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("-1", None),
            ("1 Gi", None),
            ("1gi", None),
            ("99999999999Ei", None),
        ];
        for (text, expected) in cases {
            let quantity = Quantity(text.to_owned());
            let read = units(&quantity).ok().zip(milli(&quantity).ok());
            assert_eq!(read, expected, "{text:?}");
        }
    }
}
