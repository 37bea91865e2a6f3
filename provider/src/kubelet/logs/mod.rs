//! `/containerLogs/{namespace}/{pod}/{container}`: a container's output, read from CloudWatch Logs.
//!
//! ```text
//! query::Query -> attempt::choose -> fargate::logs::Stream -> reader::Reader -> line::Writer -> chunks
//!   (400)          (404, 400)                                   (500)            one per page
//! ```
//!
//! The chunks are made as the client reads them: nothing is buffered beyond a page, and if the client disconnects, the reader is
//! dropped with its connection.

mod attempt;
mod line;
mod query;
mod reader;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio_util::sync::CancellationToken;

use self::{line::Writer, reader::Reader};
use crate::{
    clock,
    fargate::logs::{Source, Stream},
    translate::logs,
};

/// What the endpoint needs.
#[derive(Debug, Clone)]
pub(super) struct Logs {
    pub(super) pods: Store<Pod>,
    pub(super) source: Arc<dyn Source>,
    /// The log group; `None` if the containers' output is not collected.
    pub(super) group: Option<String>,
    pub(super) clock: clock::Shared,
    /// Ends the followers when the API closes.
    pub(super) closing: CancellationToken,
}

/// Why a request is refused before its first line.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A value of the query is invalid.
    #[error(transparent)]
    Query(#[from] query::Error),
    /// The pod is not one of this node.
    #[error("pod {0:?} does not exist")]
    NoPod(String),
    /// The pod's container has no output to show.
    #[error(transparent)]
    Attempt(#[from] attempt::Error),
    /// Nothing collects the output.
    #[error("container logs are not kept: the provider runs without --log-group")]
    NotKept,
    /// The first page was not read.
    #[error("unable to retrieve container logs")]
    Read(#[source] crate::fargate::logs::Error),
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoPod(_) | Self::Attempt(attempt::Error::NoContainer { .. }) => StatusCode::NOT_FOUND,
            Self::Query(_) | Self::Attempt(_) => StatusCode::BAD_REQUEST,
            Self::NotKept => StatusCode::NOT_IMPLEMENTED,
            Self::Read(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut text = self.to_string();
        if let Self::Read(cause) = &self {
            tracing::warn!(
                error = cause as &dyn std::error::Error,
                "could not read a container's log; the request failed"
            );
            text = format!("{text}: {cause}");
        }
        (self.status(), text).into_response()
    }
}

/// The handler.
pub(super) async fn get(
    State(logs): State<Logs>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, Error> {
    let query = query::Query::parse(&pairs, logs.clock.now())?;
    let key = ObjectRef::<Pod>::new(&name).within(&namespace);
    let pod = logs.pods.get(&key).ok_or(Error::NoPod(name))?;
    let task = attempt::choose(&pod, &container, query.previous)?;
    let group = logs.group.ok_or(Error::NotKept)?;
    let stream = Stream { group, name: logs::stream(&container, &task) };

    let window =
        reader::Window { tail: query.tail, since: query.since.map(millisecond), follow: query.follow };
    let ended = {
        let (pods, uid) = (logs.pods, pod.metadata.uid.clone());
        move || attempt::has_ended(pods.get(&key).as_deref(), uid.as_deref(), &container, &task)
    };
    let mut reader = Reader::new(logs.source, stream, window, Box::new(ended));
    reader.open().await.map_err(Error::Read)?;
    let chunks = chunks(reader, Writer::new(query.timestamps, query.limit_bytes))
        .take_until(logs.closing.cancelled_owned());
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(chunks)).into_response())
}

/// One chunk per page, until the window or the limit is reached or the client disconnects. An error closes the connection, so that
/// the client does not take a part for the whole.
fn chunks(
    reader: Reader,
    writer: Writer,
) -> impl futures::Stream<Item = Result<Bytes, crate::fargate::logs::Error>> + Send {
    stream::try_unfold((reader, writer), |(mut reader, mut writer)| async move {
        if writer.is_full() {
            return Ok(None);
        }
        let events = reader.next().await.inspect_err(|error| {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "could not read the rest of a container's log; closed the client's connection"
            );
        })?;
        Ok(events.map(|events| (writer.write(&events), (reader, writer))))
    })
}

/// The first millisecond that is not before `time`: events have no finer time.
fn millisecond(time: Timestamp) -> i64 {
    let floor = time.as_millisecond();
    let exact = Timestamp::from_millisecond(floor).is_ok_and(|floor| floor >= time);
    if exact { floor } else { floor.saturating_add(1) }
}
