//! The addresses of the emulator that a task reaches inside its own namespace. Each connection arrives with the sandbox
//! that it is from, so a task cannot forge its identity with a header or an address.

use std::net::{Ipv4Addr, SocketAddrV4};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// The destination of a task's connection.
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
    /// Add new ones at the end: the ports on which existing sandboxes listen depend on this order.
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

/// A connection that a task has opened.
#[derive(Debug)]
pub struct Call {
    pub sandbox_id: String,
    pub to: Inward,
    /// Closed when it is dropped. It ends when the task, its sandbox or the connection to the sandbox has ended.
    pub stream: DuplexStream,
}

/// The receiver of calls: one at a time.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<Option<mpsc::UnboundedSender<Call>>>);

impl Calls {
    /// The calls from now on. The stream of an earlier receiver ends.
    pub(super) fn listen(&self) -> BoxStream<'static, Call> {
        let (sender, calls) = mpsc::unbounded_channel();
        *self.0.lock() = Some(sender);
        stream::unfold(calls, |mut calls| async move { Some((calls.recv().await?, calls)) }).boxed()
    }

    /// Sends a call to the receiver. Returns it as the error if there is no receiver.
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
    async fn the_last_receiver_gets_the_calls_and_without_a_receiver_a_call_is_closed() {
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
