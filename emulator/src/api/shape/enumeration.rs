//! Enumerations of the wire: open, so that a value the model does not know is refused by validation with AWS's
//! wording rather than by the decoder.

use std::fmt::{Debug, Display};

/// A string with a set of known values.
pub trait Enumeration: Clone + Debug + Display + PartialEq + From<String> {
    /// The known values, in the model's order.
    const VALUES: &'static [&'static str];

    /// The value as on the wire.
    fn as_str(&self) -> &str;

    /// Whether the model knows the value.
    fn is_known(&self) -> bool {
        Self::VALUES.contains(&self.as_str())
    }
}

/// Defines enumerations: `enumeration! { LaunchType { Fargate = "FARGATE" } }` defines `LaunchType::Fargate` and
/// `LaunchType::Other(String)`.
macro_rules! enumeration {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $value:literal,)+ })+) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($variant,)+
            /// A value that the model does not know.
            Other(String),
        }

        impl $crate::api::shape::Enumeration for $name {
            const VALUES: &'static [&'static str] = &[$($value),+];

            fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $value,)+
                    Self::Other(value) => value,
                }
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                match value.as_str() {
                    $($value => Self::$variant,)+
                    _ => Self::Other(value),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::api::shape::Enumeration::as_str(self))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::api::shape::Enumeration::as_str(self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer).map(Self::from)
            }
        }
    )+ };
}

pub(crate) use enumeration;
