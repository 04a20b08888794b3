//! The audit log as a file, for the page and for the API.

use access::{AuditFilter, AuditLine};
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream::try_unfold;

use crate::{api::shape::time, state::AppState};

/// Lines read at once.
const LINES_AT_ONCE: i64 = 500;
/// The first line of the file.
const HEAD: &str = "id,at,actor,action,subject,detail\r\n";

/// Every line that fits, newest first, as CSV (RFC 4180), read while it is sent. Times are UTC.
pub fn export(state: &AppState, filter: AuditFilter) -> Response {
    let start = (state.clone(), filter, None::<i64>, true);
    let lines = try_unfold(start, |(state, filter, before, first)| async move {
        let read = state.access.audit_lines(&filter, before, LINES_AT_ONCE).await;
        let read = read.map_err(|error| std::io::Error::other(error.to_string()))?;
        let mut text = if first { HEAD.to_owned() } else { String::new() };
        read.iter().for_each(|line| push(&mut text, line));
        let next = read.last().map(|line| line.id).or(before);
        let more = if read.is_empty() && !first { None } else { Some((state, filter, next, false)) };
        Ok::<_, std::io::Error>(more.map(|more| (Bytes::from(text), more)))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"audit.csv\"")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::from_stream(lines)).into_response()
}

fn push(text: &mut String, line: &AuditLine) {
    text.push_str(&line.id.to_string());
    text.push(',');
    text.push_str(time(line.at).as_str().unwrap_or(""));
    for value in [&line.actor, &line.action, &line.subject, &line.detail] {
        text.push(',');
        field(text, value);
    }
    text.push_str("\r\n");
}

/// Names are chosen by users: one that a spreadsheet would run as a formula gets an apostrophe before it.
fn field(text: &mut String, value: &str) {
    let safe = audience::formula_safe(value);
    if safe.contains([',', '"', '\r', '\n']) {
        text.push('"');
        text.push_str(&safe.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(&safe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_file() {
        let line = AuditLine {
            id: 7,
            at: 1_764_576_000_000_000,
            actor: "anna".into(),
            action: "list.create".into(),
            subject: "=1+1".into(),
            detail: "say \"hello\", then go".into(),
        };
        let mut text = String::new();
        push(&mut text, &line);
        assert_eq!(text, "7,2025-12-01T08:00:00Z,anna,list.create,'=1+1,\"say \"\"hello\"\", then go\"\r\n");
    }
}
