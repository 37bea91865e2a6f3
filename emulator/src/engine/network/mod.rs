//! The network of tasks: the addresses of each subnet, sandboxes made ahead and claimed, packet filters, published ports.

pub(in crate::engine) mod filters;
pub(in crate::engine) mod pool;
pub(in crate::engine) mod ports;
mod room;
