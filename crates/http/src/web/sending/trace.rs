//! A trace: what is said on the next connections to a site, as it is said.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use mta::{TraceKind, TraceLine};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{
    super::{
        fault::Fault,
        filters,
        page::{Desk, Page, Place, show},
        stream::{self, Live, Next},
    },
    limits::label,
};
use crate::{limits::TRACED_CONNECTIONS_MAX, state::AppState};

/// `?connections`; without it the page asks.
#[derive(Deserialize)]
pub struct Asked {
    connections: Option<u32>,
}

impl Asked {
    fn within_bounds(&self) -> Option<u32> {
        self.connections.map(|connections| connections.clamp(1, TRACED_CONNECTIONS_MAX))
    }
}

#[derive(Template)]
#[template(path = "sending_trace.html")]
struct TracePage {
    page: Page,
    site: String,
    name: String,
    connections: Option<u32>,
    most: u32,
    /// Nothing connects there now.
    rests: bool,
}

/// `GET /sending/paths/{site}/trace`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let name = label(&site, &state.routes.providers());
    let (connections, most) = (asked.within_bounds(), TRACED_CONNECTIONS_MAX);
    let standing = state.engine.standing().await;
    let paths: Vec<_> = standing.of_site(&site).collect();
    let rests = !paths.is_empty() && paths.iter().all(|path| path.rests());
    show(&TracePage { page: desk.page(Place::Paths), site, name, connections, most, rests })
}

#[derive(Template)]
#[template(path = "sending_trace_line.html")]
struct LinePart {
    line: TraceLine,
}

/// `GET /sending/paths/{site}/trace/stream`: a line for each that is said; at its end the event `over`.
pub async fn stream(
    _desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    stream::stream(Lines(state.engine.trace(&site, asked.within_bounds().unwrap_or(1)).await))
}

struct Lines(mpsc::Receiver<TraceLine>);

impl Live for Lines {
    async fn next(&mut self) -> Next {
        self.0.recv().await.map_or(Next::Last("over"), |line| Next::part(&LinePart { line }))
    }
}
