//! The network of tasks: the addresses of each subnet, sandboxes created ahead and claimed, packet filters, published ports.
//!
//! ```text
//! pool ── the idle sandboxes          claims ── what tasks are promised and get
//!   └── draft, leaving, removal: the ends of a sandbox's life      observe ── the full pass
//! subnet ── one subnet's numbers, pure       need ── how many are to be idle, pure       wanted ── which filter each sandbox is to have, pure
//! filters ── sets the filters of the sandboxes       ports ── published on the host
//! ```

mod claims;
mod draft;
pub(in crate::engine) mod filters;
mod leaving;
mod need;
mod observe;
pub(in crate::engine) mod pool;
pub(in crate::engine) mod ports;
mod removal;
mod subnet;
mod wanted;

pub(in crate::engine) use draft::Draft;
