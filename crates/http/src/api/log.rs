//! The delivery log, page by page or streamed whole, and the exact bytes of one recipient's message.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::stream;
use queue::{LogCursor, LogFilter, LogRow, LogState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::Params,
    deliveries::delivery_id,
    page::{PageParams, page},
    shape::{id, time_opt},
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

/// Rows that are read from the database at once while the log is streamed.
const STREAM_ROWS: usize = 1_000;
/// The contract's columns: scripts rely on them, so nothing is added to them.
const COLUMNS: [&str; 8] =
    ["recipient", "state", "attempts", "first_try", "last_try", "reply", "reason", "message_id"];
/// What [`Format::CsvAll`] has behind them: the way that a message took, and what kind of answer it got.
const WAY: [&str; 7] =
    ["site", "source", "tls/protocol", "tls/cipher", "tls/certificate", "tls/proof", "category"];

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/deliveries/{id}/log", get(log))
        .route("/deliveries/{id}/messages", get(messages))
        .route("/deliveries/{id}/source", get(source))
}

#[derive(Deserialize)]
struct Which {
    state: Option<String>,
    format: Option<String>,
    #[serde(default)]
    deferred: bool,
    #[serde(default)]
    seeds: bool,
}

/// How a log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Comma separated, RFC 4180, with a header line: the contract's columns.
    Csv,
    /// The same with the receiver, the source, how the connection was secured and the answer's category behind them.
    CsvAll,
    /// One JSON object a line.
    Ndjson,
    /// One JSON array.
    Json,
}

impl Format {
    /// Reads the name of a format; csv when absent.
    pub fn parse(name: Option<&str>) -> Answer<Self> {
        match name {
            None | Some("csv") => Ok(Self::Csv),
            Some("csv_all") => Ok(Self::CsvAll),
            Some("ndjson") => Ok(Self::Ndjson),
            Some("json") => Ok(Self::Json),
            Some(_) => Err(Problem::invalid("format", "format is csv, csv_all, ndjson or json.")),
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Csv | Self::CsvAll => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
            Self::Json => "application/json",
        }
    }

    /// The paths of what stands in a row of CSV; none: the format has no columns.
    fn columns(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Csv => &[&COLUMNS],
            Self::CsvAll => &[&COLUMNS, &WAY],
            Self::Ndjson | Self::Json => &[],
        }
    }
}

/// What vouched for the receiver's certificate, in a word.
pub fn proof(tls: &queue::Tls) -> &'static str {
    match tls.proof {
        queue::TlsProof::None => "none",
        queue::TlsProof::Name => "name",
        queue::TlsProof::Sts => "sts",
        queue::TlsProof::Dane => "dane",
    }
}

fn tls_json(tls: &queue::Tls) -> Value {
    json!({
        "protocol": tls.protocol,
        "cipher": tls.cipher,
        "certificate": tls.certificate,
        "proof": proof(tls),
    })
}

fn log_state(word: Option<&str>) -> Answer<Option<LogState>> {
    word.filter(|word| !word.is_empty())
        .map(|word| {
            LogState::parse(word).ok_or_else(|| {
                Problem::invalid("state", "state is pending, sent, failed, cancelled or excluded.")
            })
        })
        .transpose()
}

/// Makes the Message-ID of each message of one delivery; `None` before the analysis has frozen it.
pub struct MessageIds {
    domain: String,
    inert: bool,
    tokens: std::sync::Arc<message::TokenKeys>,
}

impl MessageIds {
    /// Reads what the delivery's snapshot says.
    pub async fn of(state: &AppState, delivery: i64) -> Answer<Option<Self>> {
        let found = state.deliveries.get(delivery).await?;
        if found.snapshot.is_none() {
            return Ok(None);
        }
        // The variants of an A/B test are of one domain, so any of them will do.
        let read = state.queue.store().read(move |tx| {
            let hash = queue::plan::snapshot_of(tx, delivery)?;
            hash.map_or(Ok(None), |hash| queue::plan::snapshot(tx, &hash))
        });
        let Some(bytes) = read.await? else { return Ok(None) };
        let snapshot = message::Snapshot::from_bytes(&bytes).map_err(|error| Problem::internal(&error))?;
        Ok(Some(Self {
            domain: snapshot.message_id_domain.clone(),
            inert: snapshot.inert,
            tokens: std::sync::Arc::clone(&state.tokens),
        }))
    }

    /// The Message-ID of one message, without angle brackets.
    pub fn id(&self, message: i64) -> String {
        self.tokens.message_id(&self.domain, message::Token { message, inert: self.inert })
    }
}

/// What kind of answer a row's words are. Derived from them for who asks: no column keeps it.
fn category(state: &AppState, row: &LogRow) -> Option<&'static str> {
    let words = row.reply.as_deref().filter(|_| row.state != LogState::Sent)?;
    state.engine.category(row.site.as_deref().unwrap_or_default(), row.reason.as_deref(), words)
}

fn row_json(row: &LogRow, ids: Option<&MessageIds>, category: Option<&str>) -> Value {
    json!({
        "recipient": row.address,
        "state": row.state,
        "attempts": row.attempts,
        "first_try": time_opt(row.first_try),
        "last_try": time_opt(row.last_try),
        "reply": row.reply,
        "reason": row.reason,
        "message_id": row.message.zip(ids).map(|(message, ids)| ids.id(message)),
        "site": row.site,
        "source": row.source,
        "tls": row.tls.as_ref().map(tls_json),
        "category": category,
    })
}

async fn log(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Params(which): Params<Which>,
    Params(params): Params<PageParams>,
) -> Answer<Response> {
    let format = Format::parse(which.format.as_deref())?;
    let filter = filter(&which, &params)?;
    stream_log(state, delivery_id(&text)?, filter, format).await
}

fn filter(which: &Which, params: &PageParams) -> Answer<LogFilter> {
    let search = params.search()?;
    Ok(LogFilter {
        state: log_state(which.state.as_deref())?,
        address: (!search.is_empty()).then(|| search.to_owned()),
        deferred: which.deferred,
        seeds: which.seeds,
    })
}

enum Next {
    First,
    After(LogCursor),
    Tail,
    Over,
}

struct Walk {
    state: AppState,
    delivery: i64,
    filter: LogFilter,
    format: Format,
    ids: Option<MessageIds>,
    next: Next,
    rows: u64,
}

/// The whole log, streamed: a page of rows is read, written and forgotten, so memory is flat at any size.
pub async fn stream_log(
    state: AppState,
    delivery: i64,
    filter: LogFilter,
    format: Format,
) -> Answer<Response> {
    // This also answers 404 for a delivery that does not exist, before the first byte.
    let ids = MessageIds::of(&state, delivery).await?;
    let walk = Walk { state, delivery, filter, format, ids, next: Next::First, rows: 0 };
    let body = Body::from_stream(stream::try_unfold(walk, step));
    Ok(([(header::CONTENT_TYPE, format.media_type())], body).into_response())
}

async fn step(mut walk: Walk) -> Result<Option<(Bytes, Walk)>, queue::Error> {
    let cursor = match walk.next {
        Next::First => None,
        Next::After(cursor) => Some(cursor),
        Next::Tail => {
            walk.next = Next::Over;
            let tail = if walk.rows == 0 { "[]\n" } else { "\n]\n" };
            return Ok(Some((Bytes::from_static(tail.as_bytes()), walk)));
        }
        Next::Over => return Ok(None),
    };
    let found = walk.state.queue.log(walk.delivery, walk.filter.clone(), cursor, STREAM_ROWS).await?;
    let mut text = String::with_capacity(found.rows.len() * 128);
    if cursor.is_none() {
        write_head(&mut text, walk.format);
    }
    for row in &found.rows {
        // The contract's columns are without it.
        let category = if walk.format == Format::Csv { None } else { category(&walk.state, row) };
        write_row(&mut text, &row_json(row, walk.ids.as_ref(), category), walk.format, walk.rows == 0);
        walk.rows += 1;
    }
    walk.next = match found.next {
        Some(cursor) => Next::After(cursor),
        None if walk.format == Format::Json => Next::Tail,
        None => Next::Over,
    };
    Ok(Some((Bytes::from(text), walk)))
}

fn write_head(text: &mut String, format: Format) {
    let names: Vec<String> = format.columns().concat().iter().map(|path| path.replace('/', "_")).collect();
    if !names.is_empty() {
        text.push_str(&names.join(","));
        text.push_str("\r\n");
    }
}

fn write_row(text: &mut String, row: &Value, format: Format, first: bool) {
    match format {
        Format::Csv | Format::CsvAll => {
            for (index, path) in format.columns().iter().copied().flatten().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                match path.split('/').fold(row, |value, name| &value[name]) {
                    Value::String(value) => push_csv(text, value),
                    Value::Null => {}
                    other => text.push_str(&other.to_string()),
                }
            }
            text.push_str("\r\n");
        }
        Format::Ndjson => {
            text.push_str(&row.to_string());
            text.push('\n');
        }
        Format::Json => {
            text.push_str(if first { "[\n" } else { ",\n" });
            text.push_str(&row.to_string());
        }
    }
}

/// RFC 4180: quotes where a separator, a quote, a line end or an edge blank stands.
pub(super) fn push_csv(text: &mut String, value: &str) {
    let plain = !value.contains([',', '"', '\r', '\n']) && value.trim() == value;
    if plain {
        text.push_str(value);
        return;
    }
    text.push('"');
    text.push_str(&value.replace('"', "\"\""));
    text.push('"');
}

async fn messages(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Params(which): Params<Which>,
    Params(params): Params<PageParams>,
) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    let ids = MessageIds::of(&state, delivery).await?;
    let cursor = match params.after("messages")? {
        Some(text) => {
            let read = LogCursor::parse(&text);
            Some(read.ok_or_else(|| Problem::invalid("cursor", "This cursor is not one of this list."))?)
        }
        None => None,
    };
    let found = state.queue.log(delivery, filter(&which, &params)?, cursor, params.rows()?).await?;
    let items = found
        .rows
        .iter()
        .map(|row| {
            let mut document = row_json(row, ids.as_ref(), category(&state, row));
            document["next_try"] = time_opt(row.next_try);
            document["recipient_id"] = id(row.recipient);
            document
        })
        .collect();
    Ok(Json(page("messages", items, found.next.map(LogCursor::encode))))
}

#[derive(Deserialize)]
struct Whose {
    recipient: String,
    format: Option<String>,
}

/// The bytes as they were (or will be) sent. When they are not those of the first try any more, that is said.
async fn source(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Params(whose): Params<Whose>,
) -> Answer<Response> {
    let source = crate::source::source(&state, delivery_id(&text)?, &whose.recipient).await?;
    if whose.format.as_deref() == Some("json") {
        return Ok(Json(json!({
            "recipient": whose.recipient,
            "source_base64": STANDARD.encode(&source.bytes),
            "warning": source.warning,
        }))
        .into_response());
    }
    let mut response = ([(header::CONTENT_TYPE, "message/rfc822")], source.bytes).into_response();
    if let Some(warning) = source.warning {
        response.headers_mut().insert("mailwright-warning", HeaderValue::from_static(warning));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(format: Format) -> String {
        let row = json!({
            "recipient": "a@x.example", "state": "sent", "attempts": 1, "first_try": "2026-12-01T08:00:00Z",
            "last_try": null, "reply": "250 2.0.0 ok, \"queued\"", "reason": null, "message_id": "m@x",
        });
        let mut text = String::new();
        write_row(&mut text, &row, format, true);
        write_row(&mut text, &row, format, false);
        text
    }

    #[test]
    fn rows_are_written_in_the_contracts_columns() {
        let line = "a@x.example,sent,1,2026-12-01T08:00:00Z,,\"250 2.0.0 ok, \"\"queued\"\"\",,m@x\r\n";
        assert_eq!(rows(Format::Csv), format!("{line}{line}"));
        let json = format!("{}\n]\n", rows(Format::Json));
        assert_eq!(serde_json::from_str::<Vec<Value>>(&json).unwrap().len(), 2);
        assert_eq!(rows(Format::Ndjson).lines().count(), 2);
    }

    #[test]
    fn the_way_of_a_message_stands_behind_the_contracts_columns() {
        let mut head = String::new();
        write_head(&mut head, Format::Csv);
        assert_eq!(head, "recipient,state,attempts,first_try,last_try,reply,reason,message_id\r\n");
        let mut head = String::new();
        write_head(&mut head, Format::CsvAll);
        assert!(head.ends_with(
            ",message_id,site,source,tls_protocol,tls_cipher,tls_certificate,tls_proof,category\r\n"
        ));
        let tls = queue::Tls {
            protocol: "TLSv1.3".into(),
            cipher: "TLS_AES_128_GCM_SHA256".into(),
            certificate: "ab12".into(),
            proof: queue::TlsProof::Dane,
        };
        let row = json!({"recipient": "a@x.example", "site": "x.example", "source": "mta-a", "tls": tls_json(&tls)});
        let mut line = String::new();
        write_row(&mut line, &row, Format::CsvAll, true);
        assert_eq!(line, "a@x.example,,,,,,,,x.example,mta-a,TLSv1.3,TLS_AES_128_GCM_SHA256,ab12,dane,\r\n");
        let mut line = String::new();
        write_row(&mut line, &json!({"recipient": "a@x.example", "tls": null}), Format::CsvAll, true);
        assert_eq!(line, format!("a@x.example{}\r\n", ",".repeat(14)), "in clear, or not sent");
    }
}
