//! `GET /_neargate/cost`: what the tasks cost, as JSON, text or a picture.

use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;

use crate::api::model::ecs;
use crate::api::{self, Emulator, Error};
use crate::cost::{self, By, Report, svg, text};

/// The query's parameters, described in `docs/cost.md`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Asked {
    by: Option<String>,
    instance_type: Option<String>,
    format: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Text,
    Svg,
}

impl Format {
    /// The format by its name in the query.
    fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            "svg" => Some(Self::Svg),
            _ => None,
        }
    }

    /// The first format of ours that `Accept` lists, else JSON.
    fn accepted(headers: &HeaderMap) -> Self {
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let media = |entry: &str| entry.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let known = accept.split(',').find_map(|entry| match media(entry).as_str() {
            "application/json" => Some(Self::Json),
            "text/plain" => Some(Self::Text),
            "image/svg+xml" => Some(Self::Svg),
            _ => None,
        });
        known.unwrap_or(Self::Json)
    }

    fn write(self, report: &Report) -> (&'static str, String) {
        match self {
            // Plain data with string keys: JSON can represent all of it.
            Self::Json => ("application/json", serde_json::to_string(report).unwrap_or_default()),
            Self::Text => ("text/plain; charset=utf-8", text::text(report)),
            Self::Svg => ("image/svg+xml", svg::svg(report)),
        }
    }
}

pub(super) async fn report(
    State(emulator): State<Emulator>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejected) => return refuse(&rejected.body_text()),
    };
    let Asked { by, instance_type, format } = asked;
    let mut query = cost::Query::default();
    if let Some(instance_type) = instance_type {
        query.instance_type = instance_type;
    }
    match by.as_deref().map(str::parse::<By>) {
        Some(Ok(by)) => query.by = by,
        Some(Err(expected)) => return refuse(&format!("by must be {expected}.")),
        None => {}
    }
    let format = match format.as_deref().map(Format::named) {
        Some(Some(format)) => format,
        Some(None) => return refuse("format must be json, text or svg."),
        None => Format::accepted(&headers),
    };

    let usages = match emulator.engine.usages().await {
        Ok(usages) => usages,
        Err(error) => return api::refusal(&Error::failure(error)),
    };
    let (prices, now) = (emulator.prices.clone(), emulator.engine.clock().now());
    // Many tasks take much arithmetic: not on a thread that serves other requests.
    let written = tokio::task::spawn_blocking(move || {
        cost::report(usages, &prices, &query, now).map(|report| format.write(&report))
    });
    match written.await {
        Ok(Ok((content_type, body))) => ([(CONTENT_TYPE, content_type)], body).into_response(),
        Ok(Err(refused)) => refuse(&refused),
        Err(error) => api::refusal(&Error::failure(error)),
    }
}

fn refuse(message: &str) -> Response {
    api::refusal(&Error::new(ecs::error::INVALID_PARAMETER, message))
}
