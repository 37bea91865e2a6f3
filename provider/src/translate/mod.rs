//! Pod to task definition and RunTask.

pub mod quantity;
