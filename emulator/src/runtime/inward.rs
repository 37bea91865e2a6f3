//! What a task reaches of the emulator from inside its own namespace, and how its connections come out: with the sandbox
//! that they are from, which no header and no address can claim.

use std::net::{Ipv4Addr, SocketAddrV4};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// What a task connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inward {
    /// The task metadata endpoint and the credentials (Amazon ECS developer guide, "Task metadata endpoint").
    Metadata,
    /// AWS's own endpoints, as `AWS_ENDPOINT_URL` names them.
    Endpoint,
    /// The VPC's resolver over TCP (Amazon VPC user guide, "DNS attributes").
    Dns,
}

impl Inward {
    /// A new one comes last: where the sandboxes that are there listen goes by this order.
    pub const ALL: [Self; 3] = [Self::Metadata, Self::Endpoint, Self::Dns];

    /// Its address, the same in every task.
    pub fn address(self) -> SocketAddrV4 {
        let (address, port) = match self {
            Self::Metadata => ([169, 254, 170, 2], 80),
            Self::Endpoint => ([169, 254, 170, 2], 4566),
            Self::Dns => ([169, 254, 169, 253], 53),
        };
        SocketAddrV4::new(Ipv4Addr::from(address), port)
    }
}

/// A connection that a task has made.
#[derive(Debug)]
pub struct Call {
    pub sandbox_id: String,
    pub to: Inward,
    /// Closed when it is dropped. Reads nothing more when the task, its sandbox or the way to it is gone.
    pub stream: DuplexStream,
}

/// The reader of calls: one at a time.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<Option<mpsc::UnboundedSender<Call>>>);

impl Calls {
    /// The calls from now on. The stream of an earlier reader ends.
    pub(super) fn listen(&self) -> BoxStream<'static, Call> {
        let (sender, calls) = mpsc::unbounded_channel();
        *self.0.lock() = Some(sender);
        stream::unfold(calls, |mut calls| async move { Some((calls.recv().await?, calls)) }).boxed()
    }

    /// Hands a call over; gives it back if nothing waits for it.
    pub(super) fn pass(&self, call: Call) -> Result<(), Call> {
        match &*self.0.lock() {
            Some(sender) => sender.send(call).map_err(|unsent| unsent.0),
            None => Err(call),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::clock::Clock;
    use crate::runtime::{Runtime as _, simulated};

    #[tokio::test]
    async fn the_last_who_asked_for_calls_has_them_and_without_any_a_call_is_closed() {
        let runtime = simulated::Runtime::new(Clock::system());
        let mut text = String::new();
        assert_eq!(runtime.call("s1", Inward::Dns).read_to_string(&mut text).await.unwrap(), 0);

        let (mut before, mut calls) = (runtime.calls(), runtime.calls());
        assert!(before.next().await.is_none());
        let mut task = runtime.call("s2", Inward::Metadata);
        let mut call = calls.next().await.unwrap();
        assert_eq!((call.sandbox_id.as_str(), call.to), ("s2", Inward::Metadata));
        call.stream.write_all(b"yes").await.unwrap();
        drop(call);
        task.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "yes");
    }
}
