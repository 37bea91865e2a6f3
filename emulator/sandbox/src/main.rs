//! PID 1 of a sandbox: it holds the network namespace that the containers of one task join.
//!
//! It does nothing but exist. It links nothing beyond std, so that `emulator/build.rs` can compile it with plain
//! rustc into one static file. It needs no signal handler: the runtime gives its container the stop signal
//! SIGKILL, for PID 1 of a namespace ignores a SIGTERM that it does not handle, and here is nothing to put in order.

fn main() {
    loop {
        // May return for no reason; nobody unparks it.
        std::thread::park();
    }
}
