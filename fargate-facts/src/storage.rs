//! Ephemeral storage, in GiB.
//!
//! Source: API reference, EphemeralStorage, `sizeInGiB`; AWS Fargate pricing.

use std::ops::RangeInclusive;

/// What every task has without a request, free of charge.
pub const INCLUDED: u32 = 20;

/// What a task may request.
pub const REQUESTABLE: RangeInclusive<u32> = 21..=200;
