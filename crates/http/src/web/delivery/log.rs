//! The Log tab: a line for every recipient, with filter, pages and export; and one message in full.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use queue::{LogCursor, LogFilter, LogRow, LogState};
use serde::Deserialize;

use super::{
    super::{
        fault::Fault,
        filters,
        page::{Desk, Page, Place, show},
    },
    frame::Frame,
};
use crate::{
    api::log::{Format, MessageIds, stream_log},
    state::AppState,
};

/// Rows of a page.
const PAGE_ROWS: usize = 50;

/// A line of the log.
pub struct Row {
    id: i64,
    recipient: String,
    state: String,
    tone: &'static str,
    reason: String,
    attempts: i64,
    first_try: Option<i64>,
    last_try: Option<i64>,
    next_try: Option<i64>,
    reply: String,
    message_id: String,
}

impl Row {
    fn of(row: LogRow) -> Row {
        let deferred = row.state == LogState::Pending && row.attempts > 0;
        let (state, tone) = match row.state {
            LogState::Pending if deferred => ("deferred", "warn"),
            LogState::Pending => ("pending", "info"),
            LogState::Sent => ("sent", "ok"),
            LogState::Failed => ("failed", "bad"),
            LogState::Cancelled => ("cancelled", "idle"),
            LogState::Excluded => ("excluded", "idle"),
        };
        // The reason of a sent message says nothing that its state does not.
        let reason = if row.state == LogState::Sent { None } else { row.reason };
        Row {
            id: row.message.unwrap_or(0),
            recipient: row.address,
            state: state.to_owned(),
            tone,
            reason: reason.unwrap_or_default(),
            attempts: row.attempts,
            first_try: row.first_try,
            last_try: row.last_try,
            next_try: row.next_try,
            reply: row.reply.unwrap_or_default(),
            message_id: String::new(),
        }
    }
}

#[derive(Template)]
#[template(path = "delivery_log.html")]
struct LogPage {
    page: Page,
    frame: Frame,
    id: i64,
    q: String,
    state: String,
    rows: Vec<Row>,
    filtered: bool,
    first: String,
    next: String,
}

#[derive(Template)]
#[template(path = "delivery_log_rows.html")]
struct LogRows {
    id: i64,
    rows: Vec<Row>,
    filtered: bool,
    first: String,
    next: String,
}

/// What the address line says.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    after: String,
}

impl Asked {
    fn filter(&self) -> LogFilter {
        let address = self.q.trim();
        LogFilter {
            state: if self.state == "deferred" { None } else { LogState::parse(&self.state) },
            address: (!address.is_empty()).then(|| address.to_owned()),
            deferred: self.state == "deferred",
        }
    }

    fn link(&self, id: i64, after: Option<LogCursor>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("q", &self.q).append_pair("state", &self.state);
        if let Some(after) = after {
            query.append_pair("after", &after.encode());
        }
        format!("/deliveries/{id}/log?{}", query.finish())
    }
}

/// `GET /deliveries/{id}/log`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let cursor = LogCursor::parse(&asked.after);
    let log = state.queue.log(id, asked.filter(), cursor, PAGE_ROWS).await?;
    let rows = log.rows.into_iter().map(Row::of).collect();
    let filtered = !asked.q.trim().is_empty() || !asked.state.is_empty();
    let first = cursor.map(|_| asked.link(id, None)).unwrap_or_default();
    let next = log.next.map(|next| asked.link(id, Some(next))).unwrap_or_default();
    if desk.fragment {
        return show(&LogRows { id, rows, filtered, first, next });
    }
    let frame = Frame::of(&state, &found, "log").await?;
    let page = desk.page(Place::Deliveries);
    show(&LogPage { page, frame, id, q: asked.q, state: asked.state, rows, filtered, first, next })
}

/// `GET /deliveries/{id}/log.csv`.
pub async fn export(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let mut response = stream_log(state, id, asked.filter(), Format::Csv).await?;
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"delivery-{id}-log.csv\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

#[derive(Template)]
#[template(path = "delivery_message.html")]
struct MessagePage {
    page: Page,
    frame: Frame,
    row: Row,
    source: String,
    differs: bool,
    waiting: bool,
}

/// `GET /deliveries/{id}/messages/{message}`: one message, with the bytes that were sent.
pub async fn message(
    desk: Desk,
    State(state): State<AppState>,
    Path((id, message)): Path<(i64, i64)>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let before = LogCursor { excluded: false, after: message - 1 };
    let log = state.queue.log(id, LogFilter::default(), Some(before), 1).await?;
    let Some(row) = log.rows.into_iter().find(|row| row.message == Some(message)) else {
        return Ok(Redirect::to(&format!("/deliveries/{id}/log")).into_response());
    };
    let mut row = Row::of(row);
    if let Some(ids) = MessageIds::of(&state, id).await? {
        row.message_id = ids.id(message);
    }
    let source = crate::source::source(&state, id, &row.recipient).await?;
    let frame = Frame::of(&state, &found, "log").await?;
    let row_is_sent = row.state == "sent";
    show(&MessagePage {
        page: desk.page(Place::Deliveries),
        frame,
        row,
        differs: row_is_sent && source.warning.is_some(),
        waiting: !row_is_sent && source.warning.is_some(),
        source: String::from_utf8_lossy(&source.bytes).into_owned(),
    })
}
