//! The parts of the generated wire types: open enumerations, timestamps, blobs, error codes and the
//! constraints of the service models with AWS's wording for each.

mod enumeration;
mod error_code;
mod pattern;
mod route;
mod scalar;
mod violations;

pub use enumeration::Enumeration;
pub(crate) use enumeration::enumeration;
pub use error_code::ErrorCode;
pub use pattern::Pattern;
pub use route::{Location, Member, Route};
pub use scalar::{Blob, EpochSeconds, Iso8601};
pub use violations::{Validate, Violations};
