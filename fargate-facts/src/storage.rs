//! Ephemeral storage, in GiB.
//!
//! Source: API reference, EphemeralStorage, `sizeInGiB`; AWS Fargate pricing.

use std::ops::RangeInclusive;

/// What every task has without asking, free of charge.
pub const INCLUDED: u32 = 20;

/// What a task may ask for.
pub const REQUESTABLE: RangeInclusive<u32> = 21..=200;
