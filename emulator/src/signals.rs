//! SIGINT and SIGTERM: the first ends the server in order, the second at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What has been received so far.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Cancelled by the first signal.
    pub end: CancellationToken,
    /// Cancelled by the second one.
    pub abort: CancellationToken,
}

impl Signals {
    /// Receives from now on.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let signals = Self::default();
        let Self { end, abort } = signals.clone();
        tokio::spawn(async move {
            for received in [end, abort] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                received.cancel();
            }
        });
        Ok(signals)
    }
}
