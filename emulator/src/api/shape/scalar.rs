//! Scalars that JSON has no type for.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;

/// A timestamp as AWS JSON writes it: seconds since the Unix epoch, as a number with a fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochSeconds(pub Timestamp);

impl From<Timestamp> for EpochSeconds {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for EpochSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.epoch_seconds())
    }
}

impl<'de> Deserialize<'de> for EpochSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seconds;

        impl Visitor<'_> for Seconds {
            type Value = EpochSeconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a timestamp")
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<EpochSeconds, E> {
                Ok(EpochSeconds(Timestamp(seconds.saturating_mul(1000))))
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<EpochSeconds, E> {
                self.visit_i64(i64::try_from(seconds).unwrap_or(i64::MAX))
            }

            #[expect(
                clippy::cast_possible_truncation,
                reason = "a float's cast saturates, and no timestamp is that far away"
            )]
            fn visit_f64<E: Error>(self, seconds: f64) -> Result<EpochSeconds, E> {
                Ok(EpochSeconds(Timestamp((seconds * 1000.0).round() as i64)))
            }
        }

        deserializer.deserialize_any(Seconds)
    }
}

/// A timestamp as the XML protocols write it: `2026-11-21T14:03:11.123Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Iso8601(pub Timestamp);

impl Serialize for Iso8601 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = jiff::Timestamp::from_millisecond(self.0.millis()).map_err(serde::ser::Error::custom)?;
        serializer.collect_str(&format_args!("{at:.3}"))
    }
}

/// Bytes, base64 on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|_| D::Error::custom("invalid base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_keeps_its_milliseconds_both_ways() {
        let at = EpochSeconds(Timestamp(1_763_724_591_123));
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(json, "1763724591.123");
        assert_eq!(serde_json::from_str::<EpochSeconds>(&json).unwrap(), at);
        assert_eq!(serde_json::from_str::<EpochSeconds>("17").unwrap(), EpochSeconds(Timestamp(17_000)));
        let iso = serde_json::to_string(&Iso8601(Timestamp(1_763_724_591_120))).unwrap();
        assert_eq!(iso, "\"2025-11-21T11:29:51.120Z\"");
    }
}
