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
    api::log::{Format, MessageIds, proof, stream_log},
    problem::Problem,
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
    source: String,
    tls: Option<queue::Tls>,
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
            source: row.source.unwrap_or_default(),
            tls: row.tls,
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
            seeds: self.state == "seeds",
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
    let mut response = stream_log(state, id, asked.filter(), Format::CsvAll).await?;
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
    problem: String,
    events: Vec<EventLine>,
}

/// A line of what the recipient did.
pub struct EventLine {
    kind: &'static str,
    at: i64,
    /// Where the link leads, or its number when the table is gone.
    link: String,
    client: String,
    agent: String,
    machine: bool,
}

async fn events(state: &AppState, message: i64) -> Result<Vec<EventLine>, Fault> {
    let events = state.tracking.events_of(message).await?;
    // Without the table (the links have expired, say) numbers say enough.
    let table = match state.tracking.table(message, state.clock.now_us()).await {
        Ok(tracking::Resource::There(table)) => Some(table),
        _ => None,
    };
    let line = |event: tracking::EventRow| {
        let link = event.link.map(|number| {
            let found = table.as_ref().and_then(|table| table.links().get(usize::from(number)));
            found.map_or_else(|| format!("#{number}"), |link| link.url.clone())
        });
        EventLine {
            kind: event.kind.name(),
            at: event.at,
            link: link.unwrap_or_default(),
            client: event.client,
            agent: event.agent,
            machine: event.machine,
        }
    };
    Ok(events.into_iter().map(line).collect())
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
    // A message whose pictures are gone still has a reply and events to show.
    let (source, problem) = match crate::source::source(&state, id, &row.recipient).await {
        Ok(source) => (source, String::new()),
        Err(problem) if problem.code == "gone" => {
            (crate::source::Source { bytes: Vec::new(), warning: None }, problem.detail)
        }
        Err(problem) => return Err(problem.into()),
    };
    let events = events(&state, message).await?;
    let frame = Frame::of(&state, &found, "log").await?;
    let row_is_sent = row.state == "sent";
    show(&MessagePage {
        page: desk.page(Place::Deliveries),
        frame,
        row,
        differs: row_is_sent && source.warning.is_some(),
        waiting: !row_is_sent && source.warning.is_some(),
        source: String::from_utf8_lossy(&source.bytes).into_owned(),
        problem,
        events,
    })
}

/// The address of a message of this delivery; none: no such message.
async fn address_of(state: &AppState, id: i64, message: i64) -> Result<Option<String>, Fault> {
    state.deliveries.get(id).await?;
    let before = LogCursor { excluded: false, after: message - 1 };
    let log = state.queue.log(id, LogFilter::default(), Some(before), 1).await?;
    Ok(log.rows.into_iter().find(|row| row.message == Some(message)).map(|row| row.address))
}

/// `GET /deliveries/{id}/messages/{message}/mirror`: the message as its recipient's mirror page shows it, whatever the
/// delivery's mirror mode is. Its links are inert: an operator who tries them unsubscribes nobody and counts as nobody.
pub async fn mirror(
    _desk: Desk,
    State(state): State<AppState>,
    Path((id, message)): Path<(i64, i64)>,
) -> Result<Response, Fault> {
    let none = || Fault::not_found("message");
    address_of(&state, id, message).await?.ok_or_else(none)?;
    let token = message::Token { message, inert: true };
    match crate::mirror::shown(&state, token).await {
        Ok(shown) => Ok(shown.ok_or_else(none)?.into_response()),
        Err(crate::mirror::Failure::Away(error)) => Err(Fault(Problem::unavailable(error))),
        Err(crate::mirror::Failure::Broken(error)) => Err(Fault::internal(&error)),
    }
}

/// `GET /deliveries/{id}/messages/{message}/source`: the complete source as a file.
pub async fn source(
    _desk: Desk,
    State(state): State<AppState>,
    Path((id, message)): Path<(i64, i64)>,
) -> Result<Response, Fault> {
    let address = address_of(&state, id, message).await?;
    let address = address.ok_or_else(|| Fault::not_found("message"))?;
    let source = crate::source::source(&state, id, &address).await?;
    let name = format!("attachment; filename=\"message-{message}.eml\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("message/rfc822")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(|error| Fault::internal(&error))?),
    ];
    Ok((headers, source.bytes).into_response())
}
